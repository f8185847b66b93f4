"""The content of the packages, and what the tools for such packages report."""

import platform
import subprocess
import tarfile
import zipfile

import pytest

from support import elf, paths
from support.need import need

MACHINE = platform.machine()
FILES = paths.TARGET / "packages" / MACHINE
DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}.get(MACHINE)


@pytest.fixture(params=["system", "dyno"])
def files(request):
    directory = FILES / request.param
    if not directory.exists():
        pytest.skip("`make packages` was not run")
    return directory


def test_the_library_needs_glibc_2_17_and_nothing_else(files):
    library = files / "lib/libtailchain.so"
    assert max(elf.glibc_versions(library)) <= (2, 17)
    assert set(elf.needed_libraries(library)) <= {"libc.so.6", "ld-linux-x86-64.so.2"}


@pytest.mark.parametrize("name", ["proxychains4", "tailchain"])
def test_the_commands_need_no_libc(files, name):
    assert "INTERP" not in [kind for kind, _ in elf.segments(files / "bin" / name)]
    assert elf.needed_libraries(files / "bin" / name) == []


def test_each_file_has_its_checksum(package):
    sums = package("SHA256SUMS")
    subprocess.run([need("sha256sum"), "--check", "--quiet", "--strict", sums.name], cwd=sums.parent, check=True)
    named = {line.split()[1] for line in sums.read_text().splitlines()}
    assert named == {file.name for file in sums.parent.iterdir() if file.is_file()} - {sums.name}


def test_the_archive_has_what_the_buildpack_takes(package):
    with tarfile.open(package(f"tailchain-*-{MACHINE}.tgz")) as archive:
        members = {member.name: member for member in archive if member.isfile()}
    assert set(members) == {"bin/proxychains4", "bin/tailchain", "lib/libtailchain.so"}
    assert {member.uid for member in members.values()} == {0}


def test_lintian_finds_nothing(package):
    deb = package(f"tailchain_*_{DEBIAN}.deb")
    words = ["--allow-root", "--fail-on=error,warning,info", "--display-info", "--suppress-tags", NO_ADDRESS]
    result = subprocess.run([need("lintian"), *words, deb], capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "")


# A release's maintainer sets MAINTAINER= to an address.
NO_ADDRESS = "bogus-mail-host,bogus-mail-host-in-debian-changelog"


def test_the_wheel_is_a_manylinux_wheel(package):
    wheel = package(f"tailchain-*manylinux*_{MACHINE}.whl")
    auditwheel = paths.TARGET / "venv/bin/auditwheel"
    if not auditwheel.exists():
        pytest.skip("auditwheel is not in target/venv: tests/requirements.txt")
    said = subprocess.run([auditwheel, "show", wheel], check=True, capture_output=True, text=True).stdout
    assert f"manylinux_2_17_{MACHINE}" in " ".join(said.split())
    with zipfile.ZipFile(wheel) as archive:
        assert archive.testzip() is None


def test_npm_installs_commands_that_run(package, tmp_path, web_port, proxy):
    """Without its registry: the package has no dependencies."""
    words = ["install", "--offline", "--no-audit", "--no-fund", "--prefix", tmp_path, package("tailchain-*-npm.tgz")]
    subprocess.run([need("npm"), *words], check=True, capture_output=True)
    launcher = tmp_path / "node_modules/.bin/proxychains4"
    page = f"http://127.0.0.1:{web_port}/"
    command = [launcher, "-x", f"socks5://127.0.0.1:{proxy.port}", need("curl"), "-fsS", page]
    result = subprocess.run(command, check=True, capture_output=True, text=True)
    assert f"{tmp_path}/node_modules/tailchain/{MACHINE}/lib/libtailchain.so" in result.stderr
    assert proxy.targets == [("127.0.0.1", web_port)]
