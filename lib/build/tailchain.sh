# shellcheck shell=bash
# tailchain: the launcher, the command and the library, from a release archive or built here.

# Its path in a slug, by which the launcher finds its library and config. A layer has another path.
DYNO_PREFIX=${DYNO_PREFIX:-/app/vendor/proxychains-ng}

TAILCHAIN_FILES=(bin/proxychains4 bin/tailchain lib/libtailchain.so)

# install_tailchain DIRECTORY CACHE BUILDPACK SCRATCH: the cache keeps the result, a few MB, not the tools that built
# it.
install_tailchain() {
    local source released
    released=$(released_archive "$3/archives.sha256")
    mkdir -p "$1/bin" "$1/lib" "$1/conf" "$2"
    # Left by earlier versions of this buildpack, and by their failed builds.
    rm -rf "$2/cargo" "$2/rustup" "$2/target" "$2/repository" "$2/new"
    if [[ -n ${TAILCHAIN_BUILD_ARCHIVE_URL:-} ]]; then
        tailchain_from_archive "$1" "$2"
    elif [[ -n $released && -z ${TAILSCALE_BUILD_PROXYCHAINS_REPO:-} ]] &&
        tailchain_from_release "$1" "$2" "${released##* }" "${released%% *}"; then
        :
    else
        # On a line of its own: inside an argument its failure would be ignored.
        source=$(tailchain_source "$4" "$3")
        tailchain_from_source "$1" "$2" "$source" "$4"
    fi
    require_that_it_runs "$1"
    # The name that LD_PRELOAD lines for proxychains-ng use.
    ln -s libtailchain.so "$1/lib/libproxychains4.so"
    # The address where profile.sh makes tailscaled listen.
    sed 's/^socks5 127\.0\.0\.1 1055$/socks5 127.0.0.2 1055/' "$3/conf/proxychains.conf" >"$1/conf/proxychains.conf"
}

# The loader ignores a library that it cannot load: the app would run, and bypass the tailnet.
require_that_it_runs() {
    local said libc
    libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || true)
    if said=$(try_out "$1" 2>&1) && [[ -z $said ]]; then
        return
    fi
    fail "tailchain does not run on ${STACK:-this system}: ${said%%$'\n'*}" \
        "The archive must be for $(uname -m) and for ${libc:-the C library here}: make it on a system with this C library or an older one."
}

# try_out DIRECTORY: prints nothing on success.
try_out() {
    "$1/bin/tailchain" --version >/dev/null &&
        TAILCHAIN_BYPASS="trying it out" PROXYCHAINS_QUIET_MODE=1 LD_PRELOAD="$1/lib/libtailchain.so" /bin/true
}

# released_archive FILE: the line for this architecture, `SHA256  URL`. FILE exists once there is a release
# (packaging/archives writes it).
released_archive() {
    [[ ! -f $1 ]] || grep -E "^[0-9a-f]{64}  [^ ]*-$(uname -m)\.tgz$" "$1" | tail -n 1 || true
}

# tailchain_from_release DIRECTORY CACHE URL SHA256: false if it cannot be downloaded. A wrong checksum ends the build.
tailchain_from_release() {
    local archive="$2/archive.tgz"
    step "Installing tailchain"
    if has_checksum "$archive" "$4"; then
        note "from the build cache"
    elif fetch "$3" "$archive"; then
        note "from $3"
        require_checksum "$archive" "$4" "$3"
    else
        warn "Cannot download $3 ($FETCH_ERROR): tailchain is built from source."
        return 1
    fi
    unpack_archive "$archive" "$1" "$3"
}

tailchain_from_archive() {
    local url=$TAILCHAIN_BUILD_ARCHIVE_URL sum=${TAILCHAIN_BUILD_ARCHIVE_SHA256:-} archive="$2/archive.tgz"
    [[ $sum =~ ^[0-9a-fA-F]{64}$ ]] || fail "TAILCHAIN_BUILD_ARCHIVE_URL is set and TAILCHAIN_BUILD_ARCHIVE_SHA256 is not a SHA-256 checksum." \
        "\`make archive\` tells it; so does \`sha256sum\` of an archive that you trust."
    step "Installing tailchain"
    if has_checksum "$archive" "$sum"; then
        note "from the build cache"
    else
        note "from $url"
        download "$url" "$archive" "Correct TAILCHAIN_BUILD_ARCHIVE_URL, or unset it to build tailchain from source."
        require_checksum "$archive" "${sum,,}" "$url"
    fi
    unpack_archive "$archive" "$1" "$url"
}

# unpack_archive FILE DIRECTORY URL
unpack_archive() {
    tar -xzf "$1" -C "$2" --no-same-owner "${TAILCHAIN_FILES[@]}" 2>/dev/null ||
        fail "$3 is no release of tailchain: ${TAILCHAIN_FILES[*]} are not all in it." "\`make archive\` makes one."
}

# tailchain_source SCRATCH BUILDPACK: prints the directory to build. Messages go to stderr.
tailchain_source() {
    local repository=${TAILSCALE_BUILD_PROXYCHAINS_REPO:-} clone="$1/repository"
    if [[ -n $repository ]]; then
        GIT_TERMINAL_PROMPT=0 git clone --quiet --depth 1 -- "$repository" "$clone" 2> >(indent >&2) ||
            fail "Cannot clone $repository, which TAILSCALE_BUILD_PROXYCHAINS_REPO names." \
                "Correct it, or unset it to use the tailchain that comes with this buildpack."
        if grep -qs '^name = "tailchain"' "$clone/Cargo.toml"; then
            echo "$clone"
            return
        fi
        warn "$repository (TAILSCALE_BUILD_PROXYCHAINS_REPO) is not used: it is not tailchain, which takes the place" \
            "of proxychains-ng. Unset it, or name a repository of tailchain."
    fi
    echo "$2"
}

# tailchain_from_source DIRECTORY CACHE SOURCE SCRATCH: uses the cached result of the same source, if there is one.
tailchain_from_source() {
    local key built minimum
    key=$(source_key "$3") || fail "The sources of tailchain in $3 are not complete; the reason is above."
    built="$2/built/$key"
    step "Installing tailchain"
    if [[ -d $built ]]; then
        note "from the build cache"
    else
        minimum=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$3/Cargo.toml" | head -n 1)
        need_cargo "$minimum" "$4"
        build_tailchain "$3" "$4"
        rm -rf "$2/built"
        mkdir "$2/built"
        cp -R "$4/new" "$built.part"
        mv "$built.part" "$built"
    fi
    cp -R "$built/." "$1/"
}

# All that the result depends on: sources, architecture, and the stack with its libc.
source_key() {
    {
        echo "${STACK:-} $(uname -m) $DYNO_PREFIX"
        cd "$1" && source_files | sort -z | xargs -0 sha256sum
    } | sha256sum | cut -d' ' -f1
}

# The files that cargo reads in the current directory.
source_files() {
    find Cargo.toml Cargo.lock build.rs cbindgen.toml conf src crates -type f -print0
}

# build_tailchain SOURCE SCRATCH: builds into SCRATCH/new. With TAILCHAIN_BUILD_TARGET_DIR this buildpack's tests avoid
# compiling everything each time.
build_tailchain() {
    local target="${TAILCHAIN_BUILD_TARGET_DIR:-$2/target}"
    note "building it with $(cargo --version); this takes some minutes, once"
    mkdir -p "$2/new/bin" "$2/new/lib"
    (
        cd "$1" || exit
        export CARGO_TARGET_DIR="$target" TAILCHAIN_LIBDIR="$DYNO_PREFIX/lib" TAILCHAIN_SYSCONFDIR="$DYNO_PREFIX/conf"
        cargo build --release --locked --quiet 2>&1 | indent
    ) || fail "tailchain could not be built; the reason is above." \
        "TAILCHAIN_BUILD_ARCHIVE_URL takes a release that was built elsewhere."
    install -m 755 "$target/release/proxychains4" "$target/release/tailchain" "$2/new/bin/"
    install -m 755 "$target/release/libtailchain.so" "$2/new/lib/"
}
