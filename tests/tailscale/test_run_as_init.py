"""`tailchain run` as process 1 of a container: signals without a handler do not reach it, and it adopts orphans."""

import os
import signal
import sys

import pytest

from support import paths
from support.need import need
from support.processes import APP, children, wait_for
from support.run import finish, start

ENTER = ["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]

# A child ends and leaves a child of its own behind, which ends as well. A zombie would remain in /proc.
ORPHAN = """
import os, pathlib, sys, time
reader, writer = os.pipe()
if os.fork() == 0:
    if os.fork() == 0:
        os.write(writer, str(os.getpid()).encode())
        time.sleep(0.3)
        os._exit(0)
    os._exit(0)
os.wait()
orphan = os.read(reader, 20).decode()
deadline = time.monotonic() + 60
while pathlib.Path("/proc", orphan).exists() and time.monotonic() < deadline:
    time.sleep(0.02)
print("a zombie" if pathlib.Path("/proc", orphan).exists() else "reaped", os.getppid())
"""


@pytest.fixture
def container(tailscale, conf):
    """container(command, …): the command under `tailchain run`, which is process 1."""
    config = conf([f"socks5 127.0.0.1 {tailscale.port}"], "proxy_dns")

    def make(*command, options=(), **variables):
        environment = tailscale.environment(PROXYCHAINS_CONF_FILE=config, **variables)
        words = [*ENTER, *options, paths.COMMAND, "run", "--", *command]
        return start(need("unshare"), words, via="bare", env=environment)

    return make


def signal_init(process, number):
    """From outside the container, as its engine does."""
    [init] = children(process.pid)
    os.kill(init, number)


def app(tailscale, container, code, **variables):
    process = container(sys.executable, "-c", APP, tailscale.record, code, 0, **variables)
    wait_for(lambda: "app-started" in tailscale.events(), process)
    return process


@pytest.mark.parametrize("variables", [{}, {"DYNO": "web.1"}])
def test_a_container_that_is_stopped_ends_the_app_and_then_tailscaled(tailscale, container, variables):
    """The engine signals only process 1, even if it sets DYNO as Heroku does."""
    process = app(tailscale, container, "7", **variables)
    signal_init(process, signal.SIGTERM)
    assert finish(process).code == 7
    assert tailscale.events("app-SIGTERM", "app-ends", "SIGINT") == ["app-SIGTERM", "app-ends", "SIGINT"]


def test_a_command_without_a_handler_ends_as_well(tailscale, container):
    """It would not, as process 1 itself."""
    process = container("sh", "-c", f"echo 'app-started {{}}' >>{tailscale.record}; exec sleep 3600")
    wait_for(lambda: "app-started" in tailscale.events(), process)
    signal_init(process, signal.SIGTERM)
    assert finish(process).code == 143
    assert tailscale.events("SIGINT") == ["SIGINT"]


def test_a_container_that_is_stopped_while_it_starts(tailscale, container):
    tailscale.mood("hang")
    process = container("echo", "started")
    wait_for(lambda: "up" in tailscale.events(), process)
    signal_init(process, signal.SIGTERM)
    result = finish(process)
    assert result.code == 143 and result.out == ""
    assert tailscale.events("SIGINT") == ["SIGINT"]


def test_orphans_are_reaped(container):
    assert finish(container(sys.executable, "-c", ORPHAN)).ok().out == "reaped 1\n"


def test_the_exit_status_is_the_commands_own(container):
    assert finish(container("sh", "-c", "exit 42")).code == 42


READ_ONLY = """
    set -e
    mount --bind "$1" /mnt
    mount --bind /tmp /tmp
    mount -o remount,ro,bind /tmp
    mount --bind /mnt "$1"
    shift
    exec "$@"
"""


def test_a_container_where_tmp_cannot_be_written(tailscale, container, tmp_path):
    """`docker run --read-only` leaves only /dev/shm writable."""
    options = ["sh", "-c", READ_ONLY, "sh", tmp_path]
    finish(container("sh", "-c", "! touch /tmp/x", options=options, TMPDIR=None)).ok()
    assert tailscale.events() == ["started", "up", "SIGINT"]
