# shellcheck shell=bash
# A Rust toolchain that can build tailchain.

# has_cargo MINIMUM: whether the cargo of the PATH will do.
has_cargo() {
    local version
    version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
    [[ -n $version && $(printf '%s\n' "$1" "$version" | sort -V | head -n 1) == "$1" ]]
}

# need_cargo MINIMUM CACHE: puts one into the PATH; what is installed for that stays in the cache.
need_cargo() {
    has_cargo "$1" && return
    export CARGO_HOME="$2/cargo" RUSTUP_HOME="$2/rustup"
    PATH="$CARGO_HOME/bin:$PATH"
    has_cargo "$1" && return
    install_rust "$2"
    has_cargo "$1" || fail "The Rust that was installed is older than $1." \
        "Check RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER, or set TAILCHAIN_BUILD_ARCHIVE_URL."
}

# install_rust CACHE
install_rust() {
    local root=${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup} installer="$1/rustup-init"
    local url advice="Build again, or set TAILCHAIN_BUILD_ARCHIVE_URL to a release of tailchain: that needs no Rust."
    local sum
    url="${root%/}/dist/$(uname -m)-unknown-linux-gnu/rustup-init"
    step "Installing Rust, to build tailchain"
    mkdir -p "$1"
    download "$url.sha256" "$installer.sha256" "$advice"
    sum=$(read_checksum "$installer.sha256") || fail "$url.sha256 is not a SHA-256 checksum" "$advice"
    download "$url" "$installer" "$advice"
    require_checksum "$installer" "$sum" "$url"
    chmod +x "$installer"
    "$installer" -y --no-modify-path --profile minimal --default-toolchain stable 2>&1 | indent ||
        fail "rustup could not install Rust; its reason is above." "$advice"
    rm -f "$installer" "$installer.sha256"
}
