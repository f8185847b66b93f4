"""What a program's own handlers do during a connect: fork handlers (pthread_atfork) and signal handlers. The same bare
and through a proxy."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count, product

import pytest

from support.gate import Gate
from support.probe import run_probe
from support.proxy import Mood
from support.server import EchoServer, SlowServer

PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")


@pytest.fixture
def both(conf, tmp_path, make_proxy):
    """both(probe, *variants): its output bare, which must be the same through a proxy. The words of a variant follow
    the server's address and the gate."""
    # Concurrent calls: each has its own directory.
    names = count()

    def bare(name, words):
        directory = tmp_path / f"bare{next(names)}"
        directory.mkdir()
        with Gate(directory) as gate, SlowServer(gate) as server:
            return printed(run_probe(name, "127.0.0.1", server.port, gate.path, *words, via="bare", timeout=15))

    def proxied(name, words):
        directory = tmp_path / f"proxied{next(names)}"
        directory.mkdir()
        with Gate(directory) as gate, EchoServer() as server:
            config = conf([make_proxy(Mood(gate=gate))], *PATIENT)
            where = ["127.0.0.1", server.port, gate.path]
            return printed(run_probe(name, *where, *words, conf=config, options=["-q"], timeout=15))

    def printed(result):
        # A parent and its child may print in either order.
        return sorted(result.ok().out.splitlines())

    def compare(name, *variants):
        with ThreadPoolExecutor(8) as pool:
            pairs = [(words, pool.submit(bare, name, words), pool.submit(proxied, name, words)) for words in variants]
        expected = {words: one.result() for words, one, _ in pairs}
        assert {words: other.result() for words, _, other in pairs} == expected
        return expected

    return compare


def test_fork_handlers_that_were_there_before_ours(both):
    seen = both("fork_handlers", ())
    assert "the child: poll 1 error 0 0 again 0 echo 1" in seen[()]


@pytest.mark.parametrize("what", ["shutdown", "unspec", "connect", "fork"])
def test_a_signal_handler_of_the_thread_that_is_connecting(both, what):
    both("own_handler", *product(["restart", "plain"], ["alone", "threads"], [what]))


def test_a_child_that_is_cloned_beside_a_fork_may_close_what_failed(conf, make_proxy, echo):
    """The locks are then held by a thread that does not exist in the child."""
    result = run_probe("clone_in_fork", "127.0.0.1", echo.port, conf=conf([make_proxy(Mood(reply=2))]), options=["-q"])
    assert result.ok().out == "child 0\nerror EACCES\n"


@pytest.mark.parametrize("handler", ["restart", "plain"])
def test_a_handler_that_closes_the_socket_before_the_proxy_is_connected(conf, deaf, handler):
    """What it opens under that fd is its own."""
    config = conf([f"socks5 127.0.0.1 {deaf}"], *PATIENT)
    result = run_probe("handler_closes", "127.0.0.1", 80, handler, conf=config, options=["-q"])
    assert result.ok().out == "connect EBADF, replaced 0, taken 0, written 0\n"
