"""Programs that query a DNS server themselves: raw_dns allow lets them, raw_dns deny makes them fail at once."""

import sys

import pytest

from support.need import need
from support.probe import probe, script
from support.proxy import Mood
from support.run import run_under

PROXY = "socks5 127.0.0.1 1055"  # nobody connects to it here

NODE = "require('dns').resolve4('db.example', (error, found) => console.log(error ? error.code : found.join()))"
DNSPYTHON = """
import dns.resolver
try:
    print(dns.resolver.resolve("db.example", "A")[0])
except dns.resolver.NoNameservers:
    print("no name servers")
"""
AIODNS = """
import aiodns, asyncio
async def main():
    try:
        found = await aiodns.DNSResolver().query_dns("db.example", "A")
        print(found.answer[0].data.addr)
    except aiodns.error.DNSError:
        print("gave up")
asyncio.run(main())
"""
# program, arguments, what it prints if it may query, and if it may not
RESOLVERS = {
    "node": ("node", ["-e", NODE], "192.0.2.53\n", "ECONNREFUSED\n"),
    "dnspython": (sys.executable, ["-c", DNSPYTHON], "192.0.2.53\n", "no name servers\n"),
    "aiodns": (sys.executable, ["-c", AIODNS], "192.0.2.53\n", "gave up\n"),
}


@pytest.mark.parametrize("name", RESOLVERS)
def test_allow_lets_a_resolver_ask(name, island, conf):
    program, words, found, _ = RESOLVERS[name]
    for directives in [["proxy_dns"], ["proxy_dns", "raw_dns allow"]]:
        assert island.run(need(program), words, conf=conf([PROXY], *directives)).ok().out == found
    assert set(island.queries) == {"A db.example"}


@pytest.mark.parametrize("via", ["launcher", "preload"])
@pytest.mark.parametrize("name", RESOLVERS)
def test_deny_makes_a_resolver_give_up_at_once(name, via, island, conf):
    program, words, _, refused = RESOLVERS[name]
    result = island.run(need(program), words, conf=conf([PROXY], "proxy_dns", "raw_dns deny"), via=via).ok()
    assert result.out == refused
    assert "[proxychains] 127.0.0.1:53 refused (ECONNREFUSED): raw_dns deny\n" in result.err
    assert island.queries == []


@pytest.mark.parametrize("options", [[], ["+tcp"]], ids=["udp", "tcp"])
def test_deny_makes_dig_give_up(options, island, conf):
    config = conf([PROXY], "proxy_dns", "raw_dns deny", "localnet 127.0.0.0/8")
    result = island.run(need("dig"), [*options, "db.example"], conf=config)
    assert result.code != 0
    assert island.queries == []


def test_deny_leaves_libcs_own_resolver_alone(island, conf):
    config = conf([PROXY], "proxy_dns", "localdomain .internal", "raw_dns deny")
    operations = ["getaddrinfo x.internal 80 family=INET socktype=STREAM", "res_query x.internal mx 512"]
    out = island.run(probe("resolve"), operations, conf=config).ok().out
    assert "192.0.2.53" in out and "answers 1" in out
    assert island.queries == ["A x.internal", "MX x.internal"]


DENIED = {
    "connect": ["socket inet dgram", "connect 127.0.0.1 53", "peer", "send hello"],
    "sendto": ["socket inet dgram", "sendto 127.0.0.1 53 hello"],
    "IPv6": ["socket inet6 dgram", "connect ::1 53", "sendto ::1 53 hello"],
    "mapped": ["socket inet6 dgram", "connect ::ffff:127.0.0.1 53"],
    "TCP": ["socket inet stream", "connect 127.0.0.1 53", "peer"],
    "TCP, not blocking": ["socket inet stream 0 nonblock", "connect 127.0.0.1 53", "peer"],
}


@pytest.mark.parametrize("name", DENIED)
def test_port_53_is_refused(name, island, conf):
    config = conf([PROXY], "raw_dns deny", "localnet 127.0.0.0/8", "localnet ::1/128")
    lines = island.run(probe("socket_script"), DENIED[name], conf=config).ok().out.splitlines()
    assert [line for line in lines if " 53" in line] and all("ECONNREFUSED" in line for line in lines if " 53" in line)
    assert island.queries == []


@pytest.mark.parametrize("how", ["sendto", "sendmsg", "sendmmsg"])
def test_datagrams_to_port_53_are_refused_and_to_others_are_not(how, island, conf):
    config = conf([PROXY], "raw_dns deny")
    out = island.run(probe("datagrams"), [how, "53", "54", "53"], conf=config).ok().out
    assert out == f"{how} 53 -> -1 ECONNREFUSED\n{how} 54 -> 1\n{how} 53 -> -1 ECONNREFUSED\n"
    assert island.run(probe("datagrams"), [how, "54", "53"], via="bare").ok().out == f"{how} 54 -> 1\n{how} 53 -> 1\n"


def test_sendmmsg_sends_what_comes_before_a_datagram_to_port_53(island, conf):
    config = conf([PROXY], "raw_dns deny")
    assert (
        island.run(probe("datagrams"), ["together", "54", "55", "53", "56"], conf=config).ok().out == "together -> 2\n"
    )
    assert (
        island.run(probe("datagrams"), ["together", "54", "55", "53", "56"], via="bare").ok().out == "together -> 4\n"
    )


@pytest.mark.parametrize("raw_dns, result", [("allow", "0"), ("deny", "-1 ECONNREFUSED")])
def test_a_proxy_that_is_down_opens_the_way_to_port_53_only_if_that_is_allowed(raw_dns, result, island, conf):
    config = conf([PROXY], f"raw_dns {raw_dns}", "proxy_down direct")
    lines = island.run(probe("socket_script"), ["socket inet stream", "connect 127.0.0.1 53"], conf=config).ok().out
    assert lines.splitlines()[1].endswith(f"-> {result}")


def test_tcp_to_port_53_through_the_proxy_is_not_refused(conf, make_proxy):
    proxy = make_proxy(Mood(reply=2))
    config = conf([proxy], "raw_dns deny")
    assert script("socket inet stream", "connect 192.0.2.1 53", conf=config)[1] == "-1 EACCES"
    assert proxy.targets == [("192.0.2.1", 53)]


def test_other_ports_and_sockets_are_untouched(conf, proxy, echo):
    operations = [
        "socket inet dgram",
        f"connect 127.0.0.1 {echo.port}",
        "peer",
        "socket unix dgram",
        "connect /nonexistent/socket",
        "socket inet dgram",
        f"sendto 127.0.0.1 {echo.port} hello",
        "connect_null",
        "connect_wild",
    ]
    config = conf([proxy], "raw_dns deny")
    bare = run_under(probe("socket_script"), operations, via="bare").ok().out
    assert run_under(probe("socket_script"), operations, conf=config).ok().out == bare
