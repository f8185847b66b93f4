"""A non-blocking static program, under the supervisor: its connect behaves as in the kernel, however it waits and
whatever it calls."""

import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import paths
from support.gate import Gate
from support.need import need
from support.probe import FLAGS, script
from support.proxy import Mood
from support.server import EchoServer, SlowServer

SOCKET = "socket inet stream 0 nonblock"
CONNECT = "connect 127.0.0.1 {port}"
OPEN = "open {gate}"
ERROR = "get SOL_SOCKET SO_ERROR"
TALK = ["send hello", "ready poll IN 20000", "recv 5"]
TALKED = ["5", "IN", "5 hello"]
PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")


@pytest.fixture
def proxied(conf, tmp_path, make_proxy):
    """proxied(*operations): the results under the supervisor, through a proxy that sends no reply before its gate is
    open. `options` are the echo server's."""

    def run(*operations, **options):
        with Gate(tmp_path) as gate, EchoServer(**options) as server:
            proxy = make_proxy(Mood(gate=gate))
            answers = run_script(operations, server, gate, via="supervised", conf=conf([proxy], *PATIENT))
            assert set(proxy.targets) <= {("127.0.0.1", server.port)}
            return answers

    return run


@pytest.fixture
def both(proxied, tmp_path):
    """both(*operations): the results, which must be the same bare, with a server that answers no SYN before its gate is
    open."""

    def bare(operations, options):
        (tmp_path / "bare").mkdir(exist_ok=True)
        with Gate(tmp_path / "bare") as gate, SlowServer(gate, **options) as server:
            return run_script(operations, server, gate, via="bare")

    def compare(*operations, **options):
        with ThreadPoolExecutor() as pool:
            expected = pool.submit(bare, operations, options)
            seen = proxied(*operations, **options)
        pairs = dict(enumerate(zip(operations, expected.result(), strict=True)))
        assert dict(enumerate(zip(operations, seen, strict=True))) == pairs
        return seen

    return compare


def run_script(operations, server, gate, **options):
    operations = [operation.format(port=server.port, gate=gate.path) for operation in operations]
    return [answer.replace(str(server.port), "PORT") for answer in script(*operations, **options)]


# -- waiting, asking, sending

WAITS = {
    "poll": (["ready poll IN+OUT 100", OPEN, "ready poll IN+OUT 20000"], "OUT"),
    "select": (["ready select IN+OUT 100", OPEN, "ready select OUT 20000"], "OUT"),
    "level": (["epoll 0", "ctl 0 add OUT", "ready epoll 0 100", OPEN, "ready epoll 0 20000"], "7:OUT"),
    "edge": (["epoll 0", "ctl 0 add IN+OUT+ET", "ready epoll 0 100", OPEN, "ready epoll 0 20000"], "7:OUT"),
    "oneshot": (["epoll 0", "ctl 0 add OUT+ONESHOT", OPEN, "ready epoll 0 20000"], "7:OUT"),
    "asleep": (["asleep poll OUT", OPEN, "woken"], "OUT"),
    "blocking": (["fionbio 0", OPEN], "0"),
    "made to block": ([OPEN, "ready poll OUT 20000", "nonblock 0"], "0"),
}
ASKS = {
    "nothing": ([], []),
    "SO_ERROR": ([ERROR], ["0"]),
    "getpeername": (["peer"], ["127.0.0.1 length 16 port PORT"]),
}


@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("wait", WAITS)
def test_however_it_waits_and_whatever_it_asks(proxied, wait, asks):
    waits, last = WAITS[wait]
    asked, told = ASKS[asks]
    if wait == "blocking" and asked:
        waits = [*waits, "ready poll OUT 20000"]
        last = "OUT"
    answers = proxied(SOCKET, CONNECT, *waits, *asked, *TALK, *asked)
    assert answers[1] == "-1 EINPROGRESS"
    assert "nothing" in answers[2:5] or not any("ready" in wait and wait.endswith(" 100") for wait in waits)
    assert answers[1 + len(waits) :] == [last, *told, *TALKED, *told]


@pytest.mark.parametrize("asks", ASKS)
@pytest.mark.parametrize("how", ["poll IN", "epoll 0"])
def test_the_first_byte_wakes_who_waits_only_for_it(proxied, how, asks):
    asked, told = ASKS[asks]
    answers = proxied(
        "epoll 0", SOCKET, CONNECT, "ctl 0 add IN", OPEN, f"ready {how} 20000", *asked, "recv 4", *TALK, banner=b"220 "
    )
    assert answers[5].endswith("IN")
    assert answers[6:] == [*told, "4 220 ", *TALKED]


def test_unread_relayed_data_is_readable_after_the_socket_returns(proxied):
    answers = proxied(
        SOCKET, CONNECT, OPEN, "ready poll IN 20000", "recv 4", "sleep 100", ERROR, "recv 4", "send hello",
        "ready poll IN 20000", "recv 5", "shutdown 1", "ready poll IN 20000", "recv 1", banner=b"220 mail",
    )  # fmt: skip
    assert answers[3:] == ["IN", "4 220 ", "0", "0", "4 mail", *TALKED, "0", "IN+HUP", "0 "]


def test_shutdown_for_writing_reaches_the_peer_and_its_eof_is_reported(proxied):
    answers = proxied(SOCKET, CONNECT, OPEN, "ready poll OUT 20000", "send hello", "ready poll IN 20000", "recv 5",
                      "sleep 20", "shutdown 1", "ready poll IN 20000", "recv 1")  # fmt: skip
    assert answers[3:] == ["OUT", *TALKED, "0", "0", "IN+HUP", "0 "]


# -- what a program does with it while it is pending


@pytest.mark.parametrize("how", [0, 1, 2])
def test_shutdown_ends_the_attempt(both, how):
    both(SOCKET, CONNECT, f"shutdown {how}", "ready poll OUT 1000", ERROR, "peer", "send hello")


def test_after_shutdown_the_next_connect_begins_anew(both):
    both(SOCKET, CONNECT, "shutdown 2", CONNECT, OPEN, "ready poll OUT 20000", ERROR, *TALK)


def test_af_unspec_ends_the_attempt_and_the_socket_connects_anew(both):
    both(SOCKET, CONNECT, "unspec", "peer", CONNECT, OPEN, "ready poll OUT 20000", "peer", *TALK)


def test_a_pending_connect_behaves_as_a_connecting_socket(both):
    answers = both(
        SOCKET, CONNECT, CONNECT, "send early", "recv 5", "peer", "local", ERROR, "get SOL_SOCKET SO_TYPE", "kind",
        "tcp_state", "ioctl SIOCOUTQ", "ioctl SIOCINQ", "set IPPROTO_TCP TCP_NODELAY 1", "get IPPROTO_TCP TCP_NODELAY",
        "bind 127.0.0.1 0", "listen", "flags", CONNECT, OPEN, "ready poll OUT 20000", "local", "peer",
        "get IPPROTO_TCP TCP_NODELAY", *TALK,
    )  # fmt: skip
    assert answers[2:6] == ["-1 EALREADY", "-1 EAGAIN", "-1 EAGAIN", "-1 ENOTCONN"]


@pytest.mark.parametrize("way", ["nonblock", "fionbio"])
def test_clearing_o_nonblock_while_pending_does_not_wait(both, way):
    early = [f"{way} 0", "flags", "ready poll OUT 100", "peer", ERROR, "flags"]
    both(SOCKET, CONNECT, *early, OPEN, "ready poll OUT 20000", ERROR, "flags", *TALK, CONNECT)


def test_connecting_again_until_it_is_connected(both):
    answers = both(SOCKET, CONNECT, CONNECT, OPEN, "ready poll OUT 20000", CONNECT, CONNECT, *TALK)
    assert answers[1:] == ["-1 EINPROGRESS", "-1 EALREADY", "0", "OUT", "0", "-1 EISCONN", *TALKED]


def test_flags_changed_while_pending_stay(both):
    both(
        "socket inet stream 0 cloexec", "nonblock 1", CONNECT, "cloexec 0", OPEN, "ready poll OUT 20000", ERROR, "flags"
    )


@pytest.mark.parametrize("asked", [[], [ERROR]])
def test_a_dup_that_was_made_while_pending(proxied, asked):
    answers = proxied(SOCKET, CONNECT, "dup", OPEN, "ready poll OUT 20000", *asked, *TALK, "swap", "send hello",
                      "ready poll IN 20000", "recv 5")  # fmt: skip
    assert answers[-7:-4] == TALKED and answers[-3:] == TALKED


# -- processes


@pytest.mark.parametrize("asked", [[], [ERROR], ["peer"]])
def test_a_child_that_was_forked_while_pending_has_the_connection_too(proxied, asked):
    told = {"": [], ERROR: ["0"], "peer": ["127.0.0.1 length 16 port PORT"]}["".join(asked)]
    answers = proxied(SOCKET, CONNECT, "fork", OPEN, "ready poll OUT 20000", *asked, *TALK, "end", "close")
    lines = answers[answers.index("OUT") : answers.index("OUT") + 1 + len(told) + 3]
    assert lines == ["OUT", *told, *TALKED]


def test_exec_while_pending(proxied):
    answers = proxied(SOCKET, CONNECT, "exec", "use 3", OPEN, "ready poll OUT 20000", ERROR, *TALK)
    assert answers[-5:] == ["OUT", "0", *TALKED]


# -- the supervisor serves all programs concurrently


@pytest.fixture(scope="module")
def slow_resolver(tmp_path_factory):
    built = tmp_path_factory.mktemp("resolver") / "libslow.so"
    source = paths.PROBE_SOURCES / "slow_resolver.c"
    subprocess.run([need("cc"), *FLAGS, "-shared", "-fPIC", str(source), "-o", str(built)], check=True)
    return built


def test_a_proxys_name_that_is_found_late_delays_no_other_connect(
    conf, tmp_path, proxy, echo, make_echo, slow_resolver
):
    """It is noticed only when another connection was made."""
    direct, found = make_echo(), tmp_path / "found"
    config = conf([f"socks5 slow.example {proxy.port}"], f"localnet 127.0.0.1:{direct.port}/255.255.255.255")
    with Gate(tmp_path) as gate:
        threading.Thread(target=lambda: (gate.wait(), found.touch()), daemon=True).start()
        answers = script(
            SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 0", ERROR, "socket inet stream 0",
            f"connect 127.0.0.1 {direct.port}", *TALK, f"open {gate.path}", "swap", "ready poll OUT 20000", ERROR,
            *TALK, conf=config, via="supervised", env={"LD_PRELOAD": slow_resolver, "FOUND": found},
        )  # fmt: skip
    assert answers[1:4] == ["-1 EINPROGRESS", "nothing", "0"]
    assert answers[5:9] == ["0", *TALKED]
    assert answers[-5:] == ["OUT", "0", *TALKED]
    assert proxy.targets == [("127.0.0.1", echo.port)]
