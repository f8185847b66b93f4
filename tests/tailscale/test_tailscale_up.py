"""`tailchain tailscale up --watch PID`: Tailscale beside a process that others start, such as a dyno's shell."""

import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from support import paths
from support.run import run_under


@pytest.fixture
def app():
    """The process that Tailscale is for."""
    with running(["sleep", "3600"]) as process:
        yield process


@contextmanager
def running(words):
    process = subprocess.Popen(words)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def up(tailscale, pid, **variables):
    words = ["tailscale", "up", "--watch", pid]
    # The supervisor keeps stderr open for later messages: a file, because a pipe would have no end.
    log = tailscale.directory / "log"
    with open(log, "wb") as errors:
        command = [str(word) for word in [paths.COMMAND, *words]]
        environment = tailscale.whole_environment(**variables)
        code = subprocess.run(command, env=environment, stderr=errors, timeout=90).returncode
    return code, log


def wait_for(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within a minute"
        time.sleep(0.02)


def supervisor(tailscale):
    return tailscale.details("started")[-1]["parent"]


def is_over(pid):
    """Whether it has ended, waited for or not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_up_returns_once_the_proxy_is_usable(tailscale, app, conf, echo):
    code, log = up(tailscale, app.pid)
    assert code == 0 and "Tailscale is up" in log.read_text()
    config = conf([f"socks5 127.0.0.2 {tailscale.port}"], "proxy_dns")
    result = run_under("bash", ["-c", f"exec 3<>/dev/tcp/db.tail.test/{echo.port}"], conf=config).ok()
    assert any("OK" in chain for chain in result.chains)


def test_when_the_process_ends_tailscaled_is_stopped(tailscale, app):
    up(tailscale, app.pid)
    watcher = supervisor(tailscale)
    app.kill()
    app.wait()
    wait_for(lambda: is_over(watcher))
    assert tailscale.events("SIGINT") == ["SIGINT"]
    assert is_over(tailscale.pids()[0])


def test_sigterm_to_all_processes_leaves_tailscaled_until_the_app_has_ended(tailscale, app):
    """What Heroku does at the end of a dyno, with an app that takes its time."""
    up(tailscale, app.pid)
    watcher, [daemon] = supervisor(tailscale), tailscale.pids()
    for pid in [daemon, watcher]:
        os.kill(pid, signal.SIGTERM)
    # The supervisor has seen its signal when none is pending, and has had no reason to act on it.
    time.sleep(1)
    assert not is_over(watcher) and not is_over(daemon)
    assert tailscale.events("SIGTERM", "SIGINT") == []
    app.kill()
    app.wait()
    wait_for(lambda: is_over(watcher))
    assert tailscale.events("SIGTERM", "SIGINT") == ["SIGINT"]


def test_an_app_that_does_not_end_is_not_waited_for_for_ever(tailscale, app):
    up(tailscale, app.pid, TAILSCALE_DRAIN_TIMEOUT="1s")
    watcher = supervisor(tailscale)
    os.kill(watcher, signal.SIGTERM)
    wait_for(lambda: is_over(watcher))
    assert tailscale.events("SIGINT") == ["SIGINT"] and app.poll() is None


def test_a_tailscaled_that_is_killed_is_started_again_and_logs_in(tailscale, app):
    _, log = up(tailscale, app.pid)
    os.kill(tailscale.pids()[0], signal.SIGKILL)
    wait_for(lambda: log.read_text().count("Tailscale is up") == 2)
    assert tailscale.events("started", "up") == ["started", "up", "started", "up"]
    assert "tailscaled ended (signal: 9 (SIGKILL)) while the program runs; started again in 1 s" in log.read_text()


def test_a_tailscaled_that_keeps_ending_is_restarted_less_and_less_often(tailscale, app):
    """Each start is a login for the control server."""
    _, log = up(tailscale, app.pid)

    def wait_for_times(count, text):
        wait_for(lambda: log.read_text().count(text) == count)

    for count in [1, 2, 3]:
        wait_for_times(count, "Tailscale is up")
        os.kill(tailscale.pids()[-1], signal.SIGKILL)
        wait_for_times(count, "started again")
    assert re.findall(r"started again in (\d+) s", log.read_text()) == ["1", "2", "4"]


def test_a_new_start_that_fails_is_tried_again(tailscale, app):
    _, log = up(tailscale, app.pid)
    tailscale.mood("refuse")
    os.kill(tailscale.pids()[0], signal.SIGKILL)
    wait_for(lambda: "cannot log in" in log.read_text())
    tailscale.mood()
    wait_for(lambda: log.read_text().count("Tailscale is up") == 2)


def test_a_key_on_the_terminal_does_not_reach_it(tailscale, app):
    """It is in a session of its own, as is what it starts."""
    up(tailscale, app.pid)
    watcher, [daemon] = supervisor(tailscale), tailscale.pids()
    assert os.getsid(watcher) == watcher != os.getsid(0)
    assert os.getsid(daemon) == watcher


@pytest.mark.parametrize("mood, reason", [("refuse", "invalid key"), ("hang", "not logged in after 2 s")])
def test_a_failure_is_exit_1_with_the_reason_and_leaves_nothing(tailscale, app, mood, reason):
    tailscale.mood(mood)
    code, log = up(tailscale, app.pid, TAILSCALE_TIMEOUT="2s")
    assert code == 1 and reason in log.read_text()
    assert "s3cret" not in log.read_text()
    assert is_over(tailscale.pids()[0])


def test_without_a_key_there_is_nothing_to_start(tailscale, app):
    code, log = up(tailscale, app.pid, TAILSCALE_AUTH_KEY=None)
    assert code == 1 and "TAILSCALE_AUTH_KEY is not set" in log.read_text()


def test_a_process_that_is_not_there_cannot_be_watched(tailscale):
    with running(["true"]) as process:
        process.wait()
    code, log = up(tailscale, process.pid)
    assert code == 1 and f"cannot watch process {process.pid}" in log.read_text()
    assert tailscale.events() == []


def test_a_second_start_on_the_same_socket_finds_the_first(tailscale, app):
    """As when a shell inside of a dyno runs the start script again."""
    socket = tailscale.directory / "run" / "tailscaled.sock"
    assert up(tailscale, app.pid, TAILSCALE_SOCKET=socket)[0] == 0
    code, log = up(tailscale, app.pid, TAILSCALE_SOCKET=socket)
    assert code == 0 and "Tailscale is up already" in log.read_text()
    assert tailscale.events("started") == ["started"]
