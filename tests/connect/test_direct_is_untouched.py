"""Direct means untouched: each probe prints the same bare and with the library on a direct route."""

import pytest

from support.probe import run_probe, script

CONNECTED = [
    "socket inet stream",
    "mark",
    "set SOL_SOCKET SO_KEEPALIVE 1",
    "set IPPROTO_TCP TCP_NODELAY 1",
    "errno_kept 127.0.0.1 {port}",
    "same",
    "flags",
    "peer",
    "peer_room 2",
    "local",
    "get SOL_SOCKET SO_KEEPALIVE",
    "get SOL_SOCKET SO_ERROR",
    "send hello",
    "recv 5",
    "connect 127.0.0.1 {port}",
    "unspec",
    "peer",
    "connect 127.0.0.1 {port}",
    "send again",
    "recv 5",
]

SCRIPTS = {
    "connected": CONNECTED,
    "refused": [
        "socket inet stream",
        "connect 127.0.0.1 {refusing}",
        "connect 127.0.0.1 {port}",
        "send hello",
        "recv 5",
    ],
    "nonblocking": [
        "socket inet stream 0 nonblock",
        "connect 127.0.0.1 {port}",
        "wait 5000",
        "get SOL_SOCKET SO_ERROR",
        "flags",
        "connect 127.0.0.1 {port}",
        "connect 127.0.0.1 {port}",
    ],
    "nonblocking refused": [
        "socket inet stream 0 nonblock",
        "connect 127.0.0.1 {refusing}",
        "wait 5000",
        "get SOL_SOCKET SO_ERROR",
        "get SOL_SOCKET SO_ERROR",
    ],
    "send time limit": [
        "socket inet stream",
        "set_time SO_SNDTIMEO 200",
        "connect 127.0.0.1 {deaf}",
        "connect 127.0.0.1 {deaf}",
    ],
    "ipv6": ["socket inet6 stream", "connect ::1 {port6}", "peer", "local", "send hello", "recv 5"],
    "mapped": ["socket inet6 stream", "connect ::ffff:127.0.0.1 {port}", "peer", "local", "send hello", "recv 5"],
    "any address": ["socket inet stream", "connect 0.0.0.0 {port}", "peer", "send hello", "recv 5"],
    "bad descriptor": ["connect 127.0.0.1 {port}", "use 999", "connect 127.0.0.1 {port}", "peer"],
    "not a socket": ["use 1", "connect 127.0.0.1 {port}", "peer"],
    "bad pointers": [
        "socket inet stream",
        "connect_null",
        "connect_wild",
        "connect_wild 2",
        "connect_wild 0",
        "connect_wild 128",
        "connect_wild 4096",
        "connect_wild -1",
    ],
    "lengths": [
        "socket inet stream",
        "connect 127.0.0.1 {port} 0",
        "connect 127.0.0.1 {port} 1",
        "connect 127.0.0.1 {port} 2",
        "connect 127.0.0.1 {port} 8",
        "connect 127.0.0.1 {port} 15",
        "connect 127.0.0.1 {port} 129",
        "connect 127.0.0.1 {port} -1",
        "connect 127.0.0.1 {port} 128",
        "peer",
    ],
    "short length of IPv6": [
        "socket inet6 stream",
        "connect ::1 {port6} 16",
        "connect ::1 {port6} 24",
        "connect ::1 {port6} 28",
    ],
    "address at the edge of a page": ["socket inet stream", "connect_edge 127.0.0.1 {port}", "send hello", "recv 5"],
    "IPv6 address on an IPv4 socket": ["socket inet stream", "connect ::1 {port6}", "peer"],
    "IPv4 address on an IPv6 socket": ["socket inet6 stream", "connect 127.0.0.1 {port}", "peer"],
    "IPv6 only and a mapped address": [
        "socket inet6 stream",
        "set IPPROTO_IPV6 IPV6_V6ONLY 1",
        "connect ::ffff:127.0.0.1 {port}",
    ],
    "unknown family": ["socket inet stream", "connect_family 77 127.0.0.1 {port}", "connect_family 1 127.0.0.1 {port}"],
    "listening": ["socket inet stream", "bind 127.0.0.1 0", "listen", "connect 127.0.0.1 {port}", "peer"],
    "udp": ["socket inet dgram", "connect 127.0.0.1 {port}", "peer", "unspec", "sendto 127.0.0.1 {port} datagram"],
    "unix": ["socket unix stream", "connect /nonexistent/socket", "socket unix dgram", "connect /nonexistent/socket"],
    "sctp": ["socket inet stream sctp", "connect 127.0.0.1 {port}"],
    "mptcp": ["socket inet stream mptcp", "connect 127.0.0.1 {port}", "peer", "send hello", "recv 5"],
    "a namespace of its own": [
        "unshare CLONE_FILES",
        "unshare CLONE_NEWUSER",
        "setns user 0",
        "setns net CLONE_NEWUSER",
        "socket inet stream",
        "connect 127.0.0.1 {port}",
        "unshare CLONE_NEWNS",
        "send hello",
        "recv 5",
    ],
    "everything closed": ["close_range", "socket inet stream", "connect 127.0.0.1 {port}", "send hello", "recv 5"],
    "dup": [
        "socket inet stream",
        "dup",
        "connect 127.0.0.1 {port}",
        "swap",
        "peer",
        "close",
        "swap",
        "send hello",
        "recv 5",
    ],
}


@pytest.fixture
def places(echo, make_echo, refusing, deaf):
    """The values for the names in braces in the scripts."""
    return {"port": echo.port, "port6": make_echo(host="::1").port, "refusing": refusing, "deaf": deaf}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_socket_script_prints_the_same(name, conf, proxy, places):
    operations = [operation.format(**places) for operation in SCRIPTS[name]]
    direct = conf([proxy], "localnet 127.0.0.0/8", "localnet ::1/128")
    assert script(*operations, conf=direct) == script(*operations, via="bare")
    assert proxy.requests == []


@pytest.mark.parametrize("how", ["sendto", "sendmsg", "sendmmsg", "two", "longmsg", "longmmsg", "option"])
def test_fast_open_prints_the_same(how, conf, proxy, echo):
    direct = conf([proxy], "localnet 127.0.0.0/8")
    arguments = ["fastopen", how, "127.0.0.1", echo.port, "early"]
    bare = run_probe(*arguments, via="bare").ok()
    assert run_probe(*arguments, conf=direct).ok().out == bare.out
    assert "back early" in bare.out
