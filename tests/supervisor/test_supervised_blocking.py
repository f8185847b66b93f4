"""A supervised blocking connect that is interrupted, or that others watch, compared with the kernel's."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.gate import Gate
from support.probe import run_probe, script
from support.proxy import Mood
from support.server import EchoServer, SlowServer

PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")
CONNECT = "connect 127.0.0.1 {port}"
LOOK = ["ready poll OUT 100", "peer"]
END = ["open {gate}", "ready poll OUT 20000", "get SOL_SOCKET SO_ERROR", "send hello", "ready poll IN 20000", "recv 5"]
SCRIPTS = {
    "an alarm": ["interrupt 100 plain", CONNECT, *LOOK],
    "a time limit": ["set_time SO_SNDTIMEO 100", CONNECT, *LOOK],
    "a restarting alarm and a time limit": ["set_time SO_SNDTIMEO 60000", "interrupt 100 restart", CONNECT, *LOOK],
}


@pytest.fixture
def both(conf, tmp_path, make_proxy):
    """both(run): what run(via, port, gate, config) gives bare, and supervised."""

    def one(run, via, server):
        place = tmp_path / via
        place.mkdir()
        with Gate(place) as gate, SlowServer(gate, **server) if via == "bare" else EchoServer(**server) as server:
            config = None if via == "bare" else conf([make_proxy(Mood(gate=gate))], *PATIENT)
            return run(via, server.port, gate, config)

    def compare(run, **server):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda via: one(run, via, server), ["bare", "supervised"]))

    return compare


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_interrupted_connect_goes_on_as_in_the_kernel(both, name):
    def run(via, port, gate, config):
        words = [word.format(port=port, gate=gate.path) for word in ["socket inet stream 0", *SCRIPTS[name], *END]]
        return script(*words, via=via, conf=config)

    bare, supervised = both(run)
    assert supervised == bare


@pytest.mark.parametrize("words", ["beside {port} observe {gate}", "beside {port} fork {gate}",
                                   "beside {port} shared {gate}",
                                   "waiters {port} {gate} gate 1", "waiters {port} {gate} shutdown 1"])  # fmt: skip
def test_other_threads_and_children_see_a_connecting_socket(both, words):
    def run(via, port, gate, config):
        name, *rest = words.format(port=port, gate=gate.path).split()
        options = [] if via == "bare" else ["-q"]
        return run_probe(name, "127.0.0.1", *rest, via=via, conf=config, options=options).ok().out

    bare, supervised = both(run)
    assert supervised == bare


def test_a_thread_that_selects_for_reading_gets_what_the_server_says(both):
    def run(via, port, gate, config):
        options = [] if via == "bare" else ["-q"]
        return (
            run_probe("beside", "127.0.0.1", port, "select", gate.path, via=via, conf=config, options=options).ok().out
        )

    began = time.monotonic()
    bare, supervised = both(run, banner=b"220 ", delay=0.3)
    assert supervised == bare
    # The limit of its select is 20 s.
    assert time.monotonic() - began < 15
    assert supervised.startswith("select 1, recv 4 220 \nconnect 0\n")
