"""A thread that never returns from a blocking connect: its signal handler jumps away, it is cancelled, or it ends. The
connect continues, as in the kernel, and the socket is connecting; nothing else is left behind."""

import pytest

from support.probe import run_probe
from support.proxy import SILENCE, Mood

WAYS = ["jump", "cancel", "exit", "deferred"]
PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")


def left(times, number=None):
    number = times if number is None else number
    return f"left {times}, connecting {number}, connected 0, cancellation enabled, threads 1, descriptors 3\n"


@pytest.fixture
def silent(conf, make_proxy):
    return conf([make_proxy(Mood(instead={"request": SILENCE}))], *PATIENT)


@pytest.mark.parametrize("way", WAYS)
def test_the_socket_is_connecting_and_nothing_is_left_when_it_is_closed(silent, echo, way):
    result = run_probe("left", "127.0.0.1", echo.port, 60, way, 20_000, 1_000, conf=silent, options=["-q"])
    assert result.ok().out == left(60)


def test_a_jump_at_any_moment_leaves_the_heap_whole(silent, echo):
    """Also when nothing sleeps: an alarm before connect only finds that no socket is in use."""
    times = 4000
    result = run_probe("left", "127.0.0.1", echo.port, times, "jump", 1, 45, conf=silent, options=["-q"]).ok()
    *early, last = result.out.splitlines()
    assert last + "\n" == left(times, times - len(early))
    assert {line.split(": ")[1] for line in early} <= {"ready"}
    assert len(early) < times / 4


def test_a_jump_out_of_a_connect_that_does_not_wait_leaves_nothing_half_done(silent, echo):
    times = 3000
    result = run_probe("left", "127.0.0.1", echo.port, times, "pending", 60, 4, conf=silent, options=["-q"]).ok()
    *early, last = result.out.splitlines()
    # A jump from the hook's very first steps, before there is anything to undo, may leave cancellation disabled.
    assert last.replace("disabled", "enabled") + "\n" == left(times, times - len(early))
    assert {line.split(": ")[1] for line in early} <= {"ready"}


def test_before_the_proxy_is_connected(conf, deaf, echo):
    config = conf([f"socks5 127.0.0.1 {deaf}"], *PATIENT)
    for way in WAYS:
        result = run_probe("left", "127.0.0.1", echo.port, 5, way, 20_000, 1_000, conf=config, options=["-q"])
        assert result.ok().out == left(5)
