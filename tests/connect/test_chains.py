"""Chains of several proxies: strict, dynamic, random, round robin, and mixed types."""

from collections import Counter

import pytest

from support.ports import refusing_port
from support.probe import run_probe, script
from support.proxy import CLOSE, Mood, RawRelay


def talk(config, port):
    return script("socket inet stream", f"connect 127.0.0.1 {port}", "send hello", "recv 5", conf=config)[1:]


CONNECTED = ["0", "5", "5 hello"]


def test_strict_goes_through_all_in_order(conf, make_proxy, echo):
    one, two, three = make_proxy(), make_proxy(), make_proxy()
    assert talk(conf([one, two, three]), echo.port) == CONNECTED
    assert one.targets == [(two.host, two.port)]
    assert two.targets == [(three.host, three.port)]
    assert three.targets == [("127.0.0.1", echo.port)]


def test_kinds_mix_in_one_chain(conf, make_proxy, echo):
    users = {"ann": "secret"}
    chain = [
        make_proxy(kind="http"),
        make_proxy(Mood(users=users), kind="socks5", credentials=("ann", "secret")),
        make_proxy(kind="socks4"),
        make_proxy(Mood(users=users), kind="http", credentials=("ann", "secret")),
        make_proxy(kind="socks5"),
    ]
    assert talk(conf(chain), echo.port) == CONNECTED
    nexts = [(proxy.host, proxy.port) for proxy in chain[1:]] + [("127.0.0.1", echo.port)]
    assert [proxy.targets for proxy in chain] == [[target] for target in nexts]


def test_a_raw_proxy_forwards_unchanged(conf, make_proxy, echo):
    """The raw hop leads to a SOCKS5 proxy, which gets the same request as if it were reached directly."""
    proxy = make_proxy()
    with RawRelay((proxy.host, proxy.port)) as relay:
        assert talk(conf([relay, proxy]), echo.port) == CONNECTED
        assert relay.connections == 1
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_raw_alone_leads_where_it_leads(conf, echo):
    with RawRelay((echo.host, echo.port)) as relay:
        assert talk(conf([relay]), 9) == CONNECTED
        assert relay.connections == 1


def test_strict_fails_when_one_proxy_is_dead(conf, make_proxy, echo, refusing):
    one, three = make_proxy(), make_proxy()
    assert talk(conf([one, f"socks5 127.0.0.1 {refusing}", three]), echo.port)[0] == "-1 ECONNREFUSED"
    assert three.requests == []


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_dynamic_skips_a_dead_proxy_wherever_it_is(conf, make_proxy, echo, refusing, dead):
    alive = [make_proxy(), make_proxy()]
    chain = alive[:]
    chain.insert(dead, f"socks5 127.0.0.1 {refusing}")
    assert talk(conf(chain, chain="dynamic_chain"), echo.port) == CONNECTED
    assert alive[0].targets[-1] == (alive[1].host, alive[1].port)
    assert alive[1].targets[-1] == ("127.0.0.1", echo.port)


def test_dynamic_skips_proxies_that_are_dead_in_different_ways(conf, make_proxy, echo, refusing, deaf):
    alive, rude = make_proxy(), make_proxy(Mood(instead={"greeting": CLOSE}))
    chain = [f"socks5 127.0.0.1 {refusing}", f"socks5 127.0.0.1 {deaf}", rude, alive]
    assert talk(conf(chain, "tcp_connect_time_out 300", chain="dynamic_chain"), echo.port) == CONNECTED
    assert alive.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize("chain", ["dynamic_chain", "random_chain", "round_robin_chain"])
def test_with_every_proxy_dead_connect_fails_and_ends(conf, echo, chain):
    with refusing_port() as one, refusing_port() as two:
        config = conf([f"socks5 127.0.0.1 {one}", f"socks5 127.0.0.1 {two}"], chain=chain)
        assert talk(config, echo.port)[0] == "-1 ECONNREFUSED"


def test_a_target_that_refuses_is_no_dead_proxy(conf, make_proxy, refusing):
    """Only the last proxy knows, and its reply becomes the program's errno."""
    one, two = make_proxy(), make_proxy()
    answers = script(
        "socket inet stream", f"connect 127.0.0.1 {refusing}", conf=conf([one, two], chain="dynamic_chain")
    )
    assert answers[1] == "-1 ECONNREFUSED"
    assert two.targets[-1] == ("127.0.0.1", refusing)


def connect_often(config, port, times):
    result = run_probe("threads", "127.0.0.1", port, 1, times, conf=config).ok()
    assert result.out == f"good {times} bad 0 wrong 0 last 0\n"


def test_random_uses_chain_len_proxies_and_in_the_end_all_of_them(conf, make_proxy, echo):
    proxies = [make_proxy() for _ in range(4)]
    connect_often(conf(proxies, "chain_len = 2", chain="random_chain"), echo.port, 60)
    asked = [len(proxy.requests) for proxy in proxies]
    assert sum(asked) == 120
    # That one of four proxies is in none of 60 pairs happens once in 10^18 runs.
    assert min(asked) > 0
    exits = sum(target == ("127.0.0.1", echo.port) for proxy in proxies for target in proxy.targets)
    assert exits == 60


def test_random_with_the_default_length_uses_one(conf, make_proxy, echo):
    proxies = [make_proxy(), make_proxy()]
    connect_often(conf(proxies, chain="random_chain"), echo.port, 40)
    assert sum(len(proxy.requests) for proxy in proxies) == 40
    assert min(len(proxy.requests) for proxy in proxies) > 0


def test_round_robin_goes_round_the_list(conf, make_proxy, echo):
    proxies = [make_proxy() for _ in range(3)]
    connect_often(conf(proxies, chain="round_robin_chain"), echo.port, 9)
    assert [len(proxy.requests) for proxy in proxies] == [3, 3, 3]


def test_round_robin_with_a_length_goes_on_where_it_ended(conf, make_proxy, echo):
    proxies = [make_proxy() for _ in range(3)]
    connect_often(conf(proxies, "chain_len = 2", chain="round_robin_chain"), echo.port, 6)
    assert [len(proxy.requests) for proxy in proxies] == [4, 4, 4]


def test_round_robin_is_fair_across_threads(conf, make_proxy, echo):
    proxies = [make_proxy() for _ in range(4)]
    run_probe("threads", "127.0.0.1", echo.port, 8, 25, conf=conf(proxies, chain="round_robin_chain")).ok()
    assert [len(proxy.requests) for proxy in proxies] == [50, 50, 50, 50]


def test_round_robin_is_fair_across_forked_children(conf, make_proxy, echo):
    """One connection of the parent, then 25 of each of 4 workers: the counts of two proxies differ by no more than the
    order of the processes' turns can explain."""
    proxies = [make_proxy() for _ in range(4)]
    run_probe("prefork", "127.0.0.1", echo.port, 4, 25, conf=conf(proxies, chain="round_robin_chain")).ok()
    asked = Counter(len(proxy.requests) for proxy in proxies)
    assert asked == {26: 1, 25: 3}


@pytest.mark.parametrize("dead", [0, 1, 2])
def test_round_robin_goes_on_after_the_proxy_that_took_the_place_of_a_dead_one(conf, make_proxy, echo, refusing, dead):
    """As proxychains-ng: the live proxies share the connections evenly."""
    proxies = [make_proxy(), make_proxy()]
    chain = proxies[:]
    chain.insert(dead, f"socks5 127.0.0.1 {refusing}")
    connect_often(conf(chain, chain="round_robin_chain"), echo.port, 6)
    assert [len(proxy.requests) for proxy in proxies] == [3, 3]


def test_round_robin_with_a_length_goes_on_behind_a_dead_proxy_too(conf, make_proxy, echo, refusing):
    proxies = [make_proxy() for _ in range(3)]
    chain = [proxies[0], f"socks5 127.0.0.1 {refusing}", *proxies[1:]]
    connect_often(conf(chain, "chain_len = 2", chain="round_robin_chain"), echo.port, 12)
    exits = [sum(target == ("127.0.0.1", echo.port) for target in proxy.targets) for proxy in proxies]
    assert sum(exits) == 12 and max(exits) - min(exits) <= 1, exits


def test_real_proxies_in_one_chain(conf, microsocks, danted, make_proxy, echo):
    mine = make_proxy(kind="http")
    first_saw, last_saw = microsocks.witness(), danted.witness()
    assert talk(conf([microsocks, mine, danted]), echo.port) == CONNECTED
    assert first_saw(mine.port) and last_saw(echo.port)
    assert mine.targets == [(danted.host, danted.port)]
