"""A second thread changes an argument during the call: the decision is about the value that the kernel and libc get."""

import re

import pytest

from support.probe import probe, run_probe
from support.proxy import Mood

ADDRESSES = ["connect", "__connect", "sendto", "sendmsg", "sendmmsg"]
DATAGRAMS = ["udp_connect", "udp_sendto", "udp_sendmsg", "udp_sendmmsg"]
SEED = 20261125


def counts(result):
    return {word: int(value) for word, value in re.findall(r"(direct|other|failed) (\d+)", result.ok().out)}


@pytest.mark.parametrize("how", ADDRESSES)
def test_an_address_that_a_thread_changes_is_not_connected_to_directly(how, conf, make_proxy):
    refusing = make_proxy(Mood(reply=5))
    config = conf([refusing], "localnet 127.0.0.2/32", "quiet_mode")
    got = counts(run_probe("racing", how, SEED, 400, "127.0.0.2", "127.0.0.3", conf=config))
    assert got["other"] == 0
    assert got["direct"] > 0 and got["failed"] > 0


@pytest.mark.parametrize("how", ADDRESSES)
def test_an_address_that_changes_when_the_kernel_is_entered_was_read_before(how, conf):
    config = conf(["socks5 127.0.0.1 1055"], "localnet 127.0.0.2/32", "quiet_mode")
    words = ["late", how, SEED, 3, "127.0.0.2", "127.0.0.3"]
    assert counts(run_probe("racing", *words, conf=config)) == {"direct": 3, "other": 0, "failed": 0}
    assert counts(run_probe("racing", *words, via="bare")) == {"direct": 0, "other": 3, "failed": 0}


@pytest.mark.parametrize("how", DATAGRAMS)
def test_a_datagram_address_that_changes_at_the_system_call_was_read_before(how, conf):
    config = conf(["socks5 127.0.0.1 1055"], "proxy_dns", "remote_dns_subnet 127", "quiet_mode")
    got = counts(run_probe("racing", "late", how, SEED, 3, "::1", "db.example", conf=config))
    assert got["other"] == got["failed"] == 0 and got["direct"] in (3, 9)


@pytest.mark.parametrize("how", DATAGRAMS)
def test_an_address_that_a_thread_changes_gets_no_datagram(how, conf):
    config = conf(["socks5 127.0.0.1 1055"], "proxy_dns", "remote_dns_subnet 127", "quiet_mode")
    got = counts(run_probe("racing", how, SEED, 20000, "::1", "db.example", conf=config))
    assert got["other"] == 0 and got["direct"] > 0 and got["failed"] > 0


@pytest.mark.parametrize("how", ["getaddrinfo", "gethostbyname", "gethostbyname_r", "res_query", "res_send"])
def test_a_name_that_a_thread_changes_is_not_asked_about(how, conf, island):
    config = conf(["socks5 127.0.0.1 1055"], "proxy_dns", "localdomain .internal", "quiet_mode")
    got = counts(island.run(probe("racing"), [how, SEED, 300, "aa.internal", "bb.secretdb"], conf=config))
    assert got["direct"] > 0 and got["other"] > 0
    assert all(query.endswith(".internal") for query in island.queries)
