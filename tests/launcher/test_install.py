"""`make install` and `make uninstall`, into a directory of the test."""

import os
import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import probe
from support.run import clean_environment, run_under

INSTALLED = [
    "bin/proxychains4",
    "bin/tailchain",
    "lib/libtailchain.so",
    "lib/libproxychains4.so",
    "include/tailchain.h",
    "share/man/man1/proxychains4.1",
    "share/man/man1/tailchain.1",
    "share/man/man1/tailchain-run.1",
    "share/man/man5/proxychains.conf.5",
    *(
        f"share/{directory}/{name}"
        for directory, names in {
            "bash-completion/completions": ["proxychains4", "tailchain"],
            "zsh/site-functions": ["_proxychains4", "_tailchain"],
            "fish/vendor_completions.d": ["proxychains4.fish", "tailchain.fish"],
        }.items()
        for name in names
    ),
]


def make(target, destination):
    # As a user runs it: without the variables of an outer make.
    environment = {
        name: value for name, value in clean_environment().items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")
    }
    subprocess.run(
        [need("make"), "-C", paths.ROOT, target, f"DESTDIR={destination}"],
        check=True,
        capture_output=True,
        env=environment,
    )


@pytest.fixture
def installed(tmp_path):
    make("install", tmp_path)
    return tmp_path


def test_every_file_is_in_its_place_and_goes_again(installed):
    files = [installed / "usr/local" / name for name in INSTALLED]
    assert [file for file in files if not file.exists()] == []
    make("uninstall", installed)
    left = [file for file in installed.rglob("*") if file.is_file()]
    assert [file.name for file in left] == ["proxychains.conf"]


def test_a_config_that_is_there_is_not_overwritten(installed):
    [config] = installed.rglob("proxychains.conf")
    config.write_text("# mine\n")
    make("install", installed)
    assert config.read_text() == "# mine\n"
    make("uninstall", installed)
    assert config.exists()


@pytest.mark.parametrize("name", ["proxychains.conf", "proxychains4.conf"])
def test_a_config_of_proxychains_ng_stays_in_use(tmp_path, name):
    config = tmp_path / "etc" / name
    config.parent.mkdir()
    config.write_text("# mine\n")
    make("install", tmp_path)
    assert [*tmp_path.rglob("proxychains*.conf")] == [config]
    assert config.read_text() == "# mine\n"


@pytest.mark.parametrize("library", ["libtailchain.so", "libproxychains4.so"])
def test_the_installed_files_work_where_they_are(installed, conf, proxy, echo, library):
    words = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "send hello", "recv 5"]
    launcher = installed / "usr/local/bin/proxychains4"
    assert "5 hello" in run_under(launcher, ["-f", conf([proxy]), probe("socket_script"), *words], via="bare").ok().out
    environment = {"LD_PRELOAD": installed / "usr/local/lib" / library, "PROXYCHAINS_CONF_FILE": conf([proxy])}
    assert "5 hello" in run_under(probe("socket_script"), words, via="bare", env=environment).ok().out
    assert proxy.targets == [("127.0.0.1", echo.port)] * 2


def test_the_launcher_works_through_a_link(installed, conf, proxy, tmp_path):
    link = tmp_path / "link"
    os.symlink(installed / "usr/local/bin/proxychains4", link)
    result = run_under(link, ["-f", conf([proxy]), "true"], via="bare").ok()
    assert f"preloading {installed}/usr/local/lib/libtailchain.so" in result.err
