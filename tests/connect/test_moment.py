"""A lone non-blocking connect is carried on for a moment before it returns: with a proxy on this machine the tunnel is
often established by then, and no placeholder and no thread are needed. To its program it is in progress all the same.
"""

import errno
import re
import sys
from pathlib import Path

import pytest

from support.gate import Gate
from support.need import need
from support.probe import probe, script
from support.proxy import SILENCE, Mood
from support.run import run_under

SOCKET = "socket inet stream 0 nonblock"
ERROR = "get SOL_SOCKET SO_ERROR"
READY = "ready poll OUT 20000"
TALK = ["send hello", "ready poll IN 20000", "recv 5"]
MODES = ["OUT", "IN+OUT+RDHUP", "OUT+ET", "IN+OUT+ET", "OUT+ONESHOT", "OUT+EXCLUSIVE", "OUT+ET+ONESHOT"]
# Who makes the tunnel: the helper thread, which implies a placeholder; or the caller, which waits for a moment.
HELPER, PLACEHOLDER, MOMENT = r"clone3?\(", r"socketpair\(", r"ppoll\(.*tv_sec=0, tv_nsec=[1-9]\d{0,4}}"

# How long a send takes, in milliseconds, on an increasingly busy machine.
BUSIER = [4, 20, 100, 200]


def traced(conf, operations, delay=4):
    """How many threads and placeholders there were, and how often the caller waited. What is sent takes a while to
    return: a proxy on this machine has answered by then, unless that is busy."""
    words = ["-f", "-e", f"inject=sendto:delay_exit={delay * 1000}", probe("socket_script")]
    result = run_under(need("strace"), [*words, *operations], conf=conf, via="preload").ok()
    assert "EINPROGRESS" in result.err, "strace saw nothing"
    answers = [line.split(" -> ")[1] for line in result.out.splitlines()]
    counts = [len(re.findall(pattern, result.err)) for pattern in [HELPER, PLACEHOLDER, MOMENT]]
    return answers, *counts


def one_after_other(port, times, *beside):
    return [*beside, *[SOCKET, f"connect 127.0.0.1 {port}", READY, ERROR, *TALK, "close"] * times]


def test_a_proxy_that_answers_at_once_takes_neither_placeholder_nor_thread(conf, microsocks, echo):
    def is_seen(delay):
        answers, helpers, placeholders, moments = traced(conf([microsocks]), one_after_other(echo.port, 10), delay)
        assert answers == ["3", "-1 EINPROGRESS", "OUT", "0", "5", "IN", "5 hello", "0"] * 10
        return helpers <= placeholders < 5 and moments >= 10

    assert any(is_seen(delay) for delay in BUSIER)


def test_with_other_threads_there_is_a_placeholder_but_no_helper(conf, microsocks, echo):
    def is_seen(delay):
        operations = one_after_other(echo.port, 10, "epoll 0", "asleep epoll 0")
        answers, threads, placeholders, moments = traced(conf([microsocks]), operations, delay)
        assert answers[2:] == [answers[2], "-1 EINPROGRESS", "OUT", "0", "5", "IN", "5 hello", "0"] * 10
        return placeholders == 10 and threads < 5 and moments >= 10

    assert any(is_seen(delay) for delay in BUSIER)


def test_a_slow_proxy_is_waited_for_more_and_more_seldom(conf, make_proxy, echo):
    _, helpers, _, moments = traced(conf([make_proxy(Mood(delay=0.05))]), one_after_other(echo.port, 8))
    # The first, the third, the seventh. Each waits for at most two replies.
    assert 1 <= helpers <= 8 and 1 <= moments <= 6


ALONE = """
import ctypes, os, select, socket, sys, warnings
def connected():
    s = socket.socket()
    s.setblocking(False)
    s.connect_ex(("127.0.0.1", int(sys.argv[1])))
    select.select([], [s], [])
    assert s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
def count():
    return len(os.listdir("/proc/self/task"))
for _ in range(10):
    connected()
warnings.simplefilter("error")  # Python 3.12 and later warn of a fork beside other threads
if os.fork() == 0:
    os._exit(0)
assert os.wait()[1] == 0
alone = count()
for _ in range(10):
    connected()
CLONE_NEWUSER = 0x10000000  # fails beside other threads
assert ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0
print(alone)
"""


def test_a_helper_is_gone_before_a_fork_and_unshare(conf, make_proxy, echo):
    words = ["-c", ALONE, echo.port]
    result = run_under(sys.executable, words, conf=conf([make_proxy(Mood(delay=0.005))]), via="preload").ok()
    assert result.out == "1\n"


def test_nothing_is_waited_for_while_another_connect_is_pending(conf, make_proxy, echo, tmp_path):
    with Gate(tmp_path) as gate:
        config = conf([make_proxy(Mood(gate=gate))])
        begun = [SOCKET, f"connect 127.0.0.1 {echo.port}"] * 16
        _, helpers, placeholders, moments = traced(config, [*begun, f"open {gate.path}", READY])
    assert (helpers, placeholders) == (1, 16) and 1 <= moments <= 2


def test_nothing_is_waited_for_while_the_program_has_yet_to_ask_how_the_last_one_ended(conf, microsocks, echo):
    """As an event loop does that begins many connects: the moments would add up."""
    _, _, placeholders, moments = traced(conf([microsocks]), [SOCKET, f"connect 127.0.0.1 {echo.port}"] * 16)
    assert placeholders >= 8 and moments <= 16


def test_a_proxy_that_is_not_on_this_machine_is_not_waited_for(conf, echo):
    config = conf(["socks5 192.0.2.1 1080"])
    _, helpers, _, moments = traced(config, [SOCKET, f"connect 127.0.0.1 {echo.port}", "close"])
    assert (helpers, moments) == (1, 0)


def test_an_epoll_instance_made_while_a_connect_is_pending_costs_no_look_at_every_fd(conf, make_proxy, echo):
    """As psycopg does, for each connection anew: whether an io_uring serves it is asked of the open fds alone. The
    library's own, which are high, have enlarged the fd table."""
    if Path("/proc/self/fd").stat().st_size == 0:
        pytest.skip("Linux before 6.2 does not tell how many fds are open")
    wait = ["epoll 0", "ctl 0 add OUT", "ready epoll 0 20000", ERROR]
    words = ["-f", "-e", "trace=fstat,connect", probe("socket_script"), SOCKET, f"connect 127.0.0.1 {echo.port}", *wait]
    result = run_under(need("strace"), words, conf=conf([make_proxy(Mood(delay=0.05))]), via="preload").ok()
    assert "EINPROGRESS" in result.err
    assert len(re.findall(r"fstat\(", result.err)) < 150


# -- The program sees the same as with a server on this machine and no proxy.


@pytest.fixture
def both(conf, microsocks, echo):
    """both(*operations): the results, which must be the same bare and proxied."""

    def compare(*operations, port=echo.port):
        operations = [operation.format(port=port) for operation in operations]
        bare, seen = script(*operations, via="bare"), script(*operations, conf=conf([microsocks]))
        assert list(zip(operations, seen, strict=True)) == list(zip(operations, bare, strict=True))
        return seen

    return compare


CONNECT = "connect 127.0.0.1 {port}"


@pytest.mark.parametrize("mode", MODES)
def test_epoll_registered_before_and_after(both, mode):
    before = [SOCKET, "epoll 0", f"ctl 0 add {mode}", CONNECT, "ready epoll 0 20000"]
    after = [SOCKET, CONNECT, "epoll 1", f"ctl 1 add {mode}", "ready epoll 1 20000"]
    answers = both(*before, "ready epoll 0 100", ERROR, *TALK, *after, "ready epoll 1 100", ERROR, *TALK)
    assert (answers[3], answers[4]) == ("-1 EINPROGRESS", "7:OUT")


@pytest.mark.parametrize("how", ["poll", "select", "uring"])
def test_waiting(both, how):
    both(SOCKET, CONNECT, f"ready {how} IN+OUT 20000", ERROR, "flags", CONNECT, CONNECT, *TALK)


def test_a_dup_and_a_child(both):
    both(SOCKET, "dup", CONNECT, READY, ERROR, "use 3", *TALK)
    both(SOCKET, CONNECT, "fork", READY, ERROR, *TALK, "end", "use 3", READY)


@pytest.mark.parametrize("family", ["inet", "inet6"])
def test_a_failure(both, refusing, family):
    """The kernel's own errno, and the proxy's, which is the same here."""
    host = "127.0.0.1" if family == "inet" else "::ffff:127.0.0.1"
    connect = f"connect {host} {{port}}"
    wait = ["ready poll IN+OUT 20000", "ready epoll 0 20000"]
    for learn in [ERROR, connect]:
        answers = both(f"socket {family} stream 0 nonblock", "epoll 0", "ctl 0 add IN+OUT+ET", connect, *wait, learn,
                       "ready poll IN+OUT 20000", ERROR, port=refusing)  # fmt: skip
        assert answers[3] == "-1 EINPROGRESS" and answers[6] in ["111", "-1 ECONNREFUSED"]


def test_an_errno_of_the_proxy(conf, make_proxy, echo):
    """Five in sequence: some within the moment, some by the helper."""
    config = conf([make_proxy(Mood(reply=4))])
    failing = [SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll IN+OUT 20000", ERROR, ERROR, "close"]
    answers = script(*failing * 5, conf=config)
    assert answers == ["3", "-1 EINPROGRESS", "IN+OUT+ERR+HUP", "113", "0", "0"] * 5


SLACK = """
import ctypes, socket, sys, time
PR_SET_TIMERSLACK = 29
ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, ctypes.c_ulong(20_000_000_000))
s = socket.socket()
s.setblocking(False)
began = time.monotonic()
error = s.connect_ex(("127.0.0.1", int(sys.argv[1])))
print(error, time.monotonic() - began < 10, open("/proc/self/timerslack_ns").read().strip())
"""


def test_a_timer_slack_of_seconds_does_not_lengthen_the_moment(conf, make_proxy, echo):
    """A parent may have set it (systemd's TimerSlackNSec=)."""
    silent = make_proxy(Mood(instead={"request": SILENCE}))
    result = run_under(sys.executable, ["-c", SLACK, echo.port], conf=conf([silent]), via="preload").ok()
    assert result.out == f"{errno.EINPROGRESS} True 20000000000\n"


ALARMS = """
import os, resource, select, signal, socket, sys
signal.signal(signal.SIGALRM, lambda *_: None)
s = socket.socket()
s.setblocking(False)
s.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, (0).to_bytes(8, "little") + (20_000).to_bytes(8, "little"))
limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (s.fileno() + 1, s.fileno() + 1))
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
error = s.connect_ex(("127.0.0.1", int(sys.argv[1])))
signal.setitimer(signal.ITIMER_REAL, 0)
p = select.poll()
p.register(s, select.POLLOUT)
p.poll(30_000)
print(s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), os.write(s.fileno(), b"hello"))
p.modify(s, select.POLLIN)
p.poll(30_000)
print(os.read(s.fileno(), 5))
"""


def test_neither_signals_nor_a_send_timeout_end_a_connect_that_can_only_be_waited_for(conf, make_proxy, echo):
    """With no free fd a non-blocking connect waits. Neither EINTR nor SO_SNDTIMEO applies to its socket."""
    config = conf([make_proxy(Mood(delay=0.1))])
    bare = run_under(sys.executable, ["-c", ALARMS, echo.port], via="bare").ok().out
    assert run_under(sys.executable, ["-c", ALARMS, echo.port], conf=config, via="preload").ok().out == bare


def test_connect_again_is_eisconn_where_the_proxy_is_on_a_unix_socket(conf, make_proxy, echo, tmp_path):
    proxy = make_proxy(host=str(tmp_path / "proxy.sock"))
    operations = [SOCKET, f"connect 127.0.0.1 {echo.port}", READY, *[f"connect 127.0.0.1 {echo.port}"] * 2, *TALK]
    answers = script(*operations, conf=conf([proxy]))
    assert answers[3] in ("0", "-1 EISCONN")
    assert answers[4:] == ["-1 EISCONN", "5", "IN", "5 hello"]
