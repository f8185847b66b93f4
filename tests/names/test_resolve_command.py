"""`tailchain resolve`: the addresses that a program gets for a name, and the name behind an address."""

import pytest

from support import paths
from support.need import need
from support.run import run_under

PROXY = "socks5 127.0.0.1 1055"  # nobody connects to it here


@pytest.fixture
def resolve(conf):
    config = conf([PROXY], "proxy_dns", "localdomain .internal")
    return lambda *words: run_under(paths.COMMAND, ["resolve", "-f", config, *words], via="bare")


def test_the_addresses_are_those_that_a_program_gets(resolve, conf):
    v4, v6 = resolve("db.ts.net").ok().out.split()
    code = "from socket import *; print(*(getaddrinfo('db.ts.net', 1, kind)[0][4][0] for kind in [AF_INET, AF_INET6]))"
    found = run_under("python3", ["-c", code], conf=conf([PROXY], "proxy_dns")).ok().out.split()
    assert found == [v4, v6]


def test_a_program_can_connect_to_the_printed_address(resolve, conf, make_proxy, web_port):
    proxy = make_proxy(names={"db.ts.net": ("127.0.0.1", web_port)})
    v4, v6 = resolve("db.ts.net").ok().out.split()
    run_under(need("curl"), ["-sS", "-g", f"http://{v4}/", f"http://[{v6}]/"], conf=conf([proxy], "proxy_dns")).ok()
    assert proxy.targets == [("db.ts.net", 80)] * 2


def test_an_address_that_stands_for_a_name_has_its_name_back(resolve):
    for address in resolve("db.ts.net").ok().out.split():
        assert resolve(address).ok().out == "db.ts.net\n"


@pytest.mark.parametrize(
    "word, out",
    [
        ("db.ts.net", "# db.ts.net: resolved by the proxy (proxy_dns); the addresses are fake IPs"),
        ("localhost", "# localhost: resolved here: a name of this machine (localhost)"),
        ("192.0.2.1", "# 192.0.2.1: already an address"),
    ],
)
def test_why(word, out, resolve):
    assert resolve("--why", word).ok().out.splitlines()[0] == out


def test_a_name_that_libc_resolves_has_libcs_addresses(resolve):
    assert "127.0.0.1" in resolve("localhost").ok().out.split()


@pytest.mark.parametrize(
    "word, complaint",
    [
        ("224.9.9.9", "224.9.9.9: in the range of remote_dns_subnet, but stands for no name"),
        ("224.9.9.0", "224.9.9.0: in the range of remote_dns_subnet, but stands for no name"),
        ("a b", "`a b` is neither a host name nor an address"),
    ],
)
def test_an_unresolvable_argument_is_reported(word, complaint, resolve):
    result = resolve(word)
    assert (result.code, result.out, result.err) == (1, "", f"tailchain: {complaint}\n")
