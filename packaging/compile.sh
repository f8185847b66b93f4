# shellcheck shell=bash
# Sourced by packaging/build: compiles what the packages contain.

# Where the buildpack installs tailchain.
DYNO_PREFIX=/app/vendor/proxychains-ng

# compile ARCHITECTURE dyno|system: compiles for a dyno, or for any other system, into files.
compile() {
    local target strip=strip library="$1-unknown-linux-gnu" commands="$1-unknown-linux-musl" destination
    local for_musl=$BUILT/musl/$commands/release/libtailchain.so
    destination=$(files "$1" "$2")
    for target in "$library" "$commands"; do
        [[ -d $(rustc --print sysroot)/lib/rustlib/$target/lib ]] || rustup target add "$target"
    done
    (
        # The library is found relative to the command (../lib, ../lib/tailchain), the config in /etc except on a dyno.
        unset TAILCHAIN_LIBDIR TAILCHAIN_SYSCONFDIR
        [[ $2 != dyno ]] || export TAILCHAIN_LIBDIR=$DYNO_PREFIX/lib TAILCHAIN_SYSCONFDIR=$DYNO_PREFIX/conf
        if [[ $1 != $(uname -m) ]]; then
            for target in "$library" "$commands"; do
                target=${target//-/_}
                export "CARGO_TARGET_${target^^}_LINKER=$1-linux-gnu-gcc"
            done
        fi
        cargo build --release --locked --quiet --package tailchain --target "$library" --target-dir "$BUILT"
        cargo build --release --locked --quiet --package tailchain-launcher --package tailchain-cli --target "$commands" --target-dir "$BUILT"
        [[ $2 != dyno ]] || exit 0
        # In a directory of its own, since static linking needs other compiler flags.
        RUSTFLAGS="-C target-feature=-crt-static" cargo build --release --locked --quiet --package tailchain \
            --target "$commands" --target-dir "$BUILT/musl"
    )
    rm -rf "$destination"
    [[ $1 == $(uname -m) ]] || strip=$1-linux-gnu-strip
    install -D -m 755 -t "$destination/bin" "$BUILT/$commands/release/proxychains4" "$BUILT/$commands/release/tailchain"
    # A dyno runs glibc's programs only.
    [[ $2 != dyno ]] || for_musl=
    packaging/libraries.sh "$destination/lib" "$BUILT/$library/release/libtailchain.so" ${for_musl:+"$for_musl"}
    find "$destination" -type f -exec "$strip" --strip-unneeded --remove-section=.comment {} +
}

# files ARCHITECTURE dyno|system: where compile puts them.
files() {
    echo "$OUT/$1/$2"
}

# documentation: man pages and completions, made by a command that runs on this machine.
documentation() {
    local command generated=$OUT/documentation
    command=$(files "$(uname -m)" system)/bin/tailchain
    if [[ ! -x $command ]]; then
        cargo build --release --locked --quiet --package tailchain-cli --target-dir "$BUILT"
        command=$BUILT/release/tailchain
    fi
    rm -rf "$generated"
    "$command" generate "$generated"
}
