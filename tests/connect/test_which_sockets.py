"""Which sockets go through the proxy: TCP over IPv4 and IPv6, and nothing else."""

import socket

import pytest

from support.probe import run_probe, script

HELLO = ["send hello", "recv 5"]


def test_ipv4_tcp(conf, proxy, echo):
    assert script("socket inet stream", f"connect 127.0.0.1 {echo.port}", *HELLO, conf=conf([proxy]))[1:] == [
        "0",
        "5",
        "5 hello",
    ]
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_ipv4_tcp_by_its_protocol_number(conf, proxy, echo):
    script("socket inet stream 6", f"connect 127.0.0.1 {echo.port}", *HELLO, conf=conf([proxy]))
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_ipv6_tcp(conf, proxy, make_echo):
    target = make_echo(host="::1")
    assert script("socket inet6 stream", f"connect ::1 {target.port}", *HELLO, conf=conf([proxy]))[1:] == [
        "0",
        "5",
        "5 hello",
    ]
    assert proxy.targets == [("::1", target.port)]


def test_an_ipv4_mapped_target_is_ipv4(conf, proxy, echo):
    answers = script("socket inet6 stream", f"connect ::ffff:127.0.0.1 {echo.port}", *HELLO, conf=conf([proxy]))
    assert answers[1:] == ["0", "5", "5 hello"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_ipv6_only_socket_through_an_ipv4_proxy(conf, proxy, make_echo):
    """The exception where a new socket is needed: options and FD_CLOEXEC are copied."""
    target = make_echo(host="::1")
    operations = [
        "socket inet6 stream 0 cloexec",
        "set IPPROTO_IPV6 IPV6_V6ONLY 1",
        "set IPPROTO_TCP TCP_KEEPIDLE 77",
        "set IPPROTO_TCP TCP_NODELAY 1",
        f"connect ::1 {target.port}",
        "get IPPROTO_TCP TCP_KEEPIDLE",
        "get IPPROTO_TCP TCP_NODELAY",
        "flags",
        *HELLO,
    ]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == [("::1", target.port)]


def test_ipv4_socket_through_an_ipv6_proxy(conf, make_proxy, echo):
    proxy = make_proxy(host="::1")
    operations = [
        "socket inet stream 0 cloexec",
        "set IPPROTO_TCP TCP_KEEPIDLE 77",
        f"connect 127.0.0.1 {echo.port}",
        "get IPPROTO_TCP TCP_KEEPIDLE",
        "flags",
        "peer",
        *HELLO,
    ]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_mptcp(conf, proxy, echo):
    operations = ["socket inet stream mptcp", f"connect 127.0.0.1 {echo.port}", "peer", *HELLO]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_sctp_is_untouched(conf, proxy, echo):
    operations = ["socket inet stream sctp", f"connect 127.0.0.1 {echo.port}"]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == []


@pytest.mark.parametrize("family, host", [("inet", "127.0.0.1"), ("inet6", "::1")])
def test_a_raw_socket_of_the_protocol_is_untouched(conf, proxy, echo, family, host):
    """As in a scanner: raw segments, and no connection."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP).close()
    except PermissionError:
        pytest.skip("a raw socket needs CAP_NET_RAW")
    operations = [f"socket {family} raw 6", f"connect {host} {echo.port}", "peer"]
    answers = script(*operations, conf=conf([proxy]))
    assert answers == script(*operations, via="bare")
    assert answers[1] == "0"
    assert not proxy.requests


def test_the_any_address_is_loopback(conf, proxy, echo):
    answers = script("socket inet stream", f"connect 0.0.0.0 {echo.port}", *HELLO, conf=conf([proxy]))
    assert answers[1:] == ["0", "5", "5 hello"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize(
    "operations",
    [
        ["socket inet dgram", "connect 127.0.0.1 {port}", "peer", "send hello", "sendto 127.0.0.1 {port} hello"],
        ["socket unix stream", "connect /nonexistent/socket"],
        ["socket inet dgram", "sendto 127.0.0.1 {port} hello"],
    ],
)
def test_sockets_other_than_tcp_are_untouched(conf, proxy, echo, operations):
    operations = [operation.format(port=echo.port) for operation in operations]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == []


# Invalid arguments give the kernel's result, whatever the proxy is.
MISTAKES = {
    "bad descriptor": ["use 999", "connect 127.0.0.1 {port}"],
    "not a socket": ["use 1", "connect 127.0.0.1 {port}"],
    "null pointer": ["socket inet stream", "connect_null"],
    "bad pointer": ["socket inet stream", "connect_wild", "connect_wild 4096", "connect_wild -1", "connect_wild 0"],
    "short length": ["socket inet stream", "connect 127.0.0.1 {port} 2", "connect 127.0.0.1 {port} 15"],
    "huge length": ["socket inet stream", "connect 127.0.0.1 {port} 129", "connect 127.0.0.1 {port} -1"],
    "IPv6 address on an IPv4 socket": ["socket inet stream", "connect ::1 {port}"],
    "IPv4 address on an IPv6 socket": [
        "socket inet6 stream",
        *[f"connect 127.0.0.1 {{port}} {length}" for length in [16, 23, 24, 28, 128]],
    ],
    "long IPv4 address on an IPv4 socket": [
        "socket inet stream",
        "connect 127.0.0.1 {port} 128",
        "send hello",
        "recv 5",
    ],
    "unknown family": ["socket inet stream", "connect_family 77 127.0.0.1 {port}"],
    "listening socket": ["socket inet stream", "bind 127.0.0.1 0", "listen", "connect 127.0.0.1 {port}", "peer"],
    "unspec on a new socket": ["socket inet stream", "unspec", "peer"],
}


@pytest.mark.parametrize("name", MISTAKES)
def test_misuse_of_connect_gives_the_results_of_the_kernel(conf, proxy, echo, name):
    operations = [operation.format(port=echo.port) for operation in MISTAKES[name]]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")


@pytest.mark.parametrize("length", [16, 23, 24, 28, 128])
def test_an_ipv4_address_on_an_ipv6_socket_is_no_matter_of_the_proxys_family(conf, make_proxy, echo, length):
    operations = ["socket inet6 stream", f"connect 127.0.0.1 {echo.port} {length}"]
    bare = script(*operations, via="bare")
    assert script(*operations, conf=conf([make_proxy(host="::1")])) == bare


def test_an_address_at_the_edge_of_a_page_is_read_to_its_end_only(conf, proxy, echo):
    answers = script("socket inet stream", f"connect_edge 127.0.0.1 {echo.port}", *HELLO, conf=conf([proxy]))
    assert answers[1:] == ["0", "5", "5 hello"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize("how", ["sendto", "sendmsg", "sendmmsg", "two", "longmsg", "longmmsg", "option"])
def test_fast_open_connects_through_the_proxy_and_sends(conf, proxy, echo, how):
    arguments = ["fastopen", how, "127.0.0.1", echo.port, "early-data"]
    assert run_probe(*arguments, conf=conf([proxy])).ok().out == run_probe(*arguments, via="bare").ok().out
    assert proxy.targets == [("127.0.0.1", echo.port)]
    assert bytes(echo.received[-1]) == b"early-data"


@pytest.mark.parametrize("how", ["sendto", "sendmsg", "sendmmsg"])
def test_fast_open_to_a_port_that_refuses_fails_and_sends_nothing(conf, proxy, refusing, how):
    result = run_probe("fastopen", how, "127.0.0.1", refusing, "early-data", conf=conf([proxy])).ok()
    assert f"{how} -1 ECONNREFUSED" in result.out
    assert proxy.targets == [("127.0.0.1", refusing)]


@pytest.mark.parametrize("family, host", [("inet", "127.0.0.1"), ("inet6", "::ffff:127.0.0.1")])
def test_a_proxy_on_a_unix_socket(conf, make_proxy, echo, tmp_path, family, host):
    """The one case that needs a socket of another family: the program notices no difference."""
    proxy = make_proxy(host=str(tmp_path / "proxy.sock"))
    operations = [f"socket {family} stream 0 cloexec", f"connect {host} {echo.port}", "flags", "peer", *HELLO]
    assert script(*operations, conf=conf([proxy])) == script(*operations, via="bare")
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_unix_socket_that_is_not_there_is_a_proxy_that_refuses(conf, echo, tmp_path):
    config = conf([f"socks5 unix:{tmp_path}/nobody.sock"])
    assert script("socket inet stream", f"connect 127.0.0.1 {echo.port}", conf=config)[1] == "-1 ECONNREFUSED"
