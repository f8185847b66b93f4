"""Everything at once, at random, in a static program under the supervisor; and programs that are killed in the middle.

TAILCHAIN_STRESS_SECONDS says how long: 5 by default. In a minute there are more than 10,000 connects.
"""

import errno
import os
import signal
import sys
import time
from pathlib import Path

from support.erratic import Erratic
from support.probe import probe, run_probe
from support.proxy import Mood, Proxy
from support.run import finish, run_under, start
from support.server import EchoServer

SECONDS = int(os.environ.get("TAILCHAIN_STRESS_SECONDS", "5"))
THREADS = 8


class Counted(Erratic):
    """Knows how many connections it made."""

    made = 0

    def dial(self, request):
        server, error = super().dial(request)
        with self.lock:
            self.made += server is not None
        return server, error


class CountingServer(EchoServer):
    """Knows how many connections it got."""

    got = 0

    def handle(self, connection):
        with self.lock:
            self.got += 1
        super().handle(connection)


def supervisor_of(process):
    """Its pid, once it is there."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text() == "tailchain\n":
                return Path(f"/proc/{pid}")
        time.sleep(0.01)
    raise AssertionError("there is no supervisor")


def run(config, echo, refusing, seconds):
    program = probe("stress", "-static")
    words = ["127.0.0.1", echo.port, refusing, seconds, THREADS, "children-do-not-ask"]
    return start(program, words, conf=config, via="supervised", options=["-q"])


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_until_gone(process):
    """The process that adopts it may reap it late."""

    def is_gone():
        try:
            return (process / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except OSError:
            return True

    wait_until(is_gone)


def test_everything_at_random(conf, refusing):
    with Counted() as proxy, CountingServer(keep=False) as echo:
        process = run(conf([proxy], "tcp_read_time_out 60000"), echo, refusing, SECONDS)
        supervisor = supervisor_of(process)
        open_at_first = len(os.listdir(supervisor / "fd"))
        most = 0
        while process.poll() is None:
            most = max(most, len(os.listdir(supervisor / "fd")) if supervisor.exists() else 0)
            time.sleep(0.2)
        result = finish(process, timeout=SECONDS + 100).ok()
        happened, mistakes = result.out.splitlines()
        assert mistakes == "hung 0 wrong_bytes 0 lied 0 stolen 0 threads 1 descriptors +0 grown_much 0", happened
        # Some for each thread that connects, and what waits to be told or looked at; not one for each connection.
        assert most < open_at_first + 20 * THREADS, happened
        # Nothing came past the proxy.
        wait_until(lambda: echo.got == proxy.made)
        assert proxy.made > 100
        wait_until_gone(supervisor)


RESTARTED_SECONDS = int(os.environ.get("TAILCHAIN_RESTARTED_SECONDS", "3"))


def test_no_result_is_lost_to_a_signal(conf, proxy, make_echo, refusing):
    """Not even where the signal comes between the supervisor's reply and the caller."""
    echo = make_echo(keep=False)
    words = ["127.0.0.1", echo.port, refusing, RESTARTED_SECONDS]
    result = run_probe("restarted", *words, conf=conf([proxy]), via="supervised", options=["-q"]).ok()
    assert result.out == "many rounds 1\n"


REPEATS = """
import signal, socket, sys
{handler}
to = ("127.0.0.1", int(sys.argv[1]))
for block in [True, False]:
    one = socket.socket()
    one.setblocking(block)
    connect = one.connect_ex
    print(connect(to), connect(to), connect(to))
"""


def test_a_call_that_is_repeated_at_once_is_taken_for_a_restarted_one(conf, make_proxy, echo):
    """Once, and only of a program that catches signals."""
    config = conf([make_proxy(Mood(delay=0.5))])

    def run(handler):
        words = ["-u", "LD_PRELOAD", sys.executable, "-c", REPEATS.format(handler=handler), echo.port]
        return run_under("env", words, conf=config, via="supervised").ok().out.split()

    again, connected, pending = map(str, [errno.EALREADY, errno.EISCONN, errno.EINPROGRESS])
    none = "signal.signal(signal.SIGINT, signal.SIG_DFL)"
    assert run(none) == ["0", connected, connected, pending, again, again]
    assert run("") == ["0", "0", connected, pending, pending, again]


def test_programs_that_are_killed(conf, refusing):
    """Their supervisors end too, with connects under way."""
    with Proxy() as proxy, CountingServer(keep=False) as echo:
        config = conf([proxy], "tcp_read_time_out 60000")
        for pause in [0.02, 0.1, 0.3]:
            process = run(config, echo, refusing, 60)
            supervisor = supervisor_of(process)
            time.sleep(pause)
            os.kill(process.pid, signal.SIGKILL)
            assert finish(process).code == -signal.SIGKILL
            wait_until_gone(supervisor)
