# shellcheck shell=bash
# tailchain itself: from an archive, or built from source.

# Where the app finds it at run time; the commands look here at last.
INSTALLED=/app/vendor/proxychains-ng

# install_tailchain CACHE FOLDER: bin, lib and conf into FOLDER.
install_tailchain() {
    local cache=$1 folder=$2
    mkdir -p "$folder"/{bin,lib,conf}
    if [[ -n $TAILCHAIN_BUILD_ARCHIVE_URL ]]; then
        unpack_tailchain "$cache" "$folder"
    else
        build_tailchain "$cache" "$folder"
    fi
    # The name by which an LD_PRELOAD of proxychains-ng knows it.
    ln -s libtailchain.so "$folder/lib/libproxychains4.so"
    cp "$BUILDPACK/conf/proxychains.conf" "$folder/conf/"
}

# An archive as `make install DESTDIR=… PREFIX=/` and tar give: bin/proxychains4, bin/tailchain, lib/libtailchain.so.
unpack_tailchain() {
    local cache=$1 folder=$2 url=$TAILCHAIN_BUILD_ARCHIVE_URL
    local archive=$cache/tailchain.tgz
    step "Installing tailchain from an archive"
    [[ -n $TAILCHAIN_BUILD_ARCHIVE_SHA256 ]] ||
        fail "TAILCHAIN_BUILD_ARCHIVE_URL is set, but not TAILCHAIN_BUILD_ARCHIVE_SHA256." \
            "Set it to what \`sha256sum\` says of the archive."
    fetch_checked "$url" "$archive" "$TAILCHAIN_BUILD_ARCHIVE_SHA256"
    tar --extract --gzip --file "$archive" --directory "$folder" bin/proxychains4 bin/tailchain lib/libtailchain.so ||
        fail "$url does not hold bin/proxychains4, bin/tailchain and lib/libtailchain.so."
}

build_tailchain() {
    local cache=$1 folder=$2 source wanted built=$1/tailchain
    step "Building tailchain"
    source=$(tailchain_source "$cache")
    wanted=$(cd "$source" && find Cargo.toml Cargo.lock build.rs src crates include -type f -print0 |
        sort -z | xargs -0 sha256sum | sha256sum)
    if [[ -f $built/source && $(<"$built/source") == "$wanted" ]]; then
        detail "unchanged since the last build"
    else
        need_rust "$cache"
        rm -rf "$built"
        mkdir -p "$built"/{bin,lib}
        CARGO_TARGET_DIR=$cache/target TAILCHAIN_LIBDIR=$INSTALLED/lib TAILCHAIN_SYSCONFDIR=$INSTALLED/conf \
            cargo build --release --locked --quiet --manifest-path "$source/Cargo.toml" ||
            fail "tailchain could not be built from $source." "The compiler's messages are above."
        cp "$cache"/target/release/{proxychains4,tailchain} "$built/bin/"
        cp "$cache/target/release/libtailchain.so" "$built/lib/"
        strip "$built"/bin/* 2>/dev/null || true
        echo "$wanted" >"$built/source"
    fi
    cp "$built"/bin/* "$folder/bin/"
    cp "$built"/lib/* "$folder/lib/"
}

# tailchain_source CACHE: the folder to build from. TAILSCALE_BUILD_PROXYCHAINS_REPO once named a proxychains-ng; one
# that holds a tailchain is taken, with others the app gets the tailchain of this buildpack.
tailchain_source() {
    local clone=$1/repository url=$TAILSCALE_BUILD_PROXYCHAINS_REPO
    if [[ -z $url ]]; then
        echo "$BUILDPACK"
        return
    fi
    rm -rf "$clone"
    git clone --quiet --depth 1 "$url" "$clone" >&2 ||
        fail "Could not clone $url" "It is what TAILSCALE_BUILD_PROXYCHAINS_REPO says; correct or unset it."
    if grep -qs '^name = "tailchain"' "$clone/Cargo.toml"; then
        echo "$clone"
    else
        detail "$url (TAILSCALE_BUILD_PROXYCHAINS_REPO) is no tailchain; taking this buildpack's own" >&2
        echo "$BUILDPACK"
    fi
}

# need_rust CACHE: cargo is in the PATH afterwards; one of our own is kept in the cache.
need_rust() {
    command -v cargo >/dev/null && return
    export CARGO_HOME=$1/cargo RUSTUP_HOME=$1/rustup
    export PATH=$CARGO_HOME/bin:$PATH
    command -v cargo >/dev/null && return
    step "Installing Rust, which stays in the build cache"
    fetch https://sh.rustup.rs "$1/rustup-init.sh"
    sh "$1/rustup-init.sh" -y --quiet --no-modify-path --profile minimal >&2 ||
        fail "Rust could not be installed." \
            "Add a Rust buildpack before this one, or set TAILCHAIN_BUILD_ARCHIVE_URL to a tailchain that is built."
}
