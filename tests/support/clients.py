"""The client programs of tests/clients, ready to run: each function returns the words of a command line."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from . import paths
from .need import need
from .run import clean_environment

SOURCES = paths.ROOT / "tests" / "clients"

_building = threading.Lock()


def python(name, *args):
    return [sys.executable, SOURCES / f"{name}.py", *args]


def node(name, *args):
    """With the packages of tests/clients/node/package.json, installed below target/."""
    directory, wanted = paths.TARGET / "node", SOURCES / "node" / "package.json"
    installed = directory / "package.json"
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        shutil.copy(wanted, directory / "wanted.json")
        (directory / "wanted.json").rename(directory / "package.json")
        command = [need("npm"), "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"]
        subprocess.run(command, cwd=directory, check=True)
    # `require` looks for packages beside the program's own file.
    copy = directory / f"{name}.js"
    shutil.copy(SOURCES / "node" / f"{name}.js", copy)
    return [need("node"), copy, *args]


def java(name, *args, classpath=()):
    need("javac")
    options = ["-Xshare:auto", "-XX:TieredStopAtLevel=1", "-Xmx128m"]
    if classpath:
        options += ["-cp", ":".join(map(str, classpath))]
    return [need("java"), *options, SOURCES / f"{name}.java", *args]


def ruby(name, *args):
    return [need("ruby"), SOURCES / f"{name}.rb", *args]


def rust(name, *args):
    """An example of the root package, whose source is in tests/clients."""
    environment = clean_environment({"CARGO_TARGET_DIR": paths.TARGET})
    command = [need("cargo"), "build", "--quiet", "--package", "tailchain-cli", "--example", name]
    subprocess.run(command, cwd=paths.ROOT, env=environment, check=True)
    return [paths.TARGET / "debug" / "examples" / name, *args]


def go(name):
    """The static program of tests/clients/NAME.go, built when its source is newer."""
    source, built = SOURCES / f"{name}.go", paths.PROBES / name
    with _building:
        if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
            paths.PROBES.mkdir(parents=True, exist_ok=True)
            new = built.with_name(f"{name}.{os.getpid()}")
            environment = {**clean_environment(), "CGO_ENABLED": "0", "GOFLAGS": ""}
            subprocess.run([need("go"), "build", "-o", new, source], env=environment, check=True)
            new.replace(built)
    return built


def go_module(name):
    """The static program of the module in tests/clients/NAME. Go itself fetches its dependencies."""
    source, built = SOURCES / name, paths.PROBES / f"{name}_module"
    newest = max(path.stat().st_mtime for path in source.iterdir())
    with _building:
        if not built.exists() or built.stat().st_mtime < newest:
            paths.PROBES.mkdir(parents=True, exist_ok=True)
            new = built.with_name(f"{built.name}.{os.getpid()}")
            environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": ""}
            options = {"cwd": source, "env": environment, "check": True}
            try:
                subprocess.run([need("go"), "mod", "download"], **options)
            except subprocess.CalledProcessError:
                pytest.skip("Go could not fetch the modules of tests/clients/go")
            # Without debug information, which takes a while to write.
            subprocess.run(["go", "build", "-ldflags=-s -w", "-o", new, "."], **options)
            new.replace(built)
    return built


def static_busybox():
    """Debian's busybox-static. It cannot be installed beside busybox, which other tests use, so it is only unpacked."""
    directory = paths.TARGET / "busybox-static"
    with _building:
        if not directory.exists():
            with tempfile.TemporaryDirectory(dir=paths.TARGET) as work:
                try:
                    command = [need("apt-get"), "download", "busybox-static"]
                    subprocess.run(command, cwd=work, check=True, capture_output=True)
                except subprocess.CalledProcessError as error:
                    pytest.skip(f"busybox-static cannot be had: {error.stderr.decode(errors='replace')}")
                (package,) = Path(work).glob("*.deb")
                subprocess.run(["dpkg-deb", "--extract", package, f"{work}/unpacked"], check=True)
                Path(work, "unpacked").rename(directory)
    return directory / "bin" / "busybox"


def static_c(name, directory):
    """The C program of tests/clients/NAME.c, linked statically."""
    program = directory / name
    subprocess.run([need("cc"), "-static", "-o", program, SOURCES / f"{name}.c"], check=True)
    return program


def static_rust(name):
    """The program of that name in tests/clients/static; with musl, where Rust has its standard library for it."""
    sysroot = subprocess.run([need("rustc"), "--print", "sysroot"], check=True, capture_output=True, text=True)
    targets = [f"{platform.machine()}-unknown-linux-{libc}" for libc in ["musl", "gnu"]]
    installed = Path(sysroot.stdout.strip(), "lib", "rustlib")
    target = next(target for target in targets if (installed / target).exists())
    directory = paths.TARGET / "static"
    environment = clean_environment({"CARGO_TARGET_DIR": directory, "RUSTFLAGS": "-C target-feature=+crt-static"})
    command = [need("cargo"), "build", "--quiet", "--locked", "--bin", name, "--target", target]
    subprocess.run(command, cwd=SOURCES / "static", env=environment, check=True)
    return directory / target / "debug" / name
