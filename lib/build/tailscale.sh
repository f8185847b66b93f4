# shellcheck shell=bash
# Tailscale's static release: `tailscale` and `tailscaled`.

TAILSCALE_RELEASES=https://pkgs.tailscale.com/stable

# By the names that Tailscale's downloads have.
tailscale_architecture() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        *) uname -m ;;
    esac
}

# newest_tailscale RELEASES ARCHITECTURE CACHE: the version that the index of releases calls the current one. Without
# the index a version from the cache will do: a build need not fail because a web site does.
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
    cached=$(find "$3" -name "tailscale_*_$2.tgz" -printf '%f\n' | cut -d_ -f2 | sort -V | tail -n 1)
    [[ -z $cached ]] ||
        warn "Cannot read $1/?mode=json ($FETCH_ERROR): using $cached of the last build, which may not be the newest."
    echo "$cached"
}

# install_tailscale FOLDER CACHE
install_tailscale() {
    local releases=${TAILSCALE_BUILD_MIRROR:-$TAILSCALE_RELEASES} cache="$2/tailscale"
    releases=${releases%/}
    local architecture=${TAILSCALE_BUILD_TS_TARGETARCH:-$(tailscale_architecture)}
    local version=${TAILSCALE_BUILD_TS_VERSION:-}
    mkdir -p "$1" "$cache"
    if [[ -z $version ]]; then
        version=$(newest_tailscale "$releases" "$architecture" "$cache")
        [[ -n $version ]] || fail "Cannot find out the newest version of Tailscale from $releases/?mode=json" \
            "Set TAILSCALE_BUILD_TS_VERSION, such as 1.90.6, or TAILSCALE_BUILD_MIRROR, and build again."
    fi
    version=${version#v}
    [[ $version =~ ^[0-9]+(\.[0-9]+)+$ ]] ||
        fail "TAILSCALE_BUILD_TS_VERSION is \`$version\`: set it to a version such as 1.90.6, or unset it for the newest."

    step "Installing Tailscale $version ($architecture)"
    local name="tailscale_${version}_$architecture"
    cached_release "$releases/$name.tgz" "$cache/$name.tgz"
    tar -xzf "$cache/$name.tgz" -C "$1" --strip-components=1 "$name/tailscale" "$name/tailscaled" 2>/dev/null ||
        fail "$releases/$name.tgz does not hold $name/tailscale and $name/tailscaled" \
            "Set TAILSCALE_BUILD_TS_VERSION to another version."
}

# cached_release URL FILE: the only release in the cache, with the checksum that the cache or the source has for it.
cached_release() {
    local advice="Check TAILSCALE_BUILD_TS_VERSION, TAILSCALE_BUILD_TS_TARGETARCH, TAILSCALE_BUILD_MIRROR; build again."
    local sum
    if sum=$(read_checksum "$2.sha256" 2>/dev/null) && has_checksum "$2" "$sum"; then
        note "from the build cache"
    else
        note "from $1"
        rm -f "$2" "$2.sha256"
        download "$1.sha256" "$2.sum" "$advice"
        sum=$(read_checksum "$2.sum") || fail "$1.sha256 is not a SHA-256 checksum" "$advice"
        download "$1" "$2" "$advice"
        require_checksum "$2" "$sum" "$1"
        # Last: a release without its checksum is not used.
        mv "$2.sum" "$2.sha256"
    fi
    find "${2%/*}" -type f ! -path "$2" ! -path "$2.sha256" -delete
}
