"""A connect that is interrupted, stopped, or ended by a time limit: the same scripts bare, preloaded and supervised."""

import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.gate import Gate
from support.probe import probe, run_probe, script
from support.proxy import Mood
from support.run import finish, run_under, start
from support.server import EchoServer, SlowServer

PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")
CONNECT = "connect 127.0.0.1 {port}"
OPEN = "open {gate}"
ERROR = "get SOL_SOCKET SO_ERROR"
END = [OPEN, "ready poll OUT 20000", ERROR, "send hello", "ready poll IN 20000", "recv 5"]

SCRIPTS = {
    "an alarm": ["interrupt 100 plain", CONNECT, "interrupt 100 plain", CONNECT],
    "a time limit": ["set_time SO_SNDTIMEO 100", CONNECT, CONNECT, CONNECT],
    "an alarm and a time limit": ["set_time SO_SNDTIMEO 300", "interrupt 100 plain", CONNECT, CONNECT],
}


@pytest.fixture
def answers(conf, tmp_path, make_proxy):
    """answers(operations, via): bare, the server answers no SYN before the gate is open; else the proxy no request."""

    def run(operations, via):
        place = tmp_path / via
        place.mkdir()
        with Gate(place) as gate, SlowServer(gate) if via == "bare" else EchoServer() as server:
            config = None if via == "bare" else conf([make_proxy(Mood(gate=gate))], *PATIENT)
            words = [operation.format(port=server.port, gate=gate.path) for operation in operations]
            return script(*words, via=via, conf=config)

    return run


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_connect_that_does_not_come_to_its_end(answers, name):
    operations = ["socket inet stream 0", *SCRIPTS[name], *END]
    with ThreadPoolExecutor() as pool:
        ways = ["bare", "preload", "supervised"]
        bare, preloaded, supervised = pool.map(lambda via: answers(operations, via), ways)
    assert preloaded == bare
    if name == "an alarm and a time limit":
        # A second EINTR: docs/limits.md, "Under a supervisor".
        assert (bare[4], supervised[4]) == ("-1 EALREADY", "-1 EINTR")
        bare[4] = supervised[4]
    assert supervised == bare


def stopped(via, place, conf, make_proxy):
    """What the script prints whose process is stopped, and goes on, while it connects."""
    place.mkdir()
    with Gate(place) as gate, SlowServer(gate) if via == "bare" else EchoServer() as server:
        config = None if via == "bare" else conf([make_proxy(Mood(gate=gate))], *PATIENT)
        words = ["socket inet stream 0", f"connect 127.0.0.1 {server.port}", "send hello", "recv 5"]
        flags = ["-static"] if via == "supervised" else []
        process = start(probe("socket_script", *flags), words, conf=config, via=via)
        for number in [signal.SIGSTOP, signal.SIGCONT] * 2:
            time.sleep(0.2)
            os.kill(process.pid, number)
        gate.opened.set()
        return [line.split(" -> ")[1] for line in finish(process).ok().out.splitlines()]


def test_a_connect_whose_process_is_stopped_and_goes_on(conf, make_proxy, tmp_path):
    with ThreadPoolExecutor() as pool:
        ways = ["bare", "preload", "supervised"]
        seen = pool.map(lambda via: stopped(via, tmp_path / via, conf, make_proxy), ways)
        assert list(seen) == [["3", "0", "5", "5 hello"]] * 3


RIGHTS = """
import os, select, socket, sys
here, there = socket.socketpair()
one = socket.socket()
one.setblocking(False)
one.connect_ex(("127.0.0.1", int(sys.argv[1])))
socket.send_fds(here, [b"x"], [one.fileno()])
child = os.fork()
if child == 0:
    one.close()
    (fd,) = socket.recv_fds(there, 1, 1)[1]
    one = socket.socket(fileno=fd)
def talk(name):
    select.select([], [one], [], 20)
    peer = one.getpeername()[1] == int(sys.argv[1])
    print(name, one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), peer, flush=True)
    one.sendall(b"hello")
    select.select([one], [], [], 20)
    print(name, one.recv(5).decode(), flush=True)
if child == 0:
    talk("child")
    os._exit(0)
os.waitpid(child, 0)
talk("parent")
"""


@pytest.mark.parametrize("via", ["bare", "supervised"])
def test_a_pending_socket_that_another_process_receives(conf, make_proxy, echo, via):
    config = None if via == "bare" else conf([make_proxy(Mood(delay=0.3))])
    words = ["-u", "LD_PRELOAD", sys.executable, "-c", RIGHTS, echo.port]
    result = run_under("env", words, conf=config, via=via).ok()
    assert result.out.splitlines() == ["child 0 True", "child hello", "parent 0 True", "parent hello"]


def test_a_deferred_syn_does_not_bypass_the_proxy(conf, proxy, echo):
    """TCP_FASTOPEN_CONNECT: connect(2) returns, and the first write connects."""
    words = ["option", "127.0.0.1", echo.port, "early"]
    bare = run_probe("fastopen", *words, via="bare").ok()
    assert run_probe("fastopen", *words, conf=conf([proxy]), via="supervised").ok().out == bare.out
    assert proxy.targets == [("127.0.0.1", echo.port)]
