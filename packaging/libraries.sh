#!/bin/bash
# usage: packaging/libraries.sh DIRECTORY GLIBC [MUSL]
#
# Puts the library for programs that run on glibc, and the one for those on musl, where the commands look for them
# (crates/preflight/src/library.rs).
set -euo pipefail

directory=$1
install -D -m 644 "$2" "$directory/libtailchain.so"
(($# > 2)) || exit 0
install -D -m 644 "$3" "$directory/musl/libtailchain.so"

# One path for both loaders. To musl's, $LIB is the name of this directory.
both=$directory/by-libc
mkdir -p "$both/\$LIB"
ln -sf ../../musl/libtailchain.so "$both/\$LIB/libtailchain.so"
# To glibc's it is its own library directory: what distributions call that.
for name in lib lib32 lib64 libx32 lib/x86_64-linux-gnu lib/aarch64-linux-gnu; do
    mkdir -p "$both/$name"
    ln -srf "$directory/libtailchain.so" "$both/$name/libtailchain.so"
done
