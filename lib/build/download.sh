# shellcheck shell=bash
# Downloads, and checksums.

# fetch URL FILE: FILE is complete, or absent. On failure curl's reason is in FETCH_ERROR.
fetch() {
    local options=(--fail --silent --show-error --location --retry 3 --connect-timeout 20 --max-time 600)
    # Redirects from https must lead to https. A user's mirror may use http.
    case $1 in
        https://*) options+=(--proto '=https') ;;
        *) options+=(--proto '=https,http,file' --proto-redir '=https,http') ;;
    esac
    if FETCH_ERROR=$(curl "${options[@]}" --output "$2.part" "$1" 2>&1); then
        mv "$2.part" "$2"
    else
        # One line for each attempt: the last one is the outcome.
        FETCH_ERROR=${FETCH_ERROR##*$'\n'}
        rm -f "$2.part"
        return 1
    fi
}

# download URL FILE ADVICE: as fetch, but a failure ends the build.
download() {
    fetch "$1" "$2" || fail "Cannot download $1" "$FETCH_ERROR" "$3"
}

# has_checksum FILE SHA256
has_checksum() {
    [[ -f $1 ]] && echo "$2  $1" | sha256sum --check --status
}

# The SHA-256 at the start of a .sha256 file; in some the file's name follows.
read_checksum() {
    local sum
    read -r sum _ <"$1" || true
    [[ $sum =~ ^[0-9a-fA-F]{64}$ ]] || return 1
    echo "${sum,,}"
}

# require_checksum FILE SHA256 URL: on a mismatch removes the file and ends the build.
require_checksum() {
    has_checksum "$1" "$2" && return
    local got
    got=$(sha256sum "$1")
    rm -f "$1"
    fail "Wrong SHA-256 of $3" \
        "expected $2" \
        "     got ${got%% *}" \
        "Build again; if it stays wrong, do not trust that source."
}
