"""Datagrams to a fake IP: there is no recipient, and they must not leave the machine."""

import os

import pytest

from support.probe import run_probe

PROXY = "socks5 127.0.0.1 1055"  # nothing connects to it here
NAME = "db.example"
# Fake IPs that this machine has as its own: a test can see what is sent to one.
ON_LOOPBACK = "remote_dns_subnet 127"


def told(*ways, conf, via="preload"):
    result = run_probe("fake_datagrams", NAME if conf else "localhost", *ways, conf=conf, via=via).ok()
    return dict(line.split(" -> ") for line in result.out.splitlines()), result.err


@pytest.fixture
def remote(conf):
    return conf([PROXY], "proxy_dns", ON_LOOPBACK)


WAYS = ["sendto", "sendmsg", "sendmmsg", "connect", "mapped", "nofamily", "v6"]
ODD_WAYS = ["longmsg", "longmmsg", "flagged", "flaggednofamily", "flaggedconnected"]
CONTROL_WAYS = ["control", "controlmany", "controlnofamily", "controlmanynofamily"]


@pytest.mark.parametrize("how", WAYS + ODD_WAYS + CONTROL_WAYS)
def test_a_datagram_to_a_fake_ip_is_refused(how, remote):
    answers, err = told(how, conf=remote)
    assert answers == {how: "-1 EHOSTUNREACH", "arrived": "0"}
    assert f"refused (EHOSTUNREACH): only TCP goes through the proxy, and this address stands for {NAME}\n" in err
    if how != "v6":
        assert told(how, conf=None, via="bare")[0] == {how: "1", "arrived": "1"}


SUPERVISED_WAYS = ["sendto", "sendmsg", "sendmmsg", "connect", "mapped", "nofamily", "flagged", *CONTROL_WAYS]


def test_a_static_programs_datagram_to_a_fake_ip_is_refused(remote):
    """Under a supervisor. A static program has no names here, so the address is in the range and stands for no name."""
    result = run_probe("fake_datagrams", "127.9.9.9", *SUPERVISED_WAYS, conf=remote, via="supervised").ok()
    answers = dict(line.split(" -> ") for line in result.out.splitlines())
    refused = dict.fromkeys(SUPERVISED_WAYS, "-1 EHOSTUNREACH")
    # The supervisor refuses MSG_FASTOPEN on any socket.
    assert answers == {**refused, "flagged": "-1 EOPNOTSUPP", "arrived": "0"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a raw socket needs CAP_NET_RAW")
def test_a_raw_packet_to_a_fake_ip_is_refused(remote):
    assert told("raw", conf=remote)[0]["raw"] == "-1 EHOSTUNREACH"
    assert told("raw", conf=None, via="bare")[0]["raw"] == "1"


def test_sendmmsg_sends_what_comes_before(remote):
    assert told("together", conf=remote)[0] == {"together": "1", "arrived": "0"}
    assert told("together", conf=None, via="bare")[0] == {"together": "2", "arrived": "1"}


def test_fast_open_is_nothing_to_datagrams(remote):
    assert told("flaggedmany", conf=remote)[0] == {"flaggedmany": "1", "arrived": "0"}
    assert told("flaggedmany", conf=None, via="bare")[0] == {"flaggedmany": "2", "arrived": "1"}


MANY = {
    "many:40:99": 40,
    "many:16:99": 16,
    "many:17:16": 16,
    "many:40:31": 31,
    "many:40:32": 32,
    "many:1500:1023": 1023,
}


def test_sendmmsg_sends_up_to_a_fake_ip_however_many_there_are(remote):
    assert told(*MANY, conf=remote)[0] == {**{how: str(sent) for how, sent in MANY.items()}, "arrived": "0"}


@pytest.mark.parametrize(
    "how", ["many:0:9", "many:1:9", "many:1024:9999", "many:1500:1024", "many:1500:9999", "constant"]
)
def test_sendmmsg_takes_as_many_as_the_kernel(remote, how):
    """At most 1,024 in one call: a fake IP after these is not part of it."""
    bare = told(how, conf=None, via="bare")[0]
    assert told(how, conf=remote)[0] == bare
    assert bare["arrived"] == "0" and bare[how] in ["0", "1", "1024", "-1 EFAULT"]


BYPASSES = ["connected", "dissolved", "stream", "unix", "bad", "closed", "wild", "null", "short"]


@pytest.mark.parametrize("order", [1, -1])
def test_calls_other_than_datagrams_to_a_fake_ip_reach_the_kernel(remote, order):
    ways = BYPASSES[::order]
    assert told(*ways, conf=remote)[0] == told(*ways, conf=None, via="bare")[0]


def test_a_refused_address_is_reported_once_in_a_row(remote):
    """A client that keeps sending must not fill its stderr."""
    _, err = told(*["sendto", "sendmsg"] * 5, conf=remote)
    assert err.count("only TCP goes through the proxy") == 1


@pytest.mark.parametrize("directives", [[], ["localnet 127.0.0.0/8"]])
def test_without_proxy_dns_nothing_is_fake(conf, directives):
    config = conf([PROXY], ON_LOOPBACK, *directives)
    result = run_probe("fake_datagrams", "localhost", "sendto", "connect", conf=config).ok()
    assert result.out == "sendto -> 1\nconnect -> 1\narrived -> 2\n"


def test_an_address_of_the_range_that_stands_for_no_name_is_refused(conf):
    operations = ["socket inet dgram", "connect 224.9.9.9 9", "sendto 224.9.9.9 9 x"]
    result = run_probe("socket_script", *operations, conf=conf([PROXY], "proxy_dns")).ok()
    assert [line.split(" -> ")[1] for line in result.out.splitlines()[1:]] == ["-1 EHOSTUNREACH"] * 2


def test_multicast_on_the_link_is_not_ours(conf):
    """mDNS and the like: 224.0.0.0/24 has no fake IPs, so it is left alone."""
    operations = ["socket inet dgram", "connect 224.0.0.251 5353"]
    bare = run_probe("socket_script", *operations, via="bare").ok().out
    assert run_probe("socket_script", *operations, conf=conf([PROXY], "proxy_dns")).ok().out == bare
