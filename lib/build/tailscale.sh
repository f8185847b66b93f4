# shellcheck shell=bash
# Tailscale's static release: `tailscale` and `tailscaled`.

TAILSCALE_RELEASES=https://pkgs.tailscale.com/stable

# The architecture as Tailscale's downloads name it.
tailscale_architecture() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) uname -m ;;
    esac
}

# newest_tailscale RELEASES ARCHITECTURE CACHE ERROR: the current version according to the index of releases. If the
# index is unavailable, a cached version is used: a web site's outage need not fail a build. The reason is written to
# the file ERROR.
newest_tailscale() {
    local index="$3/index.json" newest='' cached
    if fetch "$1/?mode=json" "$index"; then
        newest=$(sed -n 's/.*"TarballsVersion"[[:space:]]*:[[:space:]]*"\([0-9.]*\)".*/\1/p' "$index" | head -n 1)
        FETCH_ERROR="it names no version"
    fi
    if [[ -n $newest ]]; then
        echo "$newest"
        return
    fi
    echo "$FETCH_ERROR" >"$4"
    cached=$(find "$3" -name "tailscale_*_$2.tgz" -printf '%f\n' | cut -d_ -f2 | sort -V | tail -n 1)
    [[ -z $cached ]] ||
        warn "Cannot read $1/?mode=json ($FETCH_ERROR): using $cached of the last build, which may not be the newest."
    echo "$cached"
}

# install_tailscale DIRECTORY CACHE SCRATCH
install_tailscale() {
    local releases=${TAILSCALE_BUILD_MIRROR:-$TAILSCALE_RELEASES} cache="$2/tailscale" scratch=$3
    releases=${releases%/}
    local architecture=${TAILSCALE_BUILD_TS_TARGETARCH:-$(tailscale_architecture)}
    local version=${TAILSCALE_BUILD_TS_VERSION:-}
    mkdir -p "$1" "$cache"
    if [[ -z $version ]]; then
        version=$(newest_tailscale "$releases" "$architecture" "$cache" "$scratch/index-error")
        [[ -n $version ]] || fail "Cannot find out the newest version of Tailscale from $releases/?mode=json" \
            "$(<"$scratch/index-error")" \
            "Set TAILSCALE_BUILD_TS_VERSION, such as 1.90.6, or TAILSCALE_BUILD_MIRROR, and build again."
    fi
    version=${version#v}
    [[ $version =~ ^[0-9]+(\.[0-9]+)+$ ]] ||
        fail "TAILSCALE_BUILD_TS_VERSION is \`$version\`: set it to a version such as 1.90.6, or unset it for the newest."

    step "Installing Tailscale $version ($architecture)"
    local name="tailscale_${version}_$architecture"
    cached_release "$releases/$name.tgz" "$cache/$name.tgz" "${releases%/stable}" "$scratch"
    tar -xzf "$cache/$name.tgz" -C "$1" --strip-components=1 "$name/tailscale" "$name/tailscaled" 2>/dev/null ||
        fail "$releases/$name.tgz does not hold $name/tailscale and $name/tailscaled" \
            "Set TAILSCALE_BUILD_TS_VERSION to another version."
}

# cached_release URL FILE BASE SCRATCH: uses the cached release, verified with the checksum from the cache or the
# source; the signing keys are below BASE.
cached_release() {
    local advice="Check TAILSCALE_BUILD_TS_VERSION, TAILSCALE_BUILD_TS_TARGETARCH, TAILSCALE_BUILD_MIRROR; build again."
    local sum pinned=${TAILSCALE_BUILD_TS_SHA256:-}
    pinned=${pinned,,}
    if sum=$(read_checksum "$2.sha256" 2>/dev/null) && [[ ${pinned:-$sum} == "$sum" ]] && has_checksum "$2" "$sum"; then
        note "from the build cache"
    else
        note "from $1"
        rm -f "$2" "$2.sha256"
        if [[ -n $pinned ]]; then
            echo "$pinned" >"$2.sum"
        else
            download "$1.sha256" "$2.sum" "$advice"
        fi
        sum=$(read_checksum "$2.sum") || fail "$1.sha256 is not a SHA-256 checksum" "$advice"
        download "$1" "$2" "$advice"
        require_checksum "$2" "$sum" "$1"
        # A checksum in the settings comes from another source.
        [[ -n $pinned ]] || require_signature "$1" "$2" "$3" "$4"
        # Last: a release that was not verified must not be used.
        mv "$2.sum" "$2.sha256"
    fi
    find "${2%/*}" -type f ! -path "$2" ! -path "$2.sha256" -delete
}

# require_signature URL FILE BASE SCRATCH: the checksum comes from the same server as the file, and proves only that the
# download is complete. Mirrors may lack signatures, as do releases before 1.50; Tailscale's current releases have them.
require_signature() {
    local status=0 advice="Set TAILSCALE_BUILD_TS_SHA256 to a checksum that you trust, or build again."
    if ! can_verify; then
        warn "Tailscale's signature is not checked: there is no openssl with BLAKE2s and Ed25519 here."
        return
    fi
    verify_release "$@" || status=$?
    case $status in
        0) note "signed by Tailscale" ;;
        1)
            rm -f "$2"
            fail "$1 is not signed by Tailscale." "It is not what Tailscale released, or was signed with a key of the past." "$advice"
            ;;
        *)
            if [[ -z ${TAILSCALE_BUILD_MIRROR:-}${TAILSCALE_BUILD_TS_VERSION:-} ]]; then
                rm -f "$2"
                fail "There is no signature of $1" "$FETCH_ERROR" "$advice"
            fi
            note "not signed there: trusting its own checksum (TAILSCALE_BUILD_TS_SHA256 sets one)"
            ;;
    esac
}
