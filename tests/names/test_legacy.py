"""Old libc functions that resolve and connect themselves: they are proxied like connect, or fail."""

import pytest

from support.probe import probe, run_probe

PROXY = "socks5 127.0.0.1 1055"  # nobody connects to it here
NOT_SUPPORTED = "none: RPC: Remote system error - Operation not supported"
# What each prints when it is refused.
CONNECTS = {
    "rcmd": "-1 EOPNOTSUPP",
    "rcmd_af": "-1 EOPNOTSUPP",
    "rexec": "-1 EOPNOTSUPP",
    "rexec_af": "-1 EOPNOTSUPP",
    "clnt_create": NOT_SUPPORTED,
    "clnttcp_create": NOT_SUPPORTED,
    "pmap_getmaps": "-1 EOPNOTSUPP",
    "rtime": "-1 EOPNOTSUPP",
}
RESOLVES = {
    "ruserok": "-1 EOPNOTSUPP",
    "clnt_create_udp": NOT_SUPPORTED,
    "callrpc": "12",
    "getrpcport": "0",
}
OTHERS = ["iruserok", "clnt_create_unix", "clntudp_create", "pmap_getport"]


def told(result):
    return dict(line.split(" -> ", 1) for line in result.ok().out.splitlines())


def test_the_other_name_of_connect_goes_through_the_proxy(conf, proxy, echo):
    run_probe("legacy", "127.0.0.1", echo.port, "__connect", conf=conf([proxy])).ok()
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_the_other_name_of_connect_is_libcs_where_that_is_direct(conf, proxy, refusing):
    words = ["127.0.0.1", refusing, "__connect"]
    direct = told(run_probe("legacy", *words, conf=conf([proxy], "localnet 127.0.0.0/8")))
    assert direct == told(run_probe("legacy", *words, via="bare")) == {"__connect": "-1 ECONNREFUSED"}
    assert not proxy.requests


def test_calls_that_would_bypass_the_proxy_are_refused(island, conf):
    for host in ["127.0.0.1", "localhost"]:
        result = island.run(probe("legacy"), [host, "9", *CONNECTS], conf=conf([PROXY]), via="preload")
        assert told(result) == CONNECTS
        assert result.err.count("refused (EOPNOTSUPP): it bypasses the proxies\n") == len(CONNECTS)
    assert island.queries == []


def test_a_name_for_the_proxy_is_not_asked_about(island, conf):
    refused = {**RESOLVES, **{call: CONNECTS[call] for call in ["rcmd", "rexec", "clnt_create"]}}
    result = island.run(probe("legacy"), ["db.example", "9", *refused], conf=conf([PROXY], "proxy_dns"), via="preload")
    assert told(result) == refused
    assert island.queries == []


@pytest.mark.parametrize("bypass", ["localnet", "TAILCHAIN_BYPASS"])
def test_what_is_direct_is_libcs(island, conf, bypass):
    """To an address without a route: they would retry a refusal for half a minute."""
    words = ["192.0.2.1", "9", *CONNECTS, *RESOLVES, *OTHERS]
    config = conf([PROXY], "proxy_dns", *(["localnet 192.0.2.0/24"] if bypass == "localnet" else []))
    env = {"TAILCHAIN_BYPASS": "a test"} if bypass != "localnet" else {}
    if bypass == "localnet":
        words.remove("iruserok")
    bare = told(island.run(probe("legacy"), words, via="bare"))
    assert told(island.run(probe("legacy"), words, conf=config, via="preload", env=env)) == bare
    assert bare["rexec"] == "-1 ENETUNREACH"


def test_what_does_not_connect_is_libcs(island, conf):
    """Datagrams are not proxied; a socket that the program has connected is the program's."""
    words = ["127.0.0.1", "9", *RESOLVES, *OTHERS]
    bare = told(island.run(probe("legacy"), words, via="bare"))
    assert told(island.run(probe("legacy"), words, conf=conf([PROXY]), via="preload")) == bare


def test_rpc_on_a_socket_of_the_program_is_libcs(conf, proxy, echo):
    result = run_probe("legacy", "127.0.0.1", echo.port, "clnttcp_connected", conf=conf([proxy]))
    assert told(result) == {"clnttcp_connected": "client"}
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_control_character_of_the_programs_does_not_get_into_a_text_log(conf, proxy):
    host = "evil\x1b[2J\n[proxychains] Strict chain\x7f"
    result = run_probe("legacy", host, 514, "rcmd", conf=conf([proxy], "proxy_dns"))
    lines = [line for line in result.err.splitlines() if "evil" in line]
    assert len(lines) == 1 and "evil?[2J?[proxychains] Strict chain?" in lines[0]
    assert "\x1b" not in result.err and "\x7f" not in result.err
