"""While one thread sleeps in a blocking connect, other threads and child processes see a socket that is connecting, and
its fd may be reused for another file: the same bare and through a proxy."""

import pytest

from support.gate import Gate
from support.probe import run_probe
from support.proxy import Mood
from support.server import EchoServer, GoingServer, SlowServer

PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")


def bare(directory, what, **options):
    directory.mkdir()
    with Gate(directory) as gate, SlowServer(gate, **options) as server:
        return run_probe("beside", "127.0.0.1", server.port, what, gate.path, via="bare").ok().out


def proxied(directory, what, conf, make_proxy, **options):
    with Gate(directory) as gate, EchoServer(**options) as server:
        config = conf([make_proxy(Mood(gate=gate))], *PATIENT)
        return run_probe("beside", "127.0.0.1", server.port, what, gate.path, conf=config, options=["-q"]).ok().out


@pytest.mark.parametrize("what", ["observe", "fork"])
def test_others_see_a_socket_that_is_connecting(conf, make_proxy, tmp_path, what):
    seen = proxied(tmp_path, what, conf, make_proxy)
    assert seen == bare(tmp_path / "bare", what)
    assert "poll 0, getpeername ENOTCONN, recv EAGAIN, send EAGAIN" in seen
    assert "connect 0\nflags block\necho 1\n" in seen


def test_a_thread_that_selects_for_reading_gets_what_the_server_says(conf, make_proxy, tmp_path):
    """As CPython's TCPCloserTest.testClose does; no reply of the proxy may reach it."""
    options = {"banner": b"220 ", "delay": 0.3}
    seen = proxied(tmp_path, "select", conf, make_proxy, **options)
    assert seen == bare(tmp_path / "bare", "select", **options)
    assert seen.startswith("select 1, recv 4 220 \nconnect 0\n")


def test_a_socket_that_reuses_the_fd_is_neither_written_nor_read(conf, proxy, echo):
    config = conf([proxy])
    result = run_probe("beside", "127.0.0.1", echo.port, "reuse", 2000, conf=config, options=["-q"]).ok()
    assert result.out.startswith("written 0, taken 0, ")


@pytest.mark.parametrize("blocking", [1, 0])
def test_one_waiting_thread_gets_the_error_and_the_others_epipe(conf, make_proxy, tmp_path, blocking):
    """The kernel reports a socket's error once; later callers get EPIPE."""
    (tmp_path / "bare").mkdir()
    with Gate(tmp_path / "bare") as gate, GoingServer(gate) as server:
        words = ["127.0.0.1", server.port, gate.path, "gate", blocking]
        expected = run_probe("waiters", *words, via="bare").ok().out
    assert expected.endswith("gate: ECONNREFUSED EPIPE EPIPE\n")
    for reply, error in [(5, "ECONNREFUSED"), (2, "EACCES")]:
        with Gate(tmp_path) as gate, EchoServer() as server:
            config = conf([make_proxy(Mood(gate=gate, reply=reply))], *PATIENT)
            words = ["127.0.0.1", server.port, gate.path, "gate", blocking]
            seen = run_probe("waiters", *words, conf=config, options=["-q"]).ok().out
        assert seen == expected.replace("ECONNREFUSED", error)
