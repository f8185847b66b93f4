# shellcheck shell=bash
# Downloads that are whole and what they should be, or not there at all.

# fetch URL FILE: a failure names the URL. FILE appears only when all of it is there.
fetch() {
    local url=$1 file=$2
    if ! curl --fail --silent --show-error --location --retry 2 --connect-timeout 20 --max-time 600 \
        --output "$file.part" "$url"; then
        rm -f "$file.part"
        fail "Could not download $url" \
            "Check that it can be reached and that the version exists, then build again." \
            "Another place to download Tailscale from can be set with TAILSCALE_BUILD_MIRROR."
    fi
    mv "$file.part" "$file"
}

has_checksum() {
    [[ -f $1 && $(sha256sum "$1" | cut -d ' ' -f 1) == "$2" ]]
}

# fetch_checked URL FILE SHA256: FILE is used as it is if it is right already, from the cache.
fetch_checked() {
    local url=$1 file=$2 checksum=$3
    if has_checksum "$file" "$checksum"; then
        detail "using the cached ${file##*/}"
        return
    fi
    detail "downloading $url"
    fetch "$url" "$file"
    if ! has_checksum "$file" "$checksum"; then
        local found
        found=$(sha256sum "$file" | cut -d ' ' -f 1)
        rm -f "$file"
        fail "$url has the wrong checksum." "Expected SHA-256 $checksum" "but it is          $found" \
            "It may have been damaged or replaced; nothing was installed."
    fi
}
