# shellcheck shell=bash
# Sourced by packaging/build: one function for each kind of package. Each takes the ARCHITECTURE.

# Owners, order and timestamps do not depend on the build.
reproducible_tar() {
    tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -czf "$@"
}

# archive ARCHITECTURE: for TAILCHAIN_BUILD_ARCHIVE_URL of the buildpack.
archive() {
    reproducible_tar "$OUT/tailchain-$VERSION-$1.tgz" -C "$(files "$1" dyno)" bin lib
}

# deb ARCHITECTURE: with dpkg-deb alone, since everything is built already.
deb() {
    local debian triplet=$1-linux-gnu root=$OUT/$1/deb documentation=$OUT/documentation share
    case $1 in
        x86_64) debian=amd64 ;;
        aarch64) debian=arm64 ;;
        *) echo "Debian has no name for $1" >&2 && return 1 ;;
    esac
    rm -rf "$root"
    share=$root/usr/share
    install -D -m 755 -t "$root/usr/bin" "$(files "$1" system)"/bin/*
    mkdir -p "$root/usr/lib"
    cp -R --no-dereference "$(files "$1" system)/lib" "$root/usr/lib/tailchain"
    # The names that LD_PRELOAD lines use for Debian's libproxychains4, and for proxychains-ng's own library.
    mkdir -p "$root/usr/lib/$triplet"
    ln -s ../tailchain/libtailchain.so "$root/usr/lib/$triplet/libproxychains.so.4"
    ln -s libtailchain.so "$root/usr/lib/tailchain/libproxychains4.so"
    install -D -m 644 -t "$root/usr/include" include/tailchain.h
    # Debian's name: a config of the package proxychains4 is kept.
    install -D -m 644 conf/proxychains.conf "$root/etc/proxychains4.conf"
    install -D -m 644 -t "$share/man/man1" "$documentation"/man1/*
    install -D -m 644 -t "$share/man/man5" "$documentation"/man5/*
    gzip -9n "$share"/man/*/*
    install -D -m 644 "$documentation/bash/tailchain.bash" "$share/bash-completion/completions/tailchain"
    install -D -m 644 "$documentation/bash/proxychains4.bash" "$share/bash-completion/completions/proxychains4"
    install -D -m 644 -t "$share/zsh/vendor-completions" "$documentation"/zsh/*
    install -D -m 644 -t "$share/fish/vendor_completions.d" "$documentation"/fish/*
    install -D -m 644 packaging/debian/copyright "$share/doc/tailchain/copyright"
    install -D -m 644 packaging/debian/overrides "$share/lintian/overrides/tailchain"
    changelog | gzip -9n >"$share/doc/tailchain/changelog.gz"
    chmod 644 "$share/doc/tailchain/changelog.gz"
    mkdir "$root/DEBIAN"
    sed -e "s/@version@/$VERSION/" -e "s/@architecture@/$debian/" -e "s/@maintainer@/$MAINTAINER/" \
        -e "s/@size@/$(du -sk --exclude=DEBIAN "$root" | cut -f1)/" packaging/debian/control >"$root/DEBIAN/control"
    echo /etc/proxychains4.conf >"$root/DEBIAN/conffiles"
    (cd "$root" && find etc usr -type f -print0 | sort -z | xargs -0 md5sum) >"$root/DEBIAN/md5sums"
    # xz: dpkg of Debian 11 does not support zstd.
    dpkg-deb --root-owner-group -Zxz --build "$root" "$OUT/tailchain_${VERSION}_$debian.deb" >/dev/null
}

# In the format of deb-changelog(5); CHANGELOG.md has the text.
changelog() {
    printf 'tailchain (%s) unstable; urgency=medium\n\n' "$VERSION"
    printf '  * See CHANGELOG.md of the source.\n\n'
    printf ' -- %s  %s\n' "$MAINTAINER" "$(date -Ru -d "@$SOURCE_DATE_EPOCH")"
}

# wheel ARCHITECTURE: one for each libc. A wheel has no symbolic links, and so no library for children of the other
# libc.
wheel() {
    local libc
    for libc in glibc musl; do
        python3 packaging/wheel.py "$VERSION" "$1" "$libc" "$(files "$1" system)" "$OUT/documentation" "$OUT"
    done
}

# npm_package ARCHITECTURE...: one for all of them.
npm_package() {
    local root=$OUT/npm/package architecture name
    rm -rf "$OUT/npm"
    for architecture; do
        mkdir -p "$root/$architecture"
        cp -R "$(files "$architecture" system)/." "$root/$architecture"
        # npm skips symbolic links.
        rm -rf "$root/$architecture/lib/by-libc"
    done
    for name in proxychains4 tailchain; do
        install -D -m 755 packaging/npm/run "$root/bin/$name"
    done
    install -m 644 README.md LICENSE "$root"
    sed "s/@version@/$VERSION/" packaging/npm/package.json >"$root/package.json"
    reproducible_tar "$OUT/tailchain-$VERSION-npm.tgz" -C "$OUT/npm" package
}
