"""A supervised blocking connect that is interrupted, or that others watch, compared with the kernel's."""

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

    def one(run, via):
        place = tmp_path / via
        place.mkdir()
        with Gate(place) as gate, SlowServer(gate) if via == "bare" else EchoServer() as server:
            config = None if via == "bare" else conf([make_proxy(Mood(gate=gate))], *PATIENT)
            return run(via, server.port, gate, config)

    def compare(run):
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda via: one(run, via), ["bare", "supervised"]))

    return compare


@pytest.mark.parametrize("name", SCRIPTS)
def test_an_interrupted_connect_goes_on_as_in_the_kernel(both, name):
    def run(via, port, gate, config):
        words = [word.format(port=port, gate=gate.path) for word in ["socket inet stream 0", *SCRIPTS[name], *END]]
        return script(*words, via=via, conf=config)

    bare, supervised = both(run)
    assert supervised == bare


@pytest.mark.parametrize("words", ["beside {port} observe {gate}", "beside {port} fork {gate}",
                                   "waiters {port} {gate} gate 1", "waiters {port} {gate} shutdown 1"])  # fmt: skip
def test_other_threads_and_children_see_a_connecting_socket(both, words):
    def run(via, port, gate, config):
        name, *rest = words.format(port=port, gate=gate.path).split()
        options = [] if via == "bare" else ["-q"]
        return run_probe(name, "127.0.0.1", *rest, via=via, conf=config, options=options).ok().out

    bare, supervised = both(run)
    assert supervised == bare
