#!/bin/bash
# usage: packaging/libraries.sh DIRECTORY GLIBC [MUSL]
#
# Puts the libraries for programs that run on glibc and on musl where the commands look for them
# (crates/preflight/src/library.rs).
set -euo pipefail

directory=$1
install -D -m 644 "$2" "$directory/libtailchain.so"
(($# > 2)) || exit 0
install -D -m 644 "$3" "$directory/musl/libtailchain.so"

# One path for both loaders. musl's does not expand $LIB: it is the name of this directory.
both=$directory/by-libc
mkdir -p "$both/\$LIB"
ln -sf ../../musl/libtailchain.so "$both/\$LIB/libtailchain.so"
# glibc's expands it to its own library directory, whose name depends on the distribution.
for name in lib lib32 lib64 libx32 lib/x86_64-linux-gnu lib/aarch64-linux-gnu; do
    mkdir -p "$both/$name"
    ln -srf "$directory/libtailchain.so" "$both/$name/libtailchain.so"
done
