"""Which connections go through the proxy: dnat, localnet, allow-lists, names; and what happens while it is down."""

import errno
import json
import sys
import threading
import time

import pytest

from support.ports import free_port
from support.probe import probe, script
from support.proxy import Mood, Proxy
from support.run import finish, run_under, start

HELLO = ["send hello", "recv 5"]
CONNECTED = ["0", "5", "5 hello"]


def talk(config, host, port, family="inet"):
    return script(f"socket {family} stream", f"connect {host} {port}", *HELLO, conf=config)[1:]


LOCALNET_MATCHES = [
    "127.0.0.0/255.0.0.0",
    "127.0.0.0/8",
    "127.0.0.1/32",
    "0.0.0.0/0.0.0.0",
    "127.0.0.0:{port}/255.0.0.0",
    "127.0.0.0:{port}/8",
    "0.0.0.0:{port}/0.0.0.0",
]
LOCALNET_MISSES = ["10.0.0.0/8", "127.0.0.2/32", "127.0.0.0:1/255.0.0.0", "0.0.0.0:1/0.0.0.0"]


@pytest.mark.parametrize("net", LOCALNET_MATCHES)
def test_a_target_in_localnet_is_direct(conf, proxy, echo, net):
    assert talk(conf([proxy], f"localnet {net}".format(port=echo.port)), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.requests == []


@pytest.mark.parametrize("net", LOCALNET_MISSES)
def test_a_target_outside_localnet_is_proxied(conf, proxy, echo, net):
    assert talk(conf([proxy], f"localnet {net}"), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize("net", ["::1/128", "[::1]:{port}/128", "::/0"])
def test_localnet_of_ipv6(conf, proxy, make_echo, net):
    target = make_echo(host="::1")
    assert talk(conf([proxy], f"localnet {net}".format(port=target.port)), "::1", target.port, "inet6") == CONNECTED
    assert proxy.requests == []


def test_an_ipv4_mapped_target_is_matched_as_ipv4(conf, proxy, echo):
    assert talk(conf([proxy], "localnet 127.0.0.0/8"), "::ffff:127.0.0.1", echo.port, "inet6") == CONNECTED
    assert proxy.requests == []


def test_ten_thousand_localnets(conf, proxy, echo):
    nets = [f"localnet 10.{n // 256}.{n % 256}.0/24" for n in range(10_000)]
    assert talk(conf([proxy], *nets), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_dnat_changes_the_target(conf, proxy, echo):
    assert talk(conf([proxy], f"dnat 192.0.2.1 127.0.0.1:{echo.port}"), "192.0.2.1", 4711) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_dnat_without_a_port_keeps_it(conf, proxy, echo):
    assert talk(conf([proxy], "dnat 192.0.2.1 127.0.0.1"), "192.0.2.1", echo.port) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_the_dnat_entry_with_a_port_wins(conf, proxy, echo, refusing):
    rules = [f"dnat 192.0.2.1 127.0.0.1:{refusing}", f"dnat 192.0.2.1:4711 127.0.0.1:{echo.port}"]
    assert talk(conf([proxy], *rules), "192.0.2.1", 4711) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_localnet_after_dnat_connects_to_the_new_address(conf, proxy, echo):
    """proxychains-ng connects to the old one."""
    rules = [f"dnat 192.0.2.1:4711 127.0.0.1:{echo.port}", "localnet 127.0.0.0/8"]
    assert talk(conf([proxy], *rules), "192.0.2.1", 4711) == CONNECTED
    assert proxy.requests == []


@pytest.mark.parametrize("net", ["127.0.0.0/8", "127.0.0.1/32", "127.0.0.0/8:{port}"])
def test_a_destination_of_the_allow_list_is_proxied(conf, proxy, echo, net):
    assert talk(conf([proxy], f"proxynet {net}".format(port=echo.port)), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize(
    "rule", ["proxynet 100.64.0.0/10", "proxynet 127.0.0.0/8:1", "proxydomain .ts.net", "tailnet_only"]
)
def test_with_an_allow_list_everything_else_is_direct(conf, proxy, echo, rule):
    assert talk(conf([proxy], rule), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.requests == []


def test_localnet_beats_the_allow_list(conf, proxy, echo):
    assert talk(conf([proxy], "proxynet 127.0.0.0/8", "localnet 127.0.0.1/32"), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.requests == []


FETCH = """
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 30)
s.sendall(b'hello')
print(s.recv(5).decode())
"""


def by_name(config, name, port, **options):
    return run_under("python3", ["-c", FETCH, name, port], conf=config, **options)


@pytest.mark.parametrize(
    "rules",
    [
        [],
        ["proxydomain .ts.net"],
        ["proxydomain ts.net"],
        ["tailnet_only"],
        ["proxydomain hello.ts.net"],
    ],
)
def test_a_name_of_the_allow_list_is_resolved_by_the_proxy(conf, make_proxy, echo, rules):
    proxy = make_proxy(names={"hello.ts.net": ("127.0.0.1", echo.port)})
    assert by_name(conf([proxy], "proxy_dns", *rules), "hello.ts.net", 80).ok().out == "hello\n"
    assert proxy.targets == [("hello.ts.net", 80)]


@pytest.mark.parametrize("rules", [["proxydomain .ts.net"], ["localdomain localhost"], []])
def test_localhost_is_never_sent_to_the_proxy(conf, proxy, echo, rules):
    config = conf([proxy], "proxy_dns", "localnet 127.0.0.0/8", "localnet ::1/128", *rules)
    assert by_name(config, "localhost", echo.port).ok().out == "hello\n"
    assert proxy.requests == []


def test_an_unassigned_fake_ip_is_refused(conf, proxy):
    answers = script("socket inet stream", "connect 224.9.9.9 80", conf=conf([proxy], "proxy_dns"))
    assert answers[1].startswith("-1 ")
    assert proxy.requests == []


def test_another_subnet_for_fake_addresses(conf, make_proxy, echo):
    proxy = make_proxy(names={"hello.ts.net": ("127.0.0.1", echo.port)})
    code = "import socket; print(socket.gethostbyname('hello.ts.net').split('.')[0])"
    result = run_under("python3", ["-c", code], conf=conf([proxy], "proxy_dns", "remote_dns_subnet 10")).ok()
    assert result.out == "10\n"


def test_without_proxy_dns_libc_resolves_and_addresses_are_sent(conf, proxy, echo):
    assert by_name(conf([proxy]), "localhost", echo.port).ok().out == "hello\n"
    assert proxy.targets[-1] == ("127.0.0.1", echo.port)


# -- the proxy is not ready, or fails now and then


def test_proxy_wait_waits_for_a_proxy_that_starts_late(conf, echo):
    port = free_port()
    config = conf([f"socks5 127.0.0.1 {port}"], "proxy_wait 30000")
    process = start(
        probe("socket_script"), ["socket inet stream", f"connect 127.0.0.1 {echo.port}", *HELLO], conf=config
    )
    late = []
    timer = threading.Timer(1.0, lambda: late.append(Proxy(port=port)))
    timer.start()
    try:
        result = finish(process).ok()
    finally:
        timer.join()
    with late[0] as proxy:
        assert "5 hello" in result.out
        assert proxy.targets == [("127.0.0.1", echo.port)]


def test_proxy_wait_ends(conf, echo, refusing):
    config = conf([f"socks5 127.0.0.1 {refusing}"], "proxy_wait 300")
    assert talk(config, "127.0.0.1", echo.port)[0] == "-1 ECONNREFUSED"


class FailingAtFirst(Proxy):
    """Replies with a general failure (SOCKS5 reply 1) a given number of times, then succeeds."""

    def __init__(self, failures):
        self.failures = failures
        super().__init__()

    def handle(self, connection):
        with self.lock:
            self.mood = Mood(reply=1) if self.failures > 0 else Mood()
            self.failures -= 1
        super().handle(connection)


def test_proxy_retry_tries_a_general_failure_again(conf, echo):
    with FailingAtFirst(2) as proxy:
        assert talk(conf([proxy], "proxy_retry 3"), "127.0.0.1", echo.port) == CONNECTED
        assert len(proxy.requests) == 3


def test_proxy_retry_gives_up(conf, echo):
    with FailingAtFirst(99) as proxy:
        assert talk(conf([proxy], "proxy_retry 2"), "127.0.0.1", echo.port)[0] == "-1 ECONNREFUSED"
        assert len(proxy.requests) == 3


def test_without_proxy_retry_a_general_failure_is_final(conf, echo):
    with FailingAtFirst(1) as proxy:
        assert talk(conf([proxy]), "127.0.0.1", echo.port)[0] == "-1 ECONNREFUSED"
        assert len(proxy.requests) == 1


@pytest.mark.parametrize("code", [2, 5])
def test_proxy_retry_does_not_repeat_a_clear_answer(conf, make_proxy, echo, code):
    proxy = make_proxy(Mood(reply=code))
    assert talk(conf([proxy], "proxy_retry 3"), "127.0.0.1", echo.port)[0].startswith("-1 ")
    assert len(proxy.requests) == 1


def test_proxy_down_direct_connects_directly_and_says_so(conf, echo, refusing):
    config = conf([f"socks5 127.0.0.1 {refusing}"], "proxy_down direct")
    result = run_under(
        probe("socket_script"), ["socket inet stream", f"connect 127.0.0.1 {echo.port}", *HELLO], conf=config
    ).ok()
    assert "5 hello" in result.out
    assert "direct" in result.err


@pytest.mark.parametrize("rule", [[], ["proxy_down fail"]])
def test_proxy_down_fail_never_bypasses_the_proxy(conf, echo, refusing, rule):
    assert talk(conf([f"socks5 127.0.0.1 {refusing}"], *rule), "127.0.0.1", echo.port)[0] == "-1 ECONNREFUSED"
    assert echo.received == []


@pytest.mark.parametrize("code", [1, 5])
def test_proxy_down_direct_is_not_for_refusals_by_the_proxy(conf, make_proxy, echo, code):
    proxy = make_proxy(Mood(reply=code))
    assert talk(conf([proxy], "proxy_down direct"), "127.0.0.1", echo.port)[0] == "-1 ECONNREFUSED"
    assert echo.received == []


def test_the_proxys_own_address_is_reached_directly(conf, proxy, echo):
    """A program that honours ALL_PROXY itself connects to the proxy: that must not become a loop."""
    code = (
        "import socket, sys; s = socket.create_connection(('127.0.0.1', int(sys.argv[1])));"
        "s.sendall(bytes([5, 1, 0])); print(s.recv(2).hex())"
    )
    assert run_under("python3", ["-c", code, proxy.port], conf=conf([proxy])).ok().out == "0500\n"
    assert proxy.requests == []


def test_a_proxy_may_be_named(conf, make_proxy, echo):
    proxy = make_proxy()
    assert talk(conf([f"socks5 localhost {proxy.port}"], "proxy_dns"), "127.0.0.1", echo.port) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


# -- where the log goes


def test_log_file_and_json(conf, proxy, echo, tmp_path):
    log = tmp_path / "log.json"
    config = conf([proxy], f"log_file {log}", "log_format json")
    result = run_under(
        probe("socket_script"), ["socket inet stream", f"connect 127.0.0.1 {echo.port}"], conf=config, via="preload"
    ).ok()
    assert result.chains == []
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert any(event.get("result") == "connected" for event in events)


def test_a_proxy_that_is_given_by_name_is_no_loop_either(conf, proxy, echo):
    """A program that honours ALL_PROXY itself, and a config with localhost where the program has 127.0.0.1."""
    config = conf([f"socks5 localhost {proxy.port}"])
    greeting = ["socket inet stream", f"connect 127.0.0.1 {proxy.port}", "send hello"]
    assert script(*greeting, conf=config)[1:] == ["0", "5"]
    assert proxy.targets == []
    assert talk(config, "127.0.0.1", echo.port) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


# -- Proxies given by name.


@pytest.mark.parametrize("dns", [[], ["proxy_dns"]])
def test_a_connection_to_a_port_of_a_named_proxy_resolves_nothing_itself(island, conf, dns):
    """The name server is dead, and only the port is the proxy's: connect must return without a DNS query."""
    (island.directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:30 attempts:1\n")
    config = conf(["socks5 proxy.silent 9"], *dns, "proxynet 192.0.2.0/24")
    operations = [operation for _ in range(3) for operation in NONBLOCKING]
    start = time.monotonic()
    result = island.run(probe("socket_script"), operations, conf=config).ok()
    assert [line.split(" -> ")[1] for line in result.out.splitlines() if "connect" in line] == [
        "-1 EINPROGRESS",
        "-1 ECONNREFUSED",
    ] * 3
    assert time.monotonic() - start < 25


NONBLOCKING = [
    "socket inet stream 0 nonblock",
    "connect 192.0.2.1 9",
    "close",
    "socket inet stream",
    "connect 127.0.0.1 9",
    "close",
]


LOOKUPS = {
    "getaddrinfo": "getaddrinfo('proxy.example', 9, AF_INET, SOCK_STREAM)",
    "gethostbyname": "gethostbyname_ex('proxy.example')",
}


@pytest.mark.parametrize("lookup", LOOKUPS)
@pytest.mark.parametrize("dns", [[], ["proxy_dns"]])
def test_a_program_that_resolves_a_named_proxy_connects_to_it_directly(island, conf, lookup, dns):
    """The name server's answer is 192.0.2.53, which is unreachable."""
    code = f"from socket import *; {LOOKUPS[lookup]}; print(socket().connect_ex(('192.0.2.53', 9)))"
    for proxy, direct in [("proxy.example", True), ("other.example", False)]:
        config = conf([f"socks5 {proxy} 9"], *dns, "localnet 10.0.0.0/8")
        result = island.run(sys.executable, ["-c", code], conf=config, via="preload").ok()
        assert result.out == f"{errno.ENETUNREACH}\n"
        # A proxied connection is logged, with its outcome.
        assert (result.chains == []) is direct


def test_a_proxy_of_etc_hosts_is_known_without_asking(make_island, conf):
    island = make_island("127.0.0.1 localhost\n127.0.0.7 proxy.example\n127.0.0.8 other.example\n")
    config = conf(["socks5 proxy.example 9"])
    for address, chains in [("127.0.0.7", 0), ("127.0.0.8", 1)]:
        result = island.run(probe("socket_script"), ["socket inet stream", f"connect {address} 9"], conf=config).ok()
        assert len(result.chains) == chains
