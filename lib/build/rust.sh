# shellcheck shell=bash
# A Rust toolchain that can build tailchain.

# has_cargo MINIMUM: whether the cargo in PATH is new enough.
has_cargo() {
    local version
    version=$(cargo --version 2>/dev/null | cut -d' ' -f2) || return 1
    [[ -n $version && $(printf '%s\n' "$1" "$version" | sort -V | head -n 1) == "$1" ]]
}

# Pinned: a build must not start to fail because a new compiler was released. LINTED_RUST in the Makefile is the same
# release.
RUST_VERSION=1.99.1

# The installer, and its checksums as in Rust's official container images.
RUSTUP_RELEASE=https://static.rust-lang.org/rustup/archive/1.28.2
declare -A RUSTUP_SHA256=(
    [x86_64]=20a06e644b0d9bd2fbdbfd52d42540bdde820ea7df86e92e533c073da0cdd43c
    [aarch64]=e3853c5a252fca15252d07cb23a1bdd9377a8c6f3efa01531109281ae47f841c
)

# need_cargo MINIMUM SCRATCH: puts a cargo into PATH; one that is installed for this is removed after the build. It
# takes 700 MB, and is needed again only when tailchain or the stack changes.
need_cargo() {
    has_cargo "$1" && return
    export CARGO_HOME="$2/cargo" RUSTUP_HOME="$2/rustup"
    PATH="$CARGO_HOME/bin:$PATH"
    has_cargo "$1" && return
    install_rust "$2"
    has_cargo "$1" || fail "The Rust that was installed is older than $1." \
        "Check RUSTUP_UPDATE_ROOT and RUSTUP_DIST_SERVER, or set TAILCHAIN_BUILD_ARCHIVE_URL."
}

# install_rust SCRATCH
install_rust() {
    local architecture installer="$1/rustup-init"
    local url advice="Build again, or set TAILCHAIN_BUILD_ARCHIVE_URL to a release of tailchain: that needs no Rust."
    local sum
    architecture=$(uname -m)
    step "Installing Rust, to build tailchain"
    if [[ -z ${RUSTUP_UPDATE_ROOT:-} && -n ${RUSTUP_SHA256[$architecture]:-} ]]; then
        url="$RUSTUP_RELEASE/$architecture-unknown-linux-gnu/rustup-init"
        sum=${RUSTUP_SHA256[$architecture]}
    else
        url="${RUSTUP_UPDATE_ROOT:-https://static.rust-lang.org/rustup}"
        url="${url%/}/dist/$architecture-unknown-linux-gnu/rustup-init"
        download "$url.sha256" "$installer.sha256" "$advice"
        sum=$(read_checksum "$installer.sha256") || fail "$url.sha256 is not a SHA-256 checksum" "$advice"
    fi
    download "$url" "$installer" "$advice"
    require_checksum "$installer" "$sum" "$url"
    chmod +x "$installer"
    "$installer" -y --no-modify-path --profile minimal --default-toolchain "$RUST_VERSION" 2>&1 | indent ||
        fail "rustup could not install Rust; its reason is above." "$advice"
}
