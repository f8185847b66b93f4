"""Through a proxy, the program keeps the socket that it made: fd, dups, flags, options, address."""

import subprocess
import sys

import pytest

from support.holding_proxy import HoldingProxy
from support.probe import run_probe, script
from support.proxy import Mood
from support.run import finish, start

# (how to set it, how to read it)
OPTIONS = {
    "SO_KEEPALIVE": ("set SOL_SOCKET SO_KEEPALIVE 1", "get SOL_SOCKET SO_KEEPALIVE"),
    "TCP_KEEPIDLE": ("set IPPROTO_TCP TCP_KEEPIDLE 77", "get IPPROTO_TCP TCP_KEEPIDLE"),
    "TCP_KEEPINTVL": ("set IPPROTO_TCP TCP_KEEPINTVL 7", "get IPPROTO_TCP TCP_KEEPINTVL"),
    "TCP_KEEPCNT": ("set IPPROTO_TCP TCP_KEEPCNT 3", "get IPPROTO_TCP TCP_KEEPCNT"),
    "TCP_NODELAY": ("set IPPROTO_TCP TCP_NODELAY 1", "get IPPROTO_TCP TCP_NODELAY"),
    "TCP_USER_TIMEOUT": ("set IPPROTO_TCP TCP_USER_TIMEOUT 12345", "get IPPROTO_TCP TCP_USER_TIMEOUT"),
    "TCP_SYNCNT": ("set IPPROTO_TCP TCP_SYNCNT 3", "get IPPROTO_TCP TCP_SYNCNT"),
    "SO_RCVBUF": ("set SOL_SOCKET SO_RCVBUF 30000", "get SOL_SOCKET SO_RCVBUF"),
    "SO_SNDBUF": ("set SOL_SOCKET SO_SNDBUF 30000", "get SOL_SOCKET SO_SNDBUF"),
    "SO_PRIORITY": ("set SOL_SOCKET SO_PRIORITY 5", "get SOL_SOCKET SO_PRIORITY"),
    "SO_OOBINLINE": ("set SOL_SOCKET SO_OOBINLINE 1", "get SOL_SOCKET SO_OOBINLINE"),
    "SO_REUSEADDR": ("set SOL_SOCKET SO_REUSEADDR 1", "get SOL_SOCKET SO_REUSEADDR"),
    "SO_LINGER": ("linger 9", "get_linger"),
    "SO_RCVTIMEO": ("set_time SO_RCVTIMEO 2500", "get_time SO_RCVTIMEO"),
    "SO_SNDTIMEO": ("set_time SO_SNDTIMEO 7500", "get_time SO_SNDTIMEO"),
    "IP_TOS": ("set IPPROTO_IP IP_TOS 16", "get IPPROTO_IP IP_TOS"),
}


@pytest.fixture
def through(conf, proxy, echo):
    """through(*operations): the script's results bare and through the proxy must be the same; `{port}` is an echo
    server's. Returns them."""

    def run(*operations, target=None):
        operations = [operation.format(port=target or echo.port) for operation in operations]
        bare = script(*operations, via="bare")
        assert proxy.requests == []
        proxied = script(*operations, conf=conf([proxy]))
        assert proxied == bare
        assert proxy.targets and all(request.dialled for request in proxy.requests)
        return proxied

    return run


def test_the_socket_is_the_same_one(through):
    answers = through("socket inet stream", "mark", "connect 127.0.0.1 {port}", "same", "send hello", "recv 5")
    assert answers[3] == "same"


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_was_set_before_connect_stays(through, name):
    write, read = OPTIONS[name]
    before, after = (lambda answers: (answers[2], answers[4]))(
        through("socket inet stream", write, read, "connect 127.0.0.1 {port}", read)
    )
    assert after == before


def test_every_option_at_once_stays(through):
    writes, reads = zip(*OPTIONS.values(), strict=True)
    through("socket inet stream", *writes, "connect 127.0.0.1 {port}", *reads)


def test_fd_cloexec_stays(through):
    assert "cloexec block" in through("socket inet stream 0 cloexec", "connect 127.0.0.1 {port}", "flags")


def test_inherited_stays_inherited(through):
    assert "inherited block" in through("socket inet stream", "connect 127.0.0.1 {port}", "flags")


def test_o_nonblock_stays_and_the_connection_comes_up(conf, proxy, echo):
    """Whether connect itself waits or not, the result must be a connected, still non-blocking socket. The first connect
    after the end returns success in the kernel, too."""
    answers = script(
        "socket inet stream 0 nonblock",
        f"connect 127.0.0.1 {echo.port}",
        "wait 10000",
        "get SOL_SOCKET SO_ERROR",
        "flags",
        f"connect 127.0.0.1 {echo.port}",
        "send hello",
        "sleep 500",
        "recv 5",
        conf=conf([proxy]),
    )
    assert answers[1] in ("0", "-1 EINPROGRESS")
    assert answers[2:] == ["1", "0", "inherited nonblock", "0", "5", "0", "5 hello"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_bound_source_address_stays(through, echo):
    through("socket inet stream", "bind 127.0.0.9 0", "connect 127.0.0.1 {port}", "local", "send hello", "recv 5")


def test_a_dup_made_before_connect_is_connected_too(through):
    through("socket inet stream", "dup", "connect 127.0.0.1 {port}", "swap", "peer", "send hello", "swap", "recv 5")


def test_the_dup_survives_its_original(through):
    through("socket inet stream", "dup", "connect 127.0.0.1 {port}", "swap", "close", "swap", "send hello", "recv 5")


def test_getpeername_returns_the_dialled_address(through, echo):
    answers = through("socket inet stream", "connect 127.0.0.1 {port}", "peer", "dup", "peer")
    assert answers[2] == answers[4] == f"127.0.0.1 length 16 port {echo.port}"


@pytest.mark.parametrize("room", [0, 1, 2, 8, 16, 28, 128])
def test_getpeername_cuts_the_address_as_the_kernel_does(through, room):
    through("socket inet stream", "connect 127.0.0.1 {port}", f"peer_room {room}")


def test_getpeername_returns_the_dialled_ipv6_address(conf, proxy, make_echo):
    target = make_echo(host="::1")
    answers = script(
        "socket inet6 stream", f"connect ::1 {target.port}", "peer", "send hello", "recv 5", conf=conf([proxy])
    )
    assert answers[1:] == ["0", f"::1 length 28 port {target.port}", "5", "5 hello"]
    assert proxy.targets == [("::1", target.port)]


def test_getpeername_returns_the_dialled_mapped_address(through):
    through("socket inet6 stream", "connect ::ffff:127.0.0.1 {port}", "peer", "send hello", "recv 5")


# One thread is kept in connect; another queries the same socket, and then makes the connect that releases both.
ASKED_MEANWHILE = """
import errno, socket, sys, threading
target = ("127.0.0.1", int(sys.argv[1]))
kept, second = socket.socket(), socket.socket()
option = socket.SOL_SOCKET, socket.SO_SNDTIMEO, 16
own = int.to_bytes(7, 8, "little") + bytes(8)
kept.setsockopt(*option[:2], own)
thread = threading.Thread(target=kept.connect, args=[target])
thread.start()
def peer():
    try:
        return kept.getpeername()
    except OSError as error:
        return errno.errorcode[error.errno]
sys.stdin.read(1)  # the proxy is asked
print(peer() == "ENOTCONN", kept.getsockopt(*option) == own, thread.is_alive())
second.connect(target)
thread.join()
print(peer() == target, kept.getsockopt(*option) == own)
"""


def test_the_own_time_limit_is_there_and_no_peer_while_the_proxy_is_at_its_answer(conf, echo):
    with HoldingProxy(quorum=2) as proxy:
        words, pipe = ["-c", ASKED_MEANWHILE, str(echo.port)], subprocess.PIPE
        process = start(sys.executable, words, conf=conf([proxy]), stdin=pipe)
        assert proxy.wait_for(1)
        done = finish(process, input=b"x")
    assert done.out.split() == ["True"] * 5, done.err


def test_errno_is_left_alone_by_a_connect_that_succeeds(through):
    assert "0 ENOTTY" in through("socket inet stream", "errno_kept 127.0.0.1 {port}")


def test_a_second_connect_is_eisconn(through):
    assert "-1 EISCONN" in through(
        "socket inet stream", "connect 127.0.0.1 {port}", "connect 127.0.0.1 {port}", "send hello", "recv 5"
    )


def test_af_unspec_disconnects_and_the_socket_connects_anew(through):
    through(
        "socket inet stream",
        "mark",
        "connect 127.0.0.1 {port}",
        "unspec",
        "peer",
        "connect 127.0.0.1 {port}",
        "same",
        "send hello",
        "recv 5",
    )


def test_a_socket_that_was_refused_connects_at_the_next_try(conf, proxy, echo, refusing):
    operations = [
        "socket inet stream 0 cloexec",
        "set IPPROTO_TCP TCP_KEEPIDLE 77",
        "mark",
        f"connect 127.0.0.1 {refusing}",
        f"connect 127.0.0.1 {echo.port}",
        "same",
        "get IPPROTO_TCP TCP_KEEPIDLE",
        "flags",
        "peer",
        "send hello",
        "recv 5",
    ]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == [("127.0.0.1", refusing), ("127.0.0.1", echo.port)]


def test_a_refused_socket_is_not_connected_to_the_proxy(conf, proxy, refusing):
    """What a program writes after a failed connect must not reach the proxy."""
    operations = ["socket inet stream", f"connect 127.0.0.1 {refusing}", "peer", "send hello"]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")


def test_a_socket_whose_fd_was_stderr_gets_no_log_line(conf, proxy, echo):
    """fd 2 is closed, and socket(2) then returns 2: a log line there would be data for the server."""
    answers = script(
        "close 2", "socket inet stream", f"connect 127.0.0.1 {echo.port}", "send hello", "recv 5", conf=conf([proxy])
    )
    assert answers == ["0", "2", "0", "5", "5 hello"]
    assert bytes(echo.received[0]) == b"hello"


def test_a_socket_in_place_of_stderr_gets_no_line_about_another_one(conf, proxy, echo, make_echo):
    other = make_echo()
    script(
        "close 2",
        "socket inet stream",
        f"connect 127.0.0.1 {echo.port}",
        "send hello",
        "recv 5",
        "socket inet stream",
        f"connect 127.0.0.1 {other.port}",
        "send other",
        "recv 5",
        conf=conf([proxy]),
    )
    assert bytes(echo.received[0]) == b"hello"
    assert bytes(other.received[0]) == b"other"


def test_the_proxy_gets_connections_after_everything_was_closed(through):
    through("close_range", "socket inet stream", "connect 127.0.0.1 {port}", "send hello", "recv 5")


@pytest.mark.parametrize("reply", [5, None])
@pytest.mark.parametrize("family", ["inet", "unix"])
def test_a_connection_that_takes_the_fd_of_a_socket_in_connect_is_left_alone(
    conf, tmp_path, make_proxy, make_echo, family, reply
):
    """Another thread closes the socket while connect sleeps, and opens its own connection at that fd. The first connect
    continues and returns its result."""
    other = make_echo()
    proxy = make_proxy(Mood(delay=1, reply=reply), **({"host": f"{tmp_path}/proxy.sock"} if family == "unix" else {}))
    config = conf([proxy], f"localnet 127.0.0.1:{other.port}/255.255.255.255")
    target = make_echo(host="127.0.0.2")
    result = run_probe("fd_reused", target.host, target.port, other.host, other.port, conf=config).ok()
    end = "connect 0" if reply is None else "connect ECONNREFUSED"
    assert result.out.splitlines() == [end, "has early", "works"]
