# shellcheck shell=bash
# Tailscale's own static release.

TAILSCALE_RELEASES=https://pkgs.tailscale.com/stable

# tailscale_arch: as the release files call this machine.
tailscale_arch() {
    case $(uname -m) in
        x86_64) echo amd64 ;;
        aarch64) echo arm64 ;;
        armv*) echo arm ;;
        i?86) echo 386 ;;
        *) fail "Tailscale has no release for $(uname -m)." "Set TAILSCALE_BUILD_TS_TARGETARCH." ;;
    esac
}

# newest_tailscale BASE CACHE: the version that the list of releases names.
newest_tailscale() {
    fetch "$1/?mode=json" "$2/releases.json"
    local version
    version=$(grep -o '"TarballsVersion": *"[^"]*"' "$2/releases.json" | cut -d '"' -f 4 || true)
    [[ -n $version ]] || fail "$1/?mode=json names no version." "Set TAILSCALE_BUILD_TS_VERSION."
    echo "$version"
}

# install_tailscale CACHE FOLDER: tailscale and tailscaled into FOLDER.
install_tailscale() {
    local cache=$1 folder=$2 base version arch archive
    base=${TAILSCALE_BUILD_MIRROR:-$TAILSCALE_RELEASES}
    base=${base%/}
    arch=${TAILSCALE_BUILD_TS_TARGETARCH:-$(tailscale_arch)}
    version=${TAILSCALE_BUILD_TS_VERSION#v}
    [[ -n $version ]] || version=$(newest_tailscale "$base" "$cache")
    step "Installing Tailscale $version ($arch)"

    archive=tailscale_${version}_$arch.tgz
    fetch "$base/$archive.sha256" "$cache/$archive.sha256"
    fetch_checked "$base/$archive" "$cache/$archive" "$(cut -c 1-64 "$cache/$archive.sha256")"
    # Releases that nobody asks for any more.
    find "$cache" -name 'tailscale_*' ! -name "$archive*" -delete

    mkdir -p "$folder"
    tar --extract --gzip --file "$cache/$archive" --directory "$folder" --strip-components 1 \
        "${archive%.tgz}/tailscale" "${archive%.tgz}/tailscaled" ||
        fail "$base/$archive does not hold tailscale and tailscaled." "Set TAILSCALE_BUILD_TS_VERSION to another version."
}
