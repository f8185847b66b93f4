"""A non-blocking connect through a proxy behaves as in the kernel: the same events, in the same order, the same errno.
Most tests run one script twice: bare, to a server that answers no SYN before a gate is open, and through a proxy that
sends no reply before its gate is open."""

import errno
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from support.gate import Gate
from support.need import need
from support.ports import free_port, refusing_port
from support.probe import probe, run_probe, script
from support.proxy import CLOSE, RESET, SILENCE, Mood, Proxy, RawRelay
from support.run import run_under
from support.server import EchoServer, SlowServer

SOCKET = "socket inet stream 0 nonblock"
CONNECT = "connect 127.0.0.1 {port}"
OPEN = "open {gate}"
ERROR = "get SOL_SOCKET SO_ERROR"
TALK = ["send hello", "ready poll IN 20000", "recv 5"]
PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")
POLLS = ["poll", "ppoll", "select", "pselect", "uring"]


@pytest.fixture
def both(conf, tmp_path, make_proxy):
    """both(*operations): the results, which must be the same bare and proxied. `options` are the echo server's."""

    def bare(operations, options):
        (tmp_path / "bare").mkdir(exist_ok=True)
        with Gate(tmp_path / "bare") as gate, SlowServer(gate, **options) as server:
            return run(operations, server, gate, "bare", None)

    def proxied(operations, options):
        with Gate(tmp_path) as gate, EchoServer(**options) as server:
            proxy = make_proxy(Mood(gate=gate))
            answers = run(operations, server, gate, "preload", conf([proxy], *PATIENT))
            assert not proxy.targets or set(proxy.targets) == {("127.0.0.1", server.port)}
            return answers

    def run(operations, server, gate, via, config):
        operations = [operation.format(port=server.port, gate=gate.path) for operation in operations]
        answers = script(*operations, conf=config, via=via)
        return [answer.replace(str(server.port), "PORT") for answer in answers]

    def compare(*operations, **options):
        with ThreadPoolExecutor() as pool:
            one, other = pool.submit(bare, operations, options), pool.submit(proxied, operations, options)
            expected, seen = one.result(), other.result()
        pairs = dict(enumerate(zip(operations, expected, strict=True)))
        assert dict(enumerate(zip(operations, seen, strict=True))) == pairs
        return seen

    return compare


# -- waiting


@pytest.mark.parametrize("how", POLLS)
def test_a_socket_becomes_writable_only_once_its_tunnel_is_established(both, how):
    early = [] if how == "uring" else [f"ready {how} IN+OUT+PRI 100"]
    answers = both(SOCKET, CONNECT, *early, OPEN, f"ready {how} IN+OUT 20000", ERROR, "flags", CONNECT, CONNECT, *TALK)
    assert answers[1] == "-1 EINPROGRESS"
    # The kernel returns 0 to the first connect after the end, EISCONN to the next.
    assert answers[len(early) + 3 :] == ["OUT", "0", "inherited nonblock", "0", "-1 EISCONN", "5", "IN", "5 hello"]


def test_connecting_again_with_a_socket_that_blocks_by_now_leaves_the_connection_alone(both):
    answers = both(SOCKET, CONNECT, OPEN, "ready poll OUT 20000", "fionbio 0", CONNECT, CONNECT, *TALK)
    assert answers[5:7] == ["0", "-1 EISCONN"]


@pytest.mark.parametrize("events", ["OUT", "IN+OUT"])
@pytest.mark.parametrize("how", POLLS)
def test_a_thread_asleep_is_woken(both, how, events):
    answers = both(SOCKET, CONNECT, f"asleep {how} {events}", OPEN, "woken", ERROR, *TALK)
    assert answers[4:6] == ["OUT", "0"]


@pytest.mark.parametrize("delay", [0, 0.5], ids=["speaks first", "speaks late"])
@pytest.mark.parametrize("how", POLLS[:-1])
def test_a_thread_asleep_for_reading_is_woken_by_the_first_byte(both, how, delay):
    answers = both(SOCKET, CONNECT, f"asleep {how} IN", OPEN, "woken", "recv 4", ERROR, banner=b"220 ", delay=delay)
    assert answers[4:] == ["IN", "4 220 ", "0"]


@pytest.mark.parametrize("delay", [0, 0.5], ids=["speaks first", "speaks late"])
def test_io_uring_asleep_for_reading_is_woken_by_the_first_byte(conf, tmp_path, make_proxy, make_echo, delay):
    """io_uring holds the file that it was given, the placeholder, which hangs up at the end: the program gets more
    events than in the kernel, but neither earlier nor later."""
    server = make_echo(banner=b"220 ", delay=delay)
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate))
        answers = script(
            SOCKET, f"connect 127.0.0.1 {server.port}", "asleep uring IN", f"open {gate.path}", "woken", "recv 4",
            ERROR, conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    assert "IN" in answers[4]
    assert answers[5:] == ["4 220 ", "0"]


def test_several_threads_asleep_are_all_woken(both):
    sleepers = ["asleep poll OUT", "asleep select OUT", "asleep epoll 0", "asleep poll IN+OUT", "asleep ppoll OUT"]
    answers = both("epoll 0", SOCKET, CONNECT, "ctl 0 add OUT", *sleepers, OPEN, *["woken"] * 5, ERROR, *TALK)
    assert answers[10:15] == ["OUT", "OUT", "7:OUT", "OUT", "OUT"]


def test_a_program_that_does_not_wait_for_events_at_all(both):
    both(SOCKET, CONNECT, OPEN, "sleep 3500", "send hello", "sleep 300", "recv 5", "peer", "connect 127.0.0.1 {port}")


# -- epoll

MODES = ["OUT", "IN+OUT+RDHUP", "OUT+ET", "IN+OUT+ET", "OUT+ONESHOT", "OUT+EXCLUSIVE", "OUT+ET+ONESHOT"]


@pytest.mark.parametrize("sleeping", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("mode", MODES)
def test_epoll_registered_while_pending(both, mode, sleeping):
    wait = ["asleep epoll 0", OPEN, "woken"] if sleeping else ["ready epoll 0 100", OPEN, "ready epoll 0 20000"]
    both(SOCKET, CONNECT, "epoll 0", f"ctl 0 add {mode}", *wait, "ready epoll 0 200", *TALK, "ready epoll 0 0")


@pytest.mark.parametrize("sleeping", [False, True], ids=["awake", "asleep"])
@pytest.mark.parametrize("mode", [mode for mode in MODES if "ONESHOT" not in mode])
def test_epoll_registered_before_connect(both, mode, sleeping):
    wait = ["asleep epoll 0", OPEN, "woken"] if sleeping else ["ready epoll 0 100", OPEN, "ready epoll 0 20000"]
    # The unconnected socket reports POLLHUP, in the kernel as here.
    early = ["ready epoll 0 0", CONNECT]
    both(SOCKET, "epoll 0", f"ctl 0 add {mode}", *early, *wait, "ready epoll 0 200", *TALK, "ready epoll 0 0")


@pytest.mark.parametrize("mode", ["OUT+ONESHOT", "OUT+ET+ONESHOT"])
def test_a_one_shot_registration_that_is_armed_again_while_pending(both, mode):
    early = ["ready epoll 0 0", CONNECT, "ready epoll 0 100", f"ctl 0 mod {mode} 8"]
    late = ["ready epoll 0 20000", "ready epoll 0 200", f"ctl 0 mod {mode} 9", "ready epoll 0 1000"]
    both(SOCKET, "epoll 0", f"ctl 0 add {mode}", *early, OPEN, *late, *TALK)


@pytest.mark.parametrize("mode", MODES)
def test_epoll_registered_after_the_tunnel_is_established(both, mode):
    both(SOCKET, CONNECT, OPEN, "ready poll OUT 20000", "epoll 0", f"ctl 0 add {mode}", "ready epoll 0 20000", *TALK)


def test_a_registration_changed_while_pending(both):
    changes = ["ctl 0 add IN 1", "ctl 0 mod OUT 2", "ctl 0 mod IN+OUT 3", "ctl 0 add OUT 4"]
    answers = both(SOCKET, CONNECT, "epoll 0", *changes, OPEN, "ready epoll 0 20000", "ctl 0 mod IN 5", *TALK)
    assert answers[6:9] == ["-1 EEXIST", "0", "3:OUT"]


def test_a_registration_changed_by_another_fd_of_its_instance(both):
    both("epoll 0", "epoll_dup 0 1", SOCKET, CONNECT, "ctl 0 add IN 1", "ctl 1 mod OUT 2", OPEN, "ready epoll 0 20000",
         "ctl 0 mod IN+OUT 3", "ready epoll 1 20000", "ctl 1 del", "ctl 0 del")  # fmt: skip
    both("epoll 0", "epoll_dup 0 1", SOCKET, "ctl 0 add OUT 1", "ctl 1 mod OUT 2", CONNECT, "ready epoll 0 100", OPEN,
         "ready epoll 0 20000")  # fmt: skip


def test_the_other_number_may_be_closed_and_its_instance_be_one_of_two(both):
    registered = ["ctl 0 add OUT 1", "ctl 1 add OUT 2", "ctl 2 mod IN+OUT 3"]
    found = ["ready poll OUT 20000", "ready epoll 0 20000", "ready epoll 1 20000"]
    for instance in [0, 1]:
        both("epoll 0", "epoll 1", f"epoll_dup {instance} 2", SOCKET, CONNECT, *registered, OPEN, *found)
    both("epoll 0", "epoll_dup 0 1", SOCKET, CONNECT, "ctl 0 add IN 1", "ctl 1 mod OUT 2", "epoll_close 1", OPEN,
         "ready epoll 0 20000")  # fmt: skip


@pytest.mark.parametrize("mode", ["OUT+ONESHOT", "IN+OUT+ET+ONESHOT"])
def test_a_one_shot_registration_that_has_fired_stays_quiet(both, mode):
    """The unconnected socket reports POLLHUP, which uses up the registration."""
    both(SOCKET, "epoll 0", f"ctl 0 add {mode}", "ready epoll 0 0", CONNECT, "ready epoll 0 100", OPEN,
         "ready poll OUT 20000", "ready epoll 0 300", f"ctl 0 mod {mode} 8", "ready epoll 0 20000", "ready epoll 0 100",
         *TALK)  # fmt: skip
    both(SOCKET, "epoll 0", f"ctl 0 add {mode}", CONNECT, OPEN, "ready poll OUT 20000", "ready epoll 0 20000",
         "ready epoll 0 100", *TALK)  # fmt: skip


def test_a_registration_removed_while_pending(both):
    changes = ["ctl 0 add OUT", "ctl 0 del", "ctl 0 del", "ctl 0 mod OUT"]
    answers = both(
        SOCKET, CONNECT, "epoll 0", *changes, OPEN, "ready poll OUT 20000", "ready epoll 0 100", "ctl 0 add OUT 5",
        "ready epoll 0 1000", "ctl 0 del",
    )  # fmt: skip
    assert answers[5:7] == ["-1 ENOENT", "-1 ENOENT"]
    assert answers[-4:] == ["nothing", "0", "5:OUT", "0"]


def test_a_registration_removed_and_made_again_while_pending(both):
    both(SOCKET, "epoll 0", "ctl 0 add IN 1", CONNECT, "ctl 0 del", "ctl 0 add OUT 2", OPEN, "ready epoll 0 20000")


def test_a_registration_changed_before_the_connect(both):
    """No connect is pending then: the shortest path of the hook."""
    wait = ["ready poll OUT 20000", "ready epoll 0 1000", "ready epoll 1 0"]
    both("epoll 0", "epoll 1", SOCKET, "ctl 0 add IN 1", "ctl 0 mod OUT 2", "ctl 0 mod OUT+IN 3", CONNECT, OPEN, *wait)
    both("epoll 0", "epoll 1", SOCKET, "ctl 0 add OUT 1", "ctl 0 del", "ctl 0 del", "ctl 0 mod OUT 2", CONNECT, OPEN,
         *wait)  # fmt: skip
    both("epoll 0", "epoll 1", SOCKET, "ctl 0 add OUT 1", "ctl 0 del", "ctl 1 add OUT 2", "ctl 1 mod IN+OUT 3", CONNECT,
         OPEN, "ready poll OUT 20000", "ready epoll 1 1000", "ready epoll 0 0")  # fmt: skip
    both("epoll 0", "epoll 1", SOCKET, "ctl 0 add OUT 1", "ctl 1 add OUT 2", "ctl 1 mod OUT 3", "ctl 0 mod IN+OUT 4",
         CONNECT, OPEN, "ready poll OUT 20000", "ready epoll 0 1000", "ready epoll 1 1000")  # fmt: skip
    both("epoll 0", "epoll 1", SOCKET, "ctl 0 add IN 1", "ctl 0 add OUT 2", "ctl 1 mod OUT 3", "ctl 1 del", CONNECT,
         OPEN, "ready poll OUT 20000", "ready epoll 0 0", "ctl 0 mod OUT 5", "ready epoll 0 1000")  # fmt: skip


def test_nested_epoll(both):
    both("epoll 0", "epoll 1", "nest 1 0", SOCKET, CONNECT, "ctl 0 add OUT", "ready epoll 1 100", "asleep epoll 1",
         OPEN, "woken", "ready epoll 0 0", *TALK)  # fmt: skip


def test_several_instances_have_the_same_socket(both):
    answers = both(
        "epoll 0", "epoll 1", "epoll 2", SOCKET, "ctl 0 add OUT 1", "ready epoll 0 0", CONNECT, "ctl 1 add OUT+ET 2",
        "ctl 2 add IN 3", "asleep epoll 0", "asleep epoll 1", OPEN, "woken", "woken", "ready epoll 2 100", *TALK,
    )  # fmt: skip
    assert answers[12:15] == ["1:OUT", "2:OUT", "nothing"]


def test_a_dup_of_the_socket_is_registered_by_itself(both):
    both("epoll 0", SOCKET, CONNECT, "ctl 0 add OUT 1", "dup", "ctl 0 add OUT 2", OPEN, "ready poll OUT 20000",
         "ready epoll 0 1000", "ctl 0 del", "swap", "ctl 0 del")  # fmt: skip


# -- refusals: a direct connect is refused at once, so the comparison starts with the waiting


@pytest.fixture
def refused(conf, tmp_path, make_proxy, refusing):
    """refused(*operations): as `both`, where the target refuses."""

    def compare(*operations):
        with Gate(tmp_path) as gate:
            gate.opened.set()
            proxy = make_proxy(Mood(gate=gate))
            operations = [operation.format(port=refusing, gate=gate.path) for operation in operations]
            proxied = script(*operations, conf=conf([proxy]))
            assert proxied == script(*operations, via="bare")
            assert proxy.requests
        return proxied

    return compare


@pytest.mark.parametrize("how", POLLS[:-1])
@pytest.mark.parametrize("events", ["OUT", "IN", "IN+OUT", "IN+OUT+RDHUP"])
def test_a_refusal_gives_the_same_events(refused, how, events):
    if "RDHUP" in events and "select" in how:
        events = "IN+OUT+PRI"
    answers = refused(SOCKET, CONNECT, f"ready {how} {events} 20000", ERROR, ERROR, f"ready {how} {events} 100", "peer")
    assert answers[3:5] == ["111", "0"]


@pytest.mark.parametrize("events", ["OUT", "IN", "IN+OUT"])
def test_a_refusal_wakes_io_uring(conf, proxy, refusing, events):
    answers = script(SOCKET, f"connect 127.0.0.1 {refusing}", f"ready uring {events} 0", ERROR, conf=conf([proxy]))
    assert set(answers[2].split("+")) & set(events.split("+"))
    assert answers[3] == "111"


@pytest.mark.parametrize("mode", [*MODES, "IN", "IN+ET"])
def test_a_refusal_gives_the_same_events_to_epoll(refused, mode):
    refused(SOCKET, CONNECT, "epoll 0", f"ctl 0 add {mode}", "ready epoll 0 20000", ERROR, "ready epoll 0 100")


@pytest.mark.parametrize("call", [ERROR, CONNECT, "send hello", "recv 5", "peer", "shutdown", "flags", "unspec"])
def test_what_a_program_asks_first_after_a_refusal(refused, call):
    refused(SOCKET, CONNECT, "ready poll OUT 20000", call, "flags", "peer")


def test_a_refused_socket_can_be_connected_again(refused):
    refused(SOCKET, CONNECT, "ready poll OUT 20000", CONNECT, CONNECT, "ready poll OUT 20000", ERROR)


@pytest.mark.parametrize("before", ["flags", "set IPPROTO_IPV6 IPV6_V6ONLY 1", "bind :: 0"])
@pytest.mark.parametrize("wait", ["poll IN+OUT", "select OUT", "epoll 0"])
def test_an_ipv6_socket_reports_what_an_ipv4_proxy_refused(conf, make_proxy, before, wait):
    """Such a socket uses IPv4 from then on, and a reply from an IPv6 address never arrives (tailnets have both)."""
    proxy = make_proxy(Mood(reply=5))
    connect = "connect fd7a:115c:a1e0::1 80"
    again = [f"ready {wait} 20000", ERROR, connect]
    operations = [
        "epoll 0", "socket inet6 stream 0 nonblock", before, "ctl 0 add OUT", connect, *again, *again,
        f"ready {wait} 20000", connect, connect,
    ]  # fmt: skip
    answers = script(*operations, conf=conf([proxy]))
    assert answers[4] == "-1 EINPROGRESS"
    for said in answers[5::3]:
        assert "OUT" in said
    assert answers[6:8] == answers[9:11] == ["111", "-1 EINPROGRESS"]
    assert answers[12:] == ["-1 ECONNREFUSED", "-1 EINPROGRESS"]


@pytest.mark.parametrize("option", ["nonblock", "cloexec"])
def test_an_ipv6_socket_goes_on_from_a_dead_ipv4_proxy_to_an_ipv6_one(conf, make_proxy, make_echo, refusing, option):
    echo = make_echo(host="::1")
    proxy = make_proxy(host="::1")
    answers = script(
        f"socket inet6 stream 0 {option}", f"connect ::1 {echo.port}", "ready poll OUT 20000", ERROR, "flags", *TALK,
        conf=conf([f"socks5 127.0.0.1 {refusing}", proxy], "tcp_connect_time_out 3000", chain="dynamic_chain"),
    )  # fmt: skip
    flags = {"nonblock": "inherited nonblock", "cloexec": "cloexec block"}[option]
    assert answers[2:] == ["OUT", "0", flags, "5", "IN", "5 hello"]
    assert proxy.targets == [("::1", echo.port)]


@pytest.mark.parametrize("option", ["nonblock", "cloexec"])
def test_an_ipv6_socket_that_an_ipv4_proxy_refused_connects_directly(conf, make_proxy, make_echo, option):
    echo = make_echo(host="::1")
    answers = script(
        f"socket inet6 stream 0 {option}", "set_time SO_SNDTIMEO 5000", "connect fd7a::1 80",
        "ready poll OUT 20000", ERROR,
        # After SO_ERROR was read, the kernel's first result is that the previous attempt is over.
        *[f"connect ::1 {echo.port}"] * 2, "ready poll OUT 5000", ERROR, *TALK,
        conf=conf([make_proxy(Mood(reply=5))], "localnet ::1/128"),
    )  # fmt: skip
    assert answers[7:] == ["OUT", "0", "5", "IN", "5 hello"]


def test_an_unfetched_error_is_dropped_when_its_socket_is_closed(conf, make_proxy, echo):
    """Until then all hooks must check whether their socket is the one. Counted: the calls that identify a socket."""
    config = conf([make_proxy(Mood(reply=4))])
    operations = [SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000", "close", SOCKET, *[ERROR] * 5]
    words = ["-f", "-e", "trace=getsockopt", probe("socket_script"), *operations]
    result = run_under(need("strace"), words, conf=config, via="preload").ok()
    calls = [line for line in result.err.splitlines() if "getsockopt(" in line]
    assert [line.split(", ")[1:3] for line in calls[-5:]] == [["SOL_SOCKET", "SO_ERROR"]] * 5, calls


# A failure that the program learns from its next connect. The error that the kernel left on the socket is not a reply
# of the proxy, which is up.


@pytest.mark.parametrize("directive", ["proxy_down direct", "proxy_wait 20000", "#"])
def test_the_next_connect_returns_the_error_and_a_further_one_retries(conf, make_proxy, echo, directive):
    proxy = make_proxy(Mood(reply=5))
    connect = f"connect 127.0.0.1 {echo.port}"
    operations = [SOCKET, connect, *["ready poll OUT 20000", connect, connect] * 2, "ready poll OUT 20000", ERROR]
    answers = script(*operations, conf=conf([proxy], directive))
    again = ["OUT+ERR+HUP", "-1 ECONNREFUSED", "-1 EINPROGRESS"]
    assert answers[1:] == ["-1 EINPROGRESS", *again * 2, "OUT+ERR+HUP", "111"]
    assert len(proxy.targets) == 3


@pytest.mark.parametrize("blocks", ["fionbio 0", "flags"])
@pytest.mark.parametrize("family", ["inet", "inet6", "mptcp"])
def test_an_error_of_a_direct_connect_is_reported_before_a_tunnel_is_begun(conf, proxy, echo, refusing, family, blocks):
    """A direct connect that was refused, on a socket that is then proxied."""
    host = "::ffff:127.0.0.1" if family == "inet6" else "127.0.0.1"
    made = {"mptcp": "socket inet stream mptcp nonblock"}.get(family, f"socket {family} stream 0 nonblock")
    operations = [
        made, f"connect {host} {refusing}", "ready poll OUT 20000", blocks, f"connect {host} {echo.port}",
        f"connect {host} {echo.port}", "ready poll OUT 20000", *TALK,
    ]  # fmt: skip
    config = conf([proxy], f"localnet 127.0.0.1:{refusing}/255.255.255.255", "proxy_down direct")
    answers = script(*operations, conf=config)
    assert answers == script(*operations, via="bare")
    assert answers[4] == "-1 ECONNREFUSED"
    assert proxy.targets == [("127.0.0.1", echo.port)]


# -- calls on the socket while pending

SET = {
    "SO_KEEPALIVE": ("set SOL_SOCKET SO_KEEPALIVE 1", "get SOL_SOCKET SO_KEEPALIVE"),
    "TCP_NODELAY": ("set IPPROTO_TCP TCP_NODELAY 1", "get IPPROTO_TCP TCP_NODELAY"),
    "TCP_KEEPIDLE": ("set IPPROTO_TCP TCP_KEEPIDLE 77", "get IPPROTO_TCP TCP_KEEPIDLE"),
    "TCP_USER_TIMEOUT": ("set IPPROTO_TCP TCP_USER_TIMEOUT 99000", "get IPPROTO_TCP TCP_USER_TIMEOUT"),
    "SO_SNDBUF": ("set SOL_SOCKET SO_SNDBUF 60000", "get SOL_SOCKET SO_SNDBUF"),
    "SO_RCVTIMEO": ("set_time SO_RCVTIMEO 2500", "get_time SO_RCVTIMEO"),
    "SO_LINGER": ("linger 9", "get_linger"),
    "IP_TOS": ("set IPPROTO_IP IP_TOS 16", "get IPPROTO_IP IP_TOS"),
}


@pytest.mark.parametrize("name", SET)
def test_an_option_set_while_pending_is_the_sockets(both, name):
    write, read = SET[name]
    both(SOCKET, CONNECT, write, read, OPEN, "ready poll OUT 20000", read, *TALK)


def test_an_option_set_before_connect_is_read_while_pending(both):
    writes, reads = zip(*SET.values(), strict=True)
    both(SOCKET, *writes, CONNECT, *reads, OPEN, "ready poll OUT 20000", *reads)


def test_a_pending_socket_does_not_pass_for_a_connected_one(both):
    asked = ["tcp_state", *[f"ioctl {what}" for what in ("SIOCOUTQ", "SIOCINQ", "SIOCOUTQNSD")]]
    answers = both(
        SOCKET, CONNECT, *asked, "sendto 127.0.0.1 9 early", "fork", *asked, "end", OPEN, "ready poll OUT 20000",
        "tcp_state", "ioctl SIOCINQ", "sendto 127.0.0.1 9 hello", "ready poll IN 20000", "recv 5",
    )  # fmt: skip
    assert answers[2:7] == ["2", "0", "0", "0", "-1 EAGAIN"]


def test_calls_on_a_pending_socket_answer_as_on_a_connecting_one(both):
    answers = both(
        SOCKET, CONNECT, CONNECT, "send early", "recv 5", "peer", "local", ERROR, "get SOL_SOCKET SO_TYPE", "kind",
        "bind 127.0.0.1 0", "listen", "flags", CONNECT, OPEN, "ready poll OUT 20000", "local", "peer", *TALK,
    )  # fmt: skip
    assert answers[2:6] == ["-1 EALREADY", "-1 EAGAIN", "-1 EAGAIN", "-1 ENOTCONN"]


@pytest.mark.parametrize("how", [0, 1, 2])
def test_shutdown_ends_the_attempt(both, how):
    both(SOCKET, CONNECT, f"shutdown {how}", "ready poll OUT 1000", ERROR, "peer", "send hello")


@pytest.mark.parametrize("asked", [[], [ERROR]])
def test_after_shutdown_the_next_connect_begins_anew(both, asked):
    both(SOCKET, CONNECT, "shutdown 2", *asked, CONNECT, OPEN, "ready poll OUT 20000", ERROR, *TALK)


@pytest.mark.parametrize("how", [0, 1, 2])
def test_shutdown_wakes_who_is_asleep(both, how):
    both(SOCKET, CONNECT, "epoll 0", "ctl 0 add OUT", "asleep epoll 0", f"shutdown {how}", "woken", ERROR)


def test_af_unspec_ends_the_attempt_and_the_socket_connects_anew(both):
    both(SOCKET, CONNECT, "unspec", ERROR, ERROR)
    both(SOCKET, CONNECT, "unspec", "peer", CONNECT, OPEN, "ready poll OUT 20000", "peer", *TALK)


def test_cloexec_changed_while_pending(both):
    both(SOCKET, CONNECT, "flags", "cloexec 1", "flags", OPEN, "ready poll OUT 20000", "flags")
    both("socket inet stream 0 cloexec", "nonblock 1", CONNECT, "cloexec 0", OPEN, "ready poll OUT 20000", "flags")


@pytest.mark.parametrize("way", ["nonblock", "fionbio"])
def test_a_socket_made_blocking_while_pending_loses_no_byte(both, way):
    ready = [OPEN, "ready poll OUT 20000"]
    both(SOCKET, CONNECT, f"{way} 0", *ready, "send hello", "recv 5", "flags", "peer")
    both(SOCKET, CONNECT, f"{way} 0", *ready, "recv 4", f"{way} 1", "recv 1", "flags", banner=b"220 ")


@pytest.mark.parametrize("way", ["nonblock", "fionbio"])
def test_clearing_o_nonblock_while_pending_does_not_wait(both, way):
    """The gate opens only after that."""
    early = [f"{way} 0", "flags", "ready poll OUT 100", "peer", ERROR, "flags"]
    answers = both(SOCKET, CONNECT, *early, OPEN, "ready poll OUT 20000", ERROR, "flags", *TALK)
    assert answers[3] == answers[7] == answers[-4] == "inherited block"


def test_o_nonblock_set_again_while_pending_is_there_afterwards(both):
    turns = ["fionbio 0", "nonblock 1", "flags", "nonblock 0", "fionbio 1", "flags"]
    answers = both(SOCKET, CONNECT, *turns, OPEN, "ready poll OUT 20000", "flags", *TALK)
    assert answers[4] == answers[7] == answers[10] == "inherited nonblock"


@pytest.mark.parametrize("way", ["nonblock", "fionbio"])
def test_a_dup_is_made_blocking_with_its_original(both, way):
    both("socket inet stream 0 nonblock", CONNECT, "dup", f"{way} 0", "swap", "flags", OPEN, "ready poll OUT 20000",
         "flags", "swap", "flags", *TALK)  # fmt: skip


def test_a_socket_made_blocking_stays_blocking_after_a_failed_connect(refused):
    refused(SOCKET, CONNECT, "nonblock 0", "flags", "ready poll OUT 20000", ERROR, "flags")


def test_connecting_again_waits_if_the_socket_blocks_by_now(conf, make_proxy, echo):
    proxy = make_proxy(Mood(delay=0.5))
    connect = f"connect 127.0.0.1 {echo.port}"
    answers = script(SOCKET, connect, "nonblock 0", connect, connect, *TALK, conf=conf([proxy], *PATIENT))
    assert answers[1:5] == ["-1 EINPROGRESS", "0", "0", "-1 EISCONN"]
    assert answers[-1] == "5 hello"


@pytest.mark.parametrize("first", ["send early", "write early", "recv 5"])
def test_data_on_a_socket_made_blocking_while_pending_is_refused_and_not_lost(conf, tmp_path, make_proxy, echo, first):
    """The kernel would let the call block: docs/limits.md."""
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate))
        answers = script(
            SOCKET, f"connect 127.0.0.1 {echo.port}", "nonblock 0", first, f"open {gate.path}", "ready poll OUT 20000",
            *TALK, conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    assert answers[3] == "-1 EAGAIN"
    assert answers[-3:] == ["5", "IN", "5 hello"]


def test_a_connect_that_is_interrupted_is_interrupted_at_each_further_try(both):
    interrupted = ["interrupt 100 plain", CONNECT] * 3
    end = ["ready poll OUT 20000", ERROR, CONNECT, CONNECT, *TALK]
    answers = both("socket inet stream", *interrupted, "flags", "peer", OPEN, *end)
    assert answers[2:7:2] == ["-1 EINTR"] * 3


def test_a_connect_that_is_interrupted_with_a_time_limit_is_not_restarted(both):
    limited = ["set_time SO_SNDTIMEO 60000", "interrupt 100 restart", CONNECT, "interrupt 100 restart", CONNECT]
    answers = both("socket inet stream", *limited, OPEN, "ready poll OUT 20000", ERROR, *TALK)
    assert answers[3] == answers[5] == "-1 EINTR"


def test_a_time_limit_ends_each_further_try(both):
    limited = ["set_time SO_SNDTIMEO 100", CONNECT, CONNECT, CONNECT]
    answers = both("socket inet stream", *limited, OPEN, "ready poll OUT 20000", ERROR, *TALK)
    assert answers[2:5] == ["-1 EINPROGRESS", "-1 EALREADY", "-1 EALREADY"]


def test_an_option_that_starves_a_handshake_does_not_and_stays(conf, proxy, echo):
    """A reply of the proxy is shorter than SO_RCVLOWAT; TCP_CORK would hold back the request."""
    options = ["set SOL_SOCKET SO_RCVLOWAT 100", "set IPPROTO_TCP TCP_CORK 1"]
    asked = ["get SOL_SOCKET SO_RCVLOWAT", "get IPPROTO_TCP TCP_CORK"]
    connect = [f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000"]
    for kind in ["socket inet stream", SOCKET]:
        answers = script(kind, *options, *connect, ERROR, *asked, "peer", conf=conf([proxy], *PATIENT))
        assert answers[4:8] == ["OUT", "0", "100", "1"]


PHP_TIMEOUT = """
$before = microtime(true);
$socket = @fsockopen("127.0.0.1", (int)$argv[1], $number, $text, 1);
echo var_export((bool)$socket, true), " $number $text ", microtime(true) - $before < 4 ? "soon" : "late", "\n";
"""

PERL_TIMEOUT = """
use IO::Socket::INET; use Time::HiRes "time";
my $before = time;
my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $ARGV[0], Timeout => 1);
print defined $socket ? "connected" : "undef", " $@ ", time - $before < 4 ? "soon" : "late", "\n";
"""

LANGUAGES = {"php": ["-r", PHP_TIMEOUT, "--"], "perl": ["-e", PERL_TIMEOUT]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_time_limit_that_ends_with_a_blocking_socket(conf, make_proxy, echo, deaf, language):
    """Both clear O_NONBLOCK when their timeout expires."""
    proxy = make_proxy(Mood(instead={"request": SILENCE}))
    program, words = need(language), LANGUAGES[language]
    bare = run_under(program, [*words, deaf], via="bare").ok()
    through = run_under(program, [*words, echo.port], conf=conf([proxy], *PATIENT), options=["-q"]).ok()
    assert proxy.targets
    assert through.out == bare.out
    assert through.out.endswith("soon\n")


@pytest.mark.parametrize("again", ["nonblock 1", "fionbio 1"])
def test_setting_the_flag_again_changes_nothing(both, again):
    both(SOCKET, CONNECT, again, "ready poll OUT 100", OPEN, "ready poll OUT 20000", "flags", *TALK)


def test_a_flag_that_is_set_by_ioctl_during_the_exchange_is_not_lost(conf, proxy, echo):
    result = run_probe("held_flags", "127.0.0.1", echo.port, conf=conf([proxy]), options=["-q"]).ok()
    assert result.out == "-1 EINPROGRESS, cloexec\n"


def test_null_is_an_error_of_the_program_and_no_crash(both):
    calls = ["null ioctl", "null sendmsg", "null sendmmsg", SOCKET, "connect_null", "swap"]
    answers = both(SOCKET, CONNECT, *calls, OPEN, "ready poll OUT 20000", "null getpeername", *TALK)
    assert answers.count("-1 EFAULT") == 5


BAD_ADDRESSES = ["connect_null", *[f"connect_wild {length}" for length in (0, 1, 2, 16, 128, 129, -1)]]


def test_a_bad_address_is_an_error_before_the_attempt_that_is_pending(both):
    short = ["connect 127.0.0.1 {port} 1", "connect 127.0.0.1 {port} 2"]
    answers = both(SOCKET, CONNECT, *BAD_ADDRESSES, *short, CONNECT, OPEN, "ready poll OUT 20000", ERROR, *TALK)
    null, nothing, *wild, too_long, negative = answers[2 : 2 + len(BAD_ADDRESSES)]
    assert {null, *wild} == {"-1 EFAULT"}
    assert {nothing, too_long, negative} == {"-1 EINVAL"}
    assert answers[2 + len(BAD_ADDRESSES) :][:3] == ["-1 EINVAL", "-1 EALREADY", "-1 EALREADY"]


def test_a_connect_to_a_bad_address_keeps_the_deferred_error(conf, make_proxy, refusing):
    """The next connect returns it, like a kernel's own error."""
    connect = f"connect 127.0.0.1 {refusing}"
    operations = [SOCKET, connect, "ready poll OUT 20000", *BAD_ADDRESSES, connect]
    answers = script(*operations, conf=conf([make_proxy(Mood(reply=4))]))
    assert set(answers[3:-1]) == {"-1 EFAULT", "-1 EINVAL"}
    assert answers[-1] == "-1 EHOSTUNREACH"


# -- fds: close, dup, reuse


@pytest.mark.parametrize("close", ["close", "close_range 3 3", "cover"])
def test_close_cancels_a_connect_without_an_event_for_epoll_waiters(both, close):
    operations = ["epoll 1", SOCKET, CONNECT, "ctl 1 add IN+OUT", "asleep epoll 1 1000", close.replace("3", "4"), OPEN]
    answers = both(*operations, "woken")
    assert answers[-1] == "nothing"


@pytest.mark.parametrize("close", ["close", "close_range 3 3"])
def test_an_fd_that_is_reused_at_once_stays_with_its_new_owner(both, close):
    answers = both(SOCKET, CONNECT, close, "reuse", "kind", OPEN, "sleep 1500", "kind", "left")
    assert answers[4:8] == ["something else", "0", "0", "something else"]


def test_an_fd_that_connects_again_at_once(both):
    both(SOCKET, CONNECT, "close", SOCKET, CONNECT, "close", SOCKET, CONNECT, OPEN, "ready poll OUT 20000", *TALK)


def test_a_socket_replaced_by_dup2_stays_replaced(both):
    both(SOCKET, CONNECT, "cover", OPEN, "sleep 1500", "kind", "peer")


@pytest.mark.parametrize("moment", ["before", "during"])
@pytest.mark.parametrize("closed", ["none", "original", "copy"])
@pytest.mark.parametrize("copy", ["dup", "dup2 20", "dup2 21 cloexec"])
def test_a_dup_is_connected_whichever_is_closed_first(both, copy, moment, closed):
    start = [SOCKET, copy, CONNECT] if moment == "before" else [SOCKET, CONNECT, copy]
    end = {"none": [], "original": ["swap", "close", "swap"], "copy": ["close", "swap"]}[closed]
    both(*start, *end, OPEN, "ready poll OUT 20000", ERROR, "flags", "peer", *TALK)


def test_both_fds_of_a_dup_work(both):
    both(SOCKET, CONNECT, "dup", CONNECT, OPEN, "ready poll OUT 20000", "send hello", "swap", "ready poll OUT 20000",
         "ready poll IN 20000", "recv 5", "same", "peer")  # fmt: skip


@pytest.mark.parametrize("last", [1000, 2**32 - 1])
def test_closing_all_other_fds_spares_those_of_a_pending_connect(both, last):
    both(SOCKET, CONNECT, f"close_range 4 {last}", OPEN, "ready poll OUT 20000", ERROR, *TALK, "left")


def test_close_range_spares_a_replacement_socket(conf, tmp_path, make_proxy, echo):
    """An IPv4 socket and an IPv6 proxy."""
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate), host="::1")
        operations = [
            SOCKET, f"connect 127.0.0.1 {echo.port}", "sleep 200", f"close_range 4 {2**32 - 1}", f"open {gate.path}",
            "ready poll OUT 20000", ERROR, *TALK, "left",
        ]  # fmt: skip
        answers = script(*operations, conf=conf([proxy], *PATIENT))
    assert answers[5:] == ["OUT", "0", "5", "IN", "5 hello", "threads 1 descriptors 4"]


@pytest.mark.parametrize(
    ("what", "name"),
    [("flags", "EINVAL"), ("same", "EINVAL"), ("closed", "EBADF"), ("limit", "EBADF"), ("range", "EINVAL")],
)
def test_a_call_that_fails_closes_nothing(both, what, name):
    answers = both(SOCKET, CONNECT, f"cannot {what}", OPEN, "ready poll OUT 20000", ERROR, "peer", *TALK)
    assert answers[2] == f"-1 {name}"


@pytest.mark.parametrize("missing", [[], ["no_close_range"]], ids=["there", "missing"])
def test_closefrom_spares_the_fds_of_a_pending_connect(both, missing):
    both(SOCKET, CONNECT, "dup", "swap", *missing, "closefrom 4", OPEN, "ready poll OUT 20000", ERROR, *TALK, "swap",
         "kind", "swap", "left")  # fmt: skip


def test_a_close_range_that_the_kernel_has_not_closes_nothing(both):
    answers = both(SOCKET, CONNECT, "no_close_range", "close_range", OPEN, "ready poll OUT 20000", ERROR, *TALK, "left")
    assert answers[3] == "-1 ENOSYS"


def test_an_fd_that_the_limit_no_longer_allows_is_connected_all_the_same(both):
    """A sandbox lowers its limit, and keeps its open fds."""
    both(SOCKET, "dup2 200 cloexec", CONNECT, "epoll 0", "ctl 0 add OUT", "soft_limit 100", OPEN,
         "ready epoll 0 20000", ERROR, "flags", "peer", *TALK)  # fmt: skip


def test_close_range_spares_the_fds_of_a_thread_that_still_sleeps(both):
    # Nothing is pending any more, but a thread sleeps on what was at the fd.
    both(SOCKET, CONNECT, "asleep poll IN", OPEN, "ready poll OUT 20000", "close_range 10 4294967295", "use 3", SOCKET,
         CONNECT, "ready poll OUT 20000", *TALK, "use 3", *TALK[:1], "woken", *TALK[1:], "close 4", "left")  # fmt: skip


def test_a_forked_child_lacks_the_fds_of_a_thread_that_still_sleeps(both):
    both(SOCKET, CONNECT, "asleep poll IN", OPEN, "ready poll OUT 20000", "fork", "left", "end", *TALK[:1], "woken",
         *TALK[1:], "left")  # fmt: skip


def test_a_child_that_closed_its_copy_past_libc_can_reuse_the_fd(both):
    both(SOCKET, CONNECT, "fork", "close_past", "reuse", "kind", ERROR, CONNECT, "kind", "end", OPEN,
         "ready poll OUT 20000", ERROR, *TALK)  # fmt: skip


def test_nothing_is_left_when_pending_sockets_are_closed(both):
    both(*[SOCKET, CONNECT] * 5, "close_range", "left", OPEN)


# -- processes


# For a child of clone(2) without CLONE_VM no fork handlers run.
MADE = ["fork", "clone"]


@pytest.mark.parametrize("made", MADE)
def test_a_forked_child_gets_the_result_of_a_pending_connect(both, made):
    both(SOCKET, CONNECT, made, OPEN, "ready poll OUT 20000", ERROR, "peer", *TALK, "end", "ready poll OUT 20000",
         ERROR, *TALK)  # fmt: skip


@pytest.mark.parametrize("made", MADE)
def test_a_child_that_connects_again_learns_it_too(both, made):
    both(SOCKET, CONNECT, made, CONNECT, OPEN, "ready poll OUT 20000", CONNECT, *TALK, "end", ERROR)


@pytest.mark.parametrize("made", MADE)
def test_a_child_that_closes_its_copy_leaves_the_parents_alone(both, made):
    both(SOCKET, CONNECT, made, "close", "close_range", "end", OPEN, "ready poll OUT 20000", ERROR, *TALK)


@pytest.mark.parametrize("made", MADE)
def test_a_child_learns_of_a_refusal(conf, tmp_path, make_proxy, refusing, made):
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate, reply=4))
        answers = script(
            SOCKET, f"connect 127.0.0.1 {refusing}", made, f"open {gate.path}", "ready poll OUT 20000", ERROR, "end",
            "ready poll OUT 20000", ERROR, conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    # The kernel's error is gone: the child has fetched it from the socket that they share.
    assert answers[5:] == ["113", "0", "OUT+HUP", "113"]


def test_getpeername_tells_a_child_that_it_is_connected(both):
    both(SOCKET, CONNECT, "fork", "peer", OPEN, "ready poll OUT 20000", "peer", ERROR, *TALK, "end", ERROR)


@pytest.mark.parametrize("how", ["shutdown 0", "shutdown 1", "shutdown 2", "unspec"])
def test_a_child_that_gives_the_socket_up_ends_the_parents_connect(both, how):
    connect = [CONNECT, OPEN, "ready poll OUT 20000", ERROR, *TALK]
    answers = both(SOCKET, CONNECT, "fork", how, "end", "ready poll OUT 20000", ERROR, *connect)
    assert answers[4:7] == ["0", "OUT+ERR+HUP", str(errno.ECONNRESET)]
    both("epoll 0", SOCKET, CONNECT, "ctl 0 add OUT", "asleep epoll 0", "fork", how, "end", "woken")
    both(SOCKET, CONNECT, "fork", how, *connect, "end", *TALK)


@pytest.mark.parametrize("how", ["shutdown 1", "unspec"])
def test_a_child_gives_up_a_socket_that_is_connected(both, how):
    both(SOCKET, CONNECT, "fork", OPEN, "ready poll OUT 20000", how, "end", "ready poll IN 20000", ERROR, "recv 1")


CONNECTED = ["ready poll OUT 20000", ERROR, "peer", "flags", *TALK, "left"]


def test_a_daemon_goes_on_with_a_connect_of_the_process_that_ended(both):
    both(SOCKET, CONNECT, "daemon", CONNECT, OPEN, *CONNECTED)
    both(SOCKET, CONNECT, "daemon", "peer", OPEN, *CONNECTED)
    both(SOCKET, CONNECT, "daemon", OPEN, ERROR, *CONNECTED)
    both(SOCKET, CONNECT, "daemon", "daemon", "nonblock 0", OPEN, CONNECT, *CONNECTED)
    both("epoll 0", SOCKET, CONNECT, "dup", "ctl 0 add OUT", "daemon", CONNECT, OPEN, "ready epoll 0 20000", *CONNECTED)
    both(SOCKET, CONNECT, "daemon", "shutdown 2", ERROR, CONNECT, OPEN, *CONNECTED)
    both(SOCKET, CONNECT, "daemon", "unspec", CONNECT, OPEN, *CONNECTED)


def test_a_daemon_that_was_woken_by_the_end_of_its_parent_hears_of_the_connect(conf, make_proxy, echo, refusing):
    daemon = [SOCKET, "connect 127.0.0.1 {port}", "daemon", "ready poll OUT 20000", ERROR]
    operations = [operation.format(port=echo.port) for operation in daemon]
    answers = script(*operations, *CONNECTED, conf=conf([make_proxy(Mood(delay=0.3))]))
    assert answers[4:] == ["0", "OUT", "0", f"127.0.0.1 length 16 port {echo.port}", "inherited nonblock", "5", "IN",
                           "5 hello", "threads 1 descriptors 4"]  # fmt: skip
    refused = make_proxy(Mood(delay=0.3, reply=4))
    assert script(*operations, conf=conf([refused]))[4:] == [str(errno.EHOSTUNREACH)]


def test_one_child_alone_dials_again(conf, make_proxy, echo):
    daemon = [SOCKET, f"connect 127.0.0.1 {echo.port}", "sibling", ERROR, "sibling_error", *TALK, ERROR]
    answers = script(*daemon, conf=conf([make_proxy(Mood(delay=0.3))]))
    assert answers[3:] == ["0", str(errno.ECONNABORTED), "5", "IN", "5 hello", "0"]


@pytest.mark.parametrize("first", ["recv 1", "send hello", "flags"])
@pytest.mark.parametrize("made", MADE)
def test_a_child_that_asks_nothing_reads_no_byte_that_the_server_did_not_send(
    conf, tmp_path, make_proxy, echo, made, first
):
    """It may get an error or end of file, but it neither hangs nor reads invented bytes."""
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate))
        answers = script(
            SOCKET, f"connect 127.0.0.1 {echo.port}", made, f"open {gate.path}", "ready poll OUT 20000", first,
            "recv 1", "end", "ready poll OUT 20000", ERROR, *TALK, conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    assert answers[5] in ("-1 EAGAIN", "-1 EPIPE", "inherited nonblock")
    assert answers[6] in ("0 ", "-1 EPIPE", "-1 ECONNRESET", "-1 EAGAIN", "-1 ENOTCONN"), answers
    assert answers[-3:] == ["5", "IN", "5 hello"]


@pytest.mark.parametrize("way", ["nonblock 0", "fionbio 0"])
@pytest.mark.parametrize("made", MADE)
def test_a_child_that_makes_it_blocking_has_the_connection(both, made, way):
    both(SOCKET, CONNECT, made, OPEN, "ready poll OUT 20000", way, "flags", "send hello", "recv 5", "end", ERROR)
    both(SOCKET, CONNECT, made, way, "flags", OPEN, "ready poll OUT 20000", ERROR, "flags", *TALK, "end", ERROR)


@pytest.mark.parametrize("made", MADE)
def test_a_child_has_connects_of_its_own(both, made):
    both("epoll 0", made, SOCKET, CONNECT, "ctl 0 add OUT", OPEN, "ready epoll 0 20000", ERROR, *TALK, "left", "end")
    both(SOCKET, CONNECT, made, SOCKET, CONNECT, OPEN, "ready poll OUT 20000", ERROR, *TALK, "end",
         "ready poll OUT 20000", ERROR, *TALK, "left")  # fmt: skip


def test_a_child_that_was_cloned_in_the_middle_of_many_connects_has_connects_of_its_own(conf, proxy, echo):
    """In its copy of the process a thread that does not exist may hold a lock of ours; and none of our memory is."""
    connect = [SOCKET, f"connect 127.0.0.1 {echo.port}"]
    child = ["clone", *connect, "ready poll OUT 20000", ERROR, *TALK, "end"]
    answers = script(*[*connect * 3, *child] * 60, conf=conf([proxy]))
    assert answers.count("child") == 60
    assert answers.count("5 hello") == 60


@pytest.mark.parametrize("how", ["vfork", "spawn"])
def test_children_that_execute_leave_the_deferred_error_to_the_parent(conf, make_proxy, echo, how):
    connect = [SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000"]
    answers = script(*connect, how, ERROR, conf=conf([make_proxy(Mood(reply=2))]))
    assert answers[3:] == ["0", str(errno.EACCES)]


@pytest.mark.parametrize("how", ["vfork", "spawn"])
def test_children_that_execute_change_nothing(both, how):
    both(SOCKET, CONNECT, "epoll 0", "ctl 0 add OUT", how, how, OPEN, "ready epoll 0 20000", ERROR, *TALK)


# -- calls that fail if there is a second thread

# The last one does not, and needs no care.
ALONE = [
    "unshare CLONE_NEWUSER", "unshare CLONE_FILES", "unshare CLONE_NEWNS", "setns mnt 0", "setns mnt CLONE_NEWNS",
    "close_range 100000 100001 2", "setns net CLONE_NEWNET",
]  # fmt: skip


@pytest.mark.parametrize("call", ALONE)
def test_a_process_is_alone_as_soon_as_its_socket_is_connected(both, call):
    answers = both(SOCKET, CONNECT, OPEN, "ready poll OUT 20000", call, "fork_counting", ERROR, *TALK)
    assert answers[4:7] == ["0", "threads 1", "0"]


@pytest.mark.parametrize("call", ALONE)
def test_a_process_is_alone_for_a_call_while_it_is_connecting(both, call):
    answers = both("epoll 0", SOCKET, CONNECT, "ctl 0 add OUT", call, OPEN, "ready epoll 0 20000", ERROR, *TALK)
    assert answers[4] == "0"


def test_a_process_is_alone_after_each_connect_of_many(conf, proxy, echo):
    connect = [SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000", "fork_counting", "close"]
    answers = script(*connect * 200, conf=conf([proxy]))
    assert answers[3::5] == ["threads 1"] * 200
    connect[3] = "setns mnt 0"
    answers = script(*connect * 200, conf=conf([proxy]))
    assert answers[3::5] == ["0"] * 200


def test_a_process_that_can_have_no_further_thread_learns_that_its_connect_failed(conf, tmp_path, make_proxy, echo):
    """After unshare(CLONE_NEWPID) no thread can be created, and the helper ends before the call is made."""
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate))
        answers = script(
            SOCKET, f"connect 127.0.0.1 {echo.port}", "unshare 0x30000000", f"open {gate.path}",
            "ready poll OUT 20000", ERROR, f"connect 127.0.0.1 {echo.port}", *TALK, conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    assert answers[2:6] == ["0", "0", "OUT+ERR+HUP", str(errno.ECONNABORTED)]
    assert answers[6:] == ["0", "5", "IN", "5 hello"]


def test_exec_in_the_middle_gives_the_next_program_an_error_or_a_connection(conf, tmp_path, make_proxy, echo):
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate))
        answers = script(
            SOCKET, f"connect 127.0.0.1 {echo.port}", "exec", "use 3", f"open {gate.path}", "ready poll OUT 20000",
            "send hello", conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    assert "OUT" in answers[5]
    assert answers[6] == "-1 EPIPE"


def test_exec_with_cloexec_in_the_middle_leaves_nothing(both):
    both("socket inet stream 0 cloexec", "nonblock 1", CONNECT, "exec", "use 3", "kind", "left")


def test_exit_in_the_middle(both):
    both(SOCKET, CONNECT, "exit")


def test_forks_under_a_storm_of_signals_whose_handler_closes(both):
    answers = both(SOCKET, CONNECT, "storm 200", "forks 300", OPEN, "storm 0", "ready poll OUT 20000", ERROR, *TALK)
    assert answers[3] == "300"


# -- scarcity


def lines_about_blocking(result):
    return [line for line in result.err.splitlines() if "blocking instead" in line]


@pytest.mark.parametrize("scarce", ["no_threads", "limit nproc", "limit nofile 2", "limit nofile 0"])
def test_without_a_thread_or_an_fd_it_blocks_and_says_so(conf, make_proxy, echo, scarce):
    """The proxy replies late: otherwise neither is needed (test_moment.py). It gets one request."""
    proxy = make_proxy(Mood(delay=0.05))
    operations = [SOCKET, scarce, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 0", "flags", *TALK]
    result = run_probe("socket_script", *operations, conf=conf([proxy])).ok()
    answers = [line.split(" -> ", 1)[1] for line in result.out.splitlines()]
    assert answers[2:] == ["0", "OUT", "inherited nonblock", "5", "IN", "5 hello"]
    assert len(lines_about_blocking(result)) == 1
    assert proxy.targets == [("127.0.0.1", echo.port)]


# -- cost


def test_waiting_for_a_proxy_that_refuses_costs_no_time_of_the_processor(conf, refusing, echo):
    """`proxy_wait`: the helper sleeps between two tries."""
    config = conf([f"socks5 127.0.0.1 {refusing}"], "proxy_wait 1500")
    answers = script(
        SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000", ERROR, "cpu 600", "left", conf=config
    )
    assert answers[1:5] == ["-1 EINPROGRESS", "OUT+ERR+HUP", "111", "less"]


# -- every type of proxy, every type of chain, every outcome

KINDS = ["socks5", "socks5 with a password", "socks4", "socks4a", "http", "http with a password"]
CHAINS = ["strict_chain", "dynamic_chain", "random_chain", "round_robin_chain"]
WAIT = ["ready poll OUT 30000", ERROR]


def proxy_of(make_proxy, kind, **mood):
    word, _, secret = kind.partition(" ")
    credentials = ("ann", "secret") if secret else None
    users = {"ann": "secret"} if secret else {}
    return make_proxy(Mood(users=users, **mood), kind=word.rstrip("a"), credentials=credentials)


def ends(config, port, *more):
    """The results of poll and SO_ERROR after a connect that must be pending."""
    answers = script(SOCKET, f"connect 127.0.0.1 {port}", *WAIT, *more, conf=config)
    assert answers[1] == "-1 EINPROGRESS"
    return answers[2:]


@pytest.mark.parametrize("chain", CHAINS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_proxy_in_every_kind_of_chain(conf, make_proxy, echo, kind, chain):
    config = conf([proxy_of(make_proxy, kind, drip=True)], chain=chain)
    assert ends(config, echo.port, *TALK) == ["OUT", "0", "5", "IN", "5 hello"]


def test_a_raw_proxy(conf, echo):
    with RawRelay((echo.host, echo.port)) as relay:
        assert ends(conf([relay]), echo.port, *TALK) == ["OUT", "0", "5", "IN", "5 hello"]


def test_a_long_chain_of_mixed_kinds(conf, make_proxy, echo):
    chain = [proxy_of(make_proxy, kind) for kind in KINDS]
    assert ends(conf(chain), echo.port, *TALK) == ["OUT", "0", "5", "IN", "5 hello"]


def test_a_banner_sent_at_once_is_not_lost(conf, make_proxy, make_echo):
    for kind in KINDS:
        proxy = proxy_of(make_proxy, kind, glue=b"220 ")
        answers = ends(conf([proxy]), make_echo().port, "ready poll IN 20000", "recv 4")
        assert answers == ["OUT", "0", "IN", "4 220 "]


REFUSALS = [
    ("socks5", 1, "ECONNREFUSED"),
    ("socks5", 2, "EACCES"),
    ("socks5", 3, "ENETUNREACH"),
    ("socks5", 4, "EHOSTUNREACH"),
    ("socks5", 5, "ECONNREFUSED"),
    ("socks5", 6, "ETIMEDOUT"),
    ("socks5", 7, "EOPNOTSUPP"),
    ("socks5", 8, "EAFNOSUPPORT"),
    ("socks4", 91, "ECONNREFUSED"),
    ("socks4", 92, "EACCES"),
    ("http", "403 Forbidden", "EACCES"),
    ("http", "407 Proxy Authentication Required", "EACCES"),
    ("http", "502 Bad Gateway", "ECONNREFUSED"),
    ("http", "504 Gateway Timeout", "ETIMEDOUT"),
]


@pytest.mark.parametrize(("kind", "reply", "name"), REFUSALS)
def test_a_refusal_has_its_errno_in_so_error(conf, make_proxy, echo, kind, reply, name):
    config = conf([make_proxy(Mood(reply=reply), kind=kind)])
    assert ends(config, echo.port, ERROR) == ["OUT+ERR+HUP", str(getattr(errno, name)), "0"]
    answers = script(
        SOCKET, f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000", "connect 127.0.0.1 1", conf=config
    )
    assert answers[3] == f"-1 {name}"


@pytest.mark.parametrize("stage", ["greeting", "request"])
@pytest.mark.parametrize(("instead", "number"), [(CLOSE, 104), (RESET, 104), (SILENCE, 110), (b"\xff" * 8, 104)])
def test_a_proxy_that_misbehaves(conf, make_proxy, echo, stage, instead, number):
    config = conf([make_proxy(Mood(instead={stage: instead}))], "tcp_read_time_out 300")
    assert ends(config, echo.port) == ["OUT+ERR+HUP", str(number)]


@pytest.fixture
def full(tmp_path):
    """(listener, line): the line of a unix proxy with a full backlog until it accepts a connection."""
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as first:
        listener.bind(f"{tmp_path}/full.sock")
        listener.listen(0)
        listener.settimeout(10)
        first.connect(f"{tmp_path}/full.sock")
        yield listener, f"raw unix:{tmp_path}/full.sock"


def test_a_unix_proxy_without_room_is_one_that_does_not_answer(conf, full, echo):
    config = conf([full[1]], "tcp_connect_time_out 400")
    connect = f"connect 127.0.0.1 {echo.port}"
    assert script(SOCKET, connect, *WAIT, conf=config)[1:] == ["-1 EINPROGRESS", "OUT+ERR+HUP", "110"]
    assert script("socket inet stream", connect, conf=config)[1] == "-1 ETIMEDOUT"


@pytest.mark.parametrize("operations", [[SOCKET, CONNECT, *WAIT], ["socket inet stream", CONNECT]])
def test_a_unix_proxy_that_has_room_later_is_connected_to_then(conf, full, operations):
    listener, line = full

    def serve():
        time.sleep(0.3)
        listener.accept()[0].close()
        with listener.accept()[0] as connection:
            connection.sendall(connection.recv(5))
            connection.recv(1)

    with ThreadPoolExecutor() as pool:
        pool.submit(serve)
        operations = [operation.format(port=9) for operation in [*operations, *TALK]]
        assert script(*operations, conf=conf([line]))[-3:] == ["5", "IN", "5 hello"]


@pytest.mark.parametrize("chain", CHAINS)
def test_a_dead_proxy(conf, echo, refusing, deaf, chain):
    assert ends(conf([f"socks5 127.0.0.1 {refusing}"], chain=chain), echo.port) == ["OUT+ERR+HUP", "111"]
    config = conf([f"socks5 127.0.0.1 {deaf}"], "tcp_connect_time_out 300", chain=chain)
    assert ends(config, echo.port) == ["OUT+ERR+HUP", "110"]


def test_dynamic_skips_the_dead_while_the_program_goes_on(conf, proxy, echo, refusing, deaf):
    chain = [f"socks5 127.0.0.1 {refusing}", f"socks5 127.0.0.1 {deaf}", proxy]
    config = conf(chain, "tcp_connect_time_out 300", chain="dynamic_chain")
    assert ends(config, echo.port, *TALK) == ["OUT", "0", "5", "IN", "5 hello"]


def test_proxy_wait_waits_for_a_proxy_that_comes_late(conf, echo):
    port = free_port()

    def open_late():
        time.sleep(0.7)
        return Proxy(port=port)

    with ThreadPoolExecutor() as pool:
        late = pool.submit(open_late)
        assert ends(conf([f"socks5 127.0.0.1 {port}"], "proxy_wait 60000"), echo.port, *TALK)[:2] == ["OUT", "0"]
        late.result().close()


def test_proxy_retry_tries_again(conf, make_proxy, echo):
    proxy = make_proxy(Mood(reply=1))
    assert ends(conf([proxy], "proxy_retry 2"), echo.port) == ["OUT+ERR+HUP", "111"]
    assert len(proxy.requests) == 3


def test_an_option_set_while_pending_survives_a_change_of_family(conf, tmp_path, make_proxy, echo):
    """An IPv4 socket and an IPv6 proxy: the final socket is another one."""
    with Gate(tmp_path) as gate:
        proxy = make_proxy(Mood(gate=gate), host="::1")
        write, read = SET["TCP_KEEPIDLE"]
        answers = script(
            SOCKET, f"connect 127.0.0.1 {echo.port}", write, f"open {gate.path}", *WAIT, read, "flags", *TALK,
            conf=conf([proxy], *PATIENT),
        )  # fmt: skip
    assert answers[4:] == ["OUT", "0", "77", "inherited nonblock", "5", "IN", "5 hello"]


# -- after the end


def test_the_port_is_free_after_close_of_a_connected_socket(conf, make_proxy, echo):
    words = ["127.0.0.1", echo.port, 1000]
    bare = run_probe("port_again", *words, via="bare").ok()
    through = run_probe("port_again", *words, conf=conf([make_proxy()]), options=["-q"]).ok()
    assert through.out == bare.out == "connected 1000 refused 0 in_use 0\n"


@pytest.mark.parametrize("how", ["close", "dup2", "close_range"])
def test_the_port_is_free_after_close_of_a_pending_socket(conf, make_proxy, deaf, echo, how):
    bare = run_probe("port_again", "127.0.0.1", deaf, 100, how, via="bare").ok()
    config = conf([make_proxy(Mood(instead={"request": SILENCE}))], *PATIENT)
    through = run_probe("port_again", "127.0.0.1", echo.port, 100, how, conf=config, options=["-q"]).ok()
    assert bare.out == "connected 0 refused 0 in_use 0\n"
    # Not if the helper is in a system call with it at that very moment.
    *_, in_use = through.out.split()
    assert int(in_use) < 20


def test_the_port_is_free_after_close_of_a_failed_socket(conf, make_proxy):
    with refusing_port() as port:
        words = ["127.0.0.1", port, 200]
        bare = run_probe("port_again", *words, via="bare").ok()
        proxy = make_proxy(Mood(reply=5))
        through = run_probe("port_again", *words, conf=conf([proxy]), options=["-q"]).ok()
    assert through.out == bare.out == "connected 0 refused 200 in_use 0\n"


def test_so_it_is_where_the_socket_at_the_end_is_another(conf, make_proxy, echo):
    """An IPv4 socket and an IPv6 proxy: both are gone."""
    words = ["127.0.0.1", echo.port, 200]
    through = run_probe("port_again", *words, conf=conf([make_proxy(host="::1")]), options=["-q"]).ok()
    assert through.out == "connected 200 refused 0 in_use 0\n"


# -- timeouts


PYTHON_TIMEOUT = """
import socket, sys
for how in ("timeout", "settimeout"):
    try:
        if how == "timeout":
            socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=0.5)
        else:
            with socket.socket() as s:
                s.settimeout(0.5)
                s.connect(("127.0.0.1", int(sys.argv[1])))
        print("connected")
    except TimeoutError as error:
        print(type(error).__name__, error)
"""


def test_pythons_time_limit_is_kept(conf, make_proxy, echo, deaf):
    proxy = make_proxy(Mood(instead={"request": SILENCE}))
    bare = run_under(sys.executable, ["-c", PYTHON_TIMEOUT, deaf], via="bare").ok()
    through = run_under(sys.executable, ["-c", PYTHON_TIMEOUT, echo.port], conf=conf([proxy], *PATIENT)).ok()
    assert through.out == bare.out == "TimeoutError timed out\n" * 2


def test_connect_returns_at_once_a_thousand_times(conf, make_proxy, echo, record_property):
    """Through a proxy that takes 300 ms for each. The bound is generous, for a busy machine."""
    proxy = make_proxy(Mood(delay=0.3))
    result = run_probe("connect_times", "127.0.0.1", echo.port, 1000, conf=conf([proxy]), options=["-q"]).ok()
    figures = dict(pair.split("=") for pair in result.out.split())
    record_property("connect_times", result.out.strip())
    print(result.out)
    assert figures["connected"] == "1000"
    assert int(figures["median_us"]) < 10_000
    assert int(figures["longest_us"]) < 100_000
    assert (figures["threads"], figures["descriptors"]) == ("1", "as_before")
