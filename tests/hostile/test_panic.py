"""A panic in a hook is a failure of that call: nothing crashes, and nothing bypasses the proxy."""

import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import probe
from support.run import run_under


@pytest.fixture(scope="module")
def panicking():
    """The library, built so that its hooks panic while TAILCHAIN_PANIC is set."""
    target = paths.TARGET / "panic"
    command = [need("cargo"), "build", "--quiet", "--release", "--package", "tailchain", "--features", "panic-probe"]
    subprocess.run([*command, "--target-dir", str(target)], cwd=paths.ROOT, check=True)
    return target / "release" / "libtailchain.so"


def run(library, config, *operations, **environment):
    environment = {"LD_PRELOAD": library, "PROXYCHAINS_CONF_FILE": config, **environment}
    return run_under(probe("socket_script"), operations, via="bare", env=environment).ok()


def answers(result):
    return [line.split(" -> ", 1)[1] for line in result.out.splitlines()]


def test_without_the_request_it_works(panicking, conf, proxy, echo):
    result = run(panicking, conf([proxy]), "socket inet stream", f"connect 127.0.0.1 {echo.port}")
    assert answers(result)[1] == "0"


@pytest.mark.parametrize("rule", ["", "localnet 127.0.0.0/8"])
def test_every_hook_fails_and_nothing_is_connected(panicking, conf, proxy, echo, rule):
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "get SOL_SOCKET SO_TYPE", "peer"]
    result = run(panicking, conf([proxy], rule), *operations, TAILCHAIN_PANIC="1")
    assert [answer.split()[:2] for answer in answers(result)[1:]] == [["-1", "EIO"]] * 3
    assert proxy.requests == []
    assert echo.received == []
    assert "bug in tailchain" in result.err


def test_a_quiet_library_panics_quietly(panicking, conf, proxy, echo):
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}"]
    result = run(panicking, conf([proxy], "quiet_mode"), *operations, TAILCHAIN_PANIC="1")
    assert answers(result)[1] == "-1 EIO"
    assert result.err == ""
