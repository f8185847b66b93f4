"""Names that the proxy resolves, through every resolver function; names that libc resolves; and that no query about the
former leaves the machine."""

import re
import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import FLAGS, probe, run_probe
from support.run import run_under

FAKE = re.compile(r"\b224\.\d+\.\d+\.\d+\b|\bfd6e:b194:27d3:[0-9a-f:]+")
PROXY = "socks5 127.0.0.1 1055"  # nobody connects to it here


def answers(result, operations):
    lines = result.ok().out.splitlines()
    assert len(lines) == len(operations), result.out
    return [line.split(" -> ", 1)[1] for line in lines]


@pytest.fixture
def remote(conf):
    """Every name is the proxy's, except those in /etc/hosts."""
    return conf([PROXY], "proxy_dns")


def ask(remote, *operations):
    return answers(run_probe("resolve", *operations, conf=remote), operations)


def ask_one(remote, operation):
    return ask(remote, operation)[0]


# -- The results have libc's own form.

HINTS = {
    "no hints": ["db.example NULL", "db.example 5432", "db.example http"],
    "families": [
        "db.example 80 family=UNSPEC",
        "db.example 80 family=INET",
        "db.example 80 family=BAD",
        "db.example 80 family=UNIX",
    ],
    "socket types": [f"db.example 80 socktype={kind}" for kind in ["STREAM", "DGRAM", "RAW", "SEQPACKET", "BAD"]],
    "protocols": [f"db.example 80 protocol={name}" for name in ["TCP", "UDP", "SCTP", "ICMP"]]
    + ["db.example 80 socktype=STREAM protocol=TCP", "db.example 80 socktype=STREAM protocol=UDP"],
    "services": [
        "db.example http socktype=STREAM",
        "db.example http socktype=DGRAM",
        "db.example nosuchservice",
        "db.example http flags=NUMERICSERV",
        "db.example 80 flags=NUMERICSERV",
        "db.example 99999",
    ],
    "flags": [
        f"db.example 80 socktype=STREAM flags={flags}"
        for flags in [
            "NUMERICHOST",
            "PASSIVE",
            "CANONNAME",
            "V4MAPPED",
            "ALL",
            "V4MAPPED,ALL",
            "ADDRCONFIG",
            "BAD",
            "CANONNAME,ADDRCONFIG",
        ]
    ]
    + ["db.example 80 flags=CANONNAME"],
    "IPv4-mapped": ["db.example 80 family=INET flags=V4MAPPED,ALL"],
}


@pytest.mark.parametrize("group", HINTS)
def test_getaddrinfo_gives_a_list_like_libc_for_a_name_of_etc_hosts(group, make_island, remote):
    operations = [f"getaddrinfo {words}" for words in HINTS[group]]
    hosts = make_island("127.0.0.1 localhost\n10.7.7.7 db.example\n")
    bare = answers(hosts.run(probe("resolve"), operations, via="bare"), operations)
    assert [FAKE.sub("10.7.7.7", line) for line in ask(remote, *operations)] == bare
    assert any("10.7.7.7" in line for line in bare)


IPV6 = [
    f"db.example 80 family=INET6 {words}".rstrip()
    for words in [
        "",
        "socktype=STREAM",
        "socktype=DGRAM",
        "flags=CANONNAME",
        "flags=V4MAPPED",
        "flags=V4MAPPED,ALL",
        "flags=PASSIVE",
    ]
]


def test_af_inet6_hints_give_an_ipv6_address_in_a_list_like_libcs(make_island, remote):
    operations = [f"getaddrinfo {words}" for words in IPV6] + ["gethostbyname2 db.example INET6"]
    hosts = make_island("127.0.0.1 localhost\nfd00::7 db.example\n")
    bare = answers(hosts.run(probe("resolve"), operations, via="bare"), operations)
    assert [FAKE.sub("fd00::7", line) for line in ask(remote, *operations)] == bare
    assert all("fd00::7" in line for line in bare)


HOSTENT = [
    "gethostbyname db.example",
    "gethostbyname2 db.example INET",
    "gethostbyname2 db.example BAD",
    "gethostbyname_r db.example 1024",
    "gethostbyname2_r db.example INET 1024",
    "gethostbyname_r db.example 0",
    "gethostbyname_r db.example 20",
    "getaddrinfo_a db.example db.example",
]


def test_hostents_are_like_libcs_for_a_name_of_etc_hosts(make_island, remote):
    hosts = make_island("127.0.0.1 localhost\n10.7.7.7 db.example\n")
    bare = answers(hosts.run(probe("resolve"), HOSTENT, via="bare"), HOSTENT)
    assert [FAKE.sub("10.7.7.7", line) for line in ask(remote, *HOSTENT)] == bare


@pytest.mark.parametrize(
    "call", ["gethostbyname_r db.example {}", "gethostbyname2_r db.example INET6 {}", "gethostbyaddr_r {address} {}"]
)
def test_a_buffer_that_is_too_small_is_erange_and_never_overrun(call, remote):
    address = FAKE.search(ask_one(remote, "gethostbyname db.example"))[0]
    operations = [call.format(size, address=address) for size in range(0, 200, 7)]
    lines = ask(remote, *operations)
    enough = next(index for index, line in enumerate(lines) if line.startswith("0 "))
    assert enough > 0
    assert set(lines[:enough]) == {"ERANGE NULL NETDB_INTERNAL"}
    assert len(set(lines[enough:])) == 1 and "db.example" in lines[enough]


ODD_BUFFERS = [
    call.format(f"{size} {offset}")
    for call in ["gethostbyname_r db.example {}", "gethostbyname2_r db.example INET {}"]
    for size in [300, 512]
    for offset in range(1, 8)
]


def test_results_in_an_unaligned_buffer_are_aligned(make_island, remote):
    hosts = make_island("127.0.0.1 localhost\n10.7.7.7 db.example\n")
    bare = answers(hosts.run(probe("resolve"), ODD_BUFFERS, via="bare"), ODD_BUFFERS)
    assert set(bare) == {"0 db.example INET 4 10.7.7.7"}
    assert [FAKE.sub("10.7.7.7", line) for line in ask(remote, *ODD_BUFFERS)] == bare
    address = FAKE.search(ask_one(remote, "gethostbyname db.example"))[0]
    reverse = [f"gethostbyaddr_r {address} 512 {offset}" for offset in range(1, 8)]
    assert set(ask(remote, *reverse)) == {f"0 db.example INET 4 {address}"}


@pytest.mark.parametrize("call", ["gethostbyname_r db.example {}", "gethostbyname2_r db.example INET6 {}"])
def test_an_odd_buffer_that_is_too_small_is_erange_and_never_overrun(call, remote):
    for offset in range(1, 8):
        lines = ask(remote, *[call.format(f"{size} {offset}") for size in range(0, 130)])
        enough = next(index for index, line in enumerate(lines) if line.startswith("0 "))
        assert set(lines[:enough]) == {"ERANGE NULL NETDB_INTERNAL"}
        assert len(set(lines[enough:])) == 1 and "db.example" in lines[enough]


NO_ROOM = [f"gethostbyname_r {name} {size}" for name in ["a..b", "v6.secret", "a@b"] for size in [0, 20, 40, 100, 512]]


def test_a_buffer_without_room_is_reported_before_a_name_that_is_not_there(make_island, remote):
    island = make_island("127.0.0.1 localhost\nfd00::7 v6.secret\n")
    (island.directory / "nsswitch.conf").write_text("hosts: files\n")
    bare = answers(island.run(probe("resolve"), NO_ROOM, via="bare"), NO_ROOM)
    assert "ERANGE NULL NETDB_INTERNAL" in bare and "0 NULL HOST_NOT_FOUND" in bare
    assert answers(island.run(probe("resolve"), NO_ROOM, conf=remote), NO_ROOM) == bare


# -- Names and addresses.


def test_a_name_has_one_address_whatever_asks(remote):
    lines = ask(
        remote,
        "gethostbyname db.example",
        "getaddrinfo db.example NULL socktype=STREAM",
        "gethostbyname_r DB.Example. 512",
        "getaddrinfo_a db.example",
        "res_query db.example a 512",
        "gethostbyname db.example",
    )
    assert len({FAKE.search(line)[0] for line in lines}) == 1


def test_a_fake_address_has_its_name_back(remote):
    lines = ask(remote, "gethostbyname db.example", "gethostbyname2 db.example INET6")
    v4, v6 = [FAKE.search(line)[0] for line in lines]
    reverse = ".".join(reversed(v4.split(".")))
    assert ask(
        remote,
        f"gethostbyaddr {v4}",
        f"gethostbyaddr_r {v6} 512",
        f"getnameinfo {v4} 80 300 300",
        f"getnameinfo {v6} 80 300 0",
        f"getnameinfo {v4} 80 300 300 NUMERICHOST,NUMERICSERV",
        f"getnameinfo {v4} 80 0 300",
        f"getnameinfo {v4} 80 5 0",
        f"getnameinfo {v4} 53 300 300 NAMEREQD,DGRAM",
        f"res_query {reverse}.in-addr.arpa ptr 512",
    ) == [
        f"db.example INET 4 {v4}",
        f"0 db.example INET6 16 {v6}",
        "0 db.example http",
        "0 db.example -",
        f"0 {v4} 80",
        "0 - http",
        "OVERFLOW",
        "0 db.example domain",
        f"72 qr 1 tc 0 rcode 0 answers 1 [{reverse}.in-addr.arpa 10 class 1 ptr db.example]".replace(
            "72", str(12 + len(reverse) + len(".in-addr.arpa") + 2 + 4 + 12 + len("db.example") + 2), 1
        ),
    ]


def test_addresses_that_the_proxy_would_connect_to_are_not_looked_up(make_island, remote):
    island = make_island()
    operations = [
        "gethostbyaddr 192.0.2.7",
        "getnameinfo 192.0.2.7 80 300 300",
        "getnameinfo 192.0.2.7 80 300 300 NAMEREQD",
        "gethostbyaddr 224.9.9.9",
        "res_query 7.2.0.192.in-addr.arpa ptr 512",
    ]
    lines = answers(island.run(probe("resolve"), operations, conf=remote), operations)
    assert lines == [
        "NULL HOST_NOT_FOUND",
        "0 192.0.2.7 http",
        "NONAME",
        "NULL HOST_NOT_FOUND",
        "-1 HOST_NOT_FOUND HOST_NOT_FOUND",
    ]
    assert island.queries == []


def test_an_address_that_is_connected_directly_may_be_looked_up(island, conf):
    config = conf([PROXY], "proxy_dns", "localnet 192.0.2.0/24")
    operations = ["gethostbyaddr 192.0.2.7"]
    assert answers(island.run(probe("resolve"), operations, conf=config), operations) == [
        "answered.dns INET 4 192.0.2.7"
    ]


def test_the_address_of_a_name_that_is_connected_directly_may_be_looked_up(island, conf):
    config = conf([PROXY], "proxy_dns", "localdomain .internal")
    operations = ["gethostbyaddr 192.0.2.53", "getaddrinfo x.internal 80", "gethostbyaddr 192.0.2.53"]
    before, _, after = answers(island.run(probe("resolve"), operations, conf=config), operations)
    assert (before, after) == ("NULL HOST_NOT_FOUND", "answered.dns INET 4 192.0.2.53")


@pytest.mark.parametrize(
    "name", ["a\x01b.example", "\udcff.example", "x" * 256], ids=["control", "not UTF-8", "too long"]
)
def test_an_invalid_host_name_is_not_found_and_causes_no_query(name, island, remote):
    operations = [f"getaddrinfo {name} NULL", f"gethostbyname {name}", f"gethostbyname_r {name} 1024"]
    result = island.run(probe("resolve"), operations, conf=remote).ok()
    assert [line.rsplit(" -> ")[1] for line in result.out.splitlines()] == [
        "NONAME",
        "NULL HOST_NOT_FOUND",
        "0 NULL HOST_NOT_FOUND",
    ]
    assert island.queries == []


# -- DNS messages.

MESSAGES = {
    "res_query db.example a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_query db.example aaaa 512": "56 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 aaaa FAKE]",
    "res_query db.example any 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "__res_query db.example a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_search db a 512": "36 qr 1 tc 0 rcode 0 answers 1 [db 10 class 1 a FAKE]",
    "res_querydomain db example a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_querydomain db.example NULL a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_nquery db.example a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_nsearch db aaaa 512": "48 qr 1 tc 0 rcode 0 answers 1 [db 10 class 1 aaaa FAKE]",
    "res_nquerydomain db example a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_send db.example a 512": "44 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 a FAKE]",
    "res_nsend db.example aaaa 512": "56 qr 1 tc 0 rcode 0 answers 1 [db.example 10 class 1 aaaa FAKE]",
    "res_query db.example a 5": "-1 TRY_AGAIN TRY_AGAIN",
    "res_send db.example a 27": "-1 0 0",
    "res_query 192.0.2.1 a 512": "-1 HOST_NOT_FOUND HOST_NOT_FOUND",
    "res_nquery 192.0.2.1 a 512": "-1 HOST_NOT_FOUND HOST_NOT_FOUND",
    "res_send 192.0.2.1 a 512": "27 qr 1 tc 0 rcode 3 answers 0",
    "res_query a..b a 512": "-1 NO_RECOVERY NO_RECOVERY",
}


def test_address_queries_are_answered_as_dns_messages_and_never_leave(island, remote):
    lines = answers(island.run(probe("resolve"), MESSAGES, conf=remote), MESSAGES)
    assert dict(zip(MESSAGES, [FAKE.sub("FAKE", line) for line in lines], strict=True)) == MESSAGES
    assert island.queries == []


SMALL = [f"{call} db.example a {size}" for call in ["res_query", "res_send"] for size in [5, 11, 28, 29, 43, 44, 45]]


def test_an_answer_that_does_not_fit_is_cut_as_libc_cuts_it(make_island, remote):
    island = make_island()
    bare = answers(island.run(probe("resolve"), SMALL, via="bare"), SMALL)
    assert bare[4] == "43 malformed"
    lines = answers(island.run(probe("resolve"), SMALL, conf=remote), SMALL)
    assert [FAKE.sub("192.0.2.53", line).replace("example 10", "example 60") for line in lines] == bare


OTHER_TYPES = [
    "res_query db.example mx 512",
    "res_search db.example txt 512",
    "res_nquery db.example mx 512",
    "res_querydomain db example txt 512",
    "res_send db.example mx 512",
]


def test_queries_of_other_types_are_libcs(make_island, remote):
    island = make_island()
    bare = answers(island.run(probe("resolve"), OTHER_TYPES, via="bare"), OTHER_TYPES)
    assert answers(island.run(probe("resolve"), OTHER_TYPES, conf=remote), OTHER_TYPES) == bare
    assert island.queries == ["MX db.example", "TXT db.example", "MX db.example", "TXT db.example", "MX db.example"] * 2


def which_libc_has(messages):
    """musl has no res_n* functions."""
    return {query: answer for query, answer in messages.items() if not (paths.MUSL and query.startswith("res_n"))}


NO_RECORD = {
    "res_query db.example https 512": "-1 NO_DATA NO_DATA",
    "res_nquery db.example https 512": "-1 NO_DATA NO_DATA",
    "res_query _8443._https.db.example svcb 512": "-1 NO_DATA NO_DATA",
    "res_query db.example cname 512": "-1 NO_DATA NO_DATA",
    "res_send db.example https 512": "28 qr 1 tc 0 rcode 0 answers 0",
    "res_query 192.0.2.1 https 512": "-1 HOST_NOT_FOUND HOST_NOT_FOUND",
}


def test_a_name_of_the_proxy_has_no_records_that_lead_to_other_addresses(island, remote, conf):
    expected = which_libc_has(NO_RECORD)
    lines = answers(island.run(probe("resolve"), expected, conf=remote), expected)
    assert island.queries == []
    assert dict(zip(expected, lines, strict=True)) == expected
    local = ["res_query x.internal https 512", "res_query x.internal cname 512"]
    island.run(probe("resolve"), local, conf=conf([PROXY], "proxy_dns", "localdomain .internal")).ok()
    assert island.queries == ["HTTPS x.internal", "CNAME x.internal"]


ODD = [f"{call} {{}} a 512 {opcode}" for call in ["res_send", "res_nsend"] for opcode in [1, 2, 4, 5, 9, 16]]


def test_a_message_that_is_no_query_does_not_carry_a_name_out(island, conf):
    for name, config in [("db.example", conf([PROXY], "proxy_dns")), ("x.internal", conf([PROXY]))]:
        operations = [operation.format(name) for operation in ODD]
        lines = answers(island.run(probe("resolve"), operations, conf=config), operations)
        if name == "db.example":
            assert set(lines) == {"-1 0 0"}
            assert island.queries == []
    asked = island.queries
    assert len(asked) >= len(ODD)
    config = conf([PROXY], "proxy_dns", "localdomain .internal")
    assert answers(island.run(probe("resolve"), operations, conf=config), operations) == lines
    assert island.queries == asked * 2


# -- Each function decides what is a name and what is an address.

DIGITS = ["0xcafe", "0x7f.1", "0xg", "1x"]
ADDRESSES = ["1", "1.2", "1.2.3.4", "010.0.0.1", "256.1.1.1", "1.2.3.4.5", "::1", "xy:z"]


@pytest.mark.parametrize("call", ["gethostbyname {}", "gethostbyname2 {} INET", "gethostbyname_r {} 512"])
def test_gethostbyname_takes_other_things_for_an_address_than_getaddrinfo(make_island, remote, call):
    island = make_island()
    names, addresses = [[call.format(text) for text in texts] for texts in (DIGITS, ADDRESSES)]
    bare = answers(island.run(probe("resolve"), names, via="bare"), names)
    assert all("192.0.2.53" in line for line in bare) and len(island.queries) == len(names)
    lines = answers(island.run(probe("resolve"), names, conf=remote), names)
    assert all(FAKE.search(line) for line in lines), lines
    bare = answers(island.run(probe("resolve"), addresses, via="bare"), addresses)
    assert answers(island.run(probe("resolve"), addresses, conf=remote), addresses) == bare
    assert len(island.queries) == len(names)


def test_getaddrinfo_takes_hex_for_an_address(make_island, remote):
    operations = [f"getaddrinfo {text} 80" for text in ["0xcafe", "0x7f.1"]]
    island = make_island()
    bare = answers(island.run(probe("resolve"), operations, via="bare"), operations)
    assert answers(island.run(probe("resolve"), operations, conf=remote), operations) == bare


ALMOST = {
    "an address and more": ["1.2.3.4\tsecret.corp", "1.2.3.4:5432", "::1:secret", "1.2.3.4%secret", "1.2.3.4."],
    "no address": ["08", "256.1.1.1", "1.2.3.08", "1.2.3.4.5", "4294967296"],
    "a name and more": ["secret.corp:5432", "secret.corp%1", "secret@corp", "*.secret.corp", "0.1.1.~1"],
    "a name that is none": ["-secret", "a..b", ".db", "x" * 64 + ".corp"],
}
ASKING = ["getaddrinfo {} 80", "getaddrinfo {} 80 family=INET", "gethostbyname {}", "gethostbyname2 {} INET6"]


@pytest.fixture
def spied(make_island, tmp_path):
    """(island, its environment, the queries to libc's name service modules there)"""
    library = tmp_path / "libnss_spy.so.2"
    command = [need("cc"), *FLAGS, "-shared", "-fPIC", str(paths.PROBE_SOURCES / "nss_spy.c"), "-o", str(library)]
    subprocess.run(command, check=True)
    island = make_island()
    (island.directory / "nsswitch.conf").write_text("hosts: files spy dns\n")
    log = tmp_path / "asked"
    return island, {"LD_LIBRARY_PATH": tmp_path, "NSS_SPY": log}, lambda: log.read_text() if log.exists() else ""


@pytest.mark.parametrize("kind", ALMOST)
def test_a_malformed_address_or_name_is_not_found_and_causes_no_query(spied, remote, kind):
    """libc queries DNS about few of these, but its other modules, e.g. systemd's, about all."""
    island, env, asked = spied
    operations = [call.format(name) for name in ALMOST[kind] for call in ASKING]
    lines = answers(island.run(probe("resolve"), operations, conf=remote, env=env), operations)
    assert asked() == "" and island.queries == []
    assert set(lines) == {"NONAME", "NULL HOST_NOT_FOUND"}
    if paths.MUSL:
        return  # musl has no modules.
    answers(island.run(probe("resolve"), operations, via="bare", env=env), operations)
    assert all(name in asked() for name in ALMOST[kind])


NUMERIC = ["getaddrinfo_a flags=NUMERICHOST db.example 10.1.2.3 ::1", "getaddrinfo_a flags=CANONNAME 10.1.2.3"]


def test_getaddrinfo_a_heeds_its_flags(make_island, remote):
    island = make_island()
    bare = answers(island.run(probe("resolve"), NUMERIC, via="bare"), NUMERIC)
    assert "NONAME" in bare[0]
    assert answers(island.run(probe("resolve"), NUMERIC, conf=remote), NUMERIC) == bare
    assert island.queries == []


def test_getaddrinfo_a_fails_no_request_but_that_of_a_name_that_no_host_can_have(make_island, remote):
    operations = ["getaddrinfo_a a..b 10.1.2.3"]
    island = make_island()
    bare = answers(island.run(probe("resolve"), operations, via="bare"), operations)
    assert "10.1.2.3" in bare[0] and "NONAME" in bare[0]
    assert answers(island.run(probe("resolve"), operations, conf=remote), operations) == bare
    assert island.queries == []


LONG = ".".join(["a" * 63] * 3 + ["b" * 63])
SPELLINGS = [
    "DB.Example",
    "DB.Example.",
    "db.EXAMPLE",
    LONG[:253],
    LONG[:253] + ".",
    LONG[:254],
    LONG,
    "x" * 63,
    "a_b.-c",
]
SPELLINGS += ["b\u00fccher.example", "\u00e9"]


@pytest.mark.parametrize(
    "call",
    [
        "getaddrinfo {} 80 family=INET socktype=STREAM flags=CANONNAME",
        "gethostbyname {}",
        "gethostbyname2 {} INET",
        "gethostbyname_r {} 1024",
    ],
)
def test_the_canonical_name_keeps_the_spelling_and_invalid_names_are_not_found(make_island, remote, call):
    island = make_island()
    operations = [call.format(name) for name in SPELLINGS]
    bare = answers(island.run(probe("resolve"), operations, via="bare"), operations)
    assert "DB.Example" in bare[0] and "DB.Example." not in bare[1]
    asked = island.queries
    lines = answers(island.run(probe("resolve"), operations, conf=remote), operations)
    assert [FAKE.sub("192.0.2.53", line) for line in lines] == bare
    assert island.queries == asked


FAULTS = [
    f"getaddrinfo {name} {words}"
    for name in ["a..b", "db.example", "v6.secret", "\udcff.example", "x.localhost"]
    for words in [
        "80 flags=BAD",
        "80 flags=BAD,IDN",
        "nosuchservice flags=BAD",
        "nosuchservice",
        "nosuchservice family=INET",
        "80 family=BAD",
        "80 socktype=BAD",
        "http flags=NUMERICSERV",
        "80 socktype=STREAM protocol=UDP",
    ]
]


def test_getaddrinfo_finds_fault_with_its_arguments_in_libcs_order(make_island, remote):
    island = make_island("127.0.0.1 localhost\nfd00::7 v6.secret\n")
    bare = answers(island.run(probe("resolve"), FAULTS, via="bare"), FAULTS)
    assert {"BADFLAGS", "SERVICE", "FAMILY", "SOCKTYPE", "NONAME"} <= set(bare)
    asked = island.queries
    assert answers(island.run(probe("resolve"), FAULTS, conf=remote), FAULTS) == bare
    assert island.queries == asked


# -- Names that are not ASCII.

IDN = [
    f"getaddrinfo {name} 80 family=INET socktype=STREAM flags={flags}"
    for name in ["bücher.example", "BÜCHER.Example", "faß.de", "日本語.jp", "plain.example", "xn--bcher-kva.example"]
    for flags in ["IDN", "IDN,CANONNAME", "IDN,CANONNAME,CANONIDN"]
] + ["getaddrinfo_a flags=IDN bücher.example faß.de"]


@pytest.mark.parametrize("locale", ["C.UTF-8", "C"])
def test_names_are_encoded_as_libc_does_it(make_island, remote, locale):
    """In a locale without these characters they cannot be encoded."""
    island = make_island()
    env = {"LC_ALL": locale}
    bare = answers(island.run(probe("resolve"), IDN, via="bare", env=env), IDN)
    assert "IDN_ENCODE" in bare[0] or "A xn--bcher-kva.example" in island.queries
    lines = answers(island.run(probe("resolve"), IDN, conf=remote, env=env), IDN)
    assert [FAKE.sub("192.0.2.53", line) for line in lines] == bare


def test_the_proxy_gets_an_encoded_name(conf, make_proxy, echo):
    proxy = make_proxy(names={"xn--bcher-kva.example": ("127.0.0.1", echo.port)})
    code = (
        "from socket import *; AI_IDN = 0x40;"
        f"found = getaddrinfo('B\u00fccher.example'.encode(), {echo.port}, AF_INET, SOCK_STREAM, 0, AI_IDN);"
        "socket().connect(found[0][4])"
    )
    env = {"LC_ALL": "C.UTF-8"}
    run_under("python3", ["-c", code], conf=conf([proxy], "proxy_dns"), env=env).ok()
    assert proxy.targets == [("xn--bcher-kva.example", echo.port)]


# -- Names that are left to libc.

LOCAL = [
    "getaddrinfo localhost 80",
    "getaddrinfo NULL 80",
    "getaddrinfo NULL 80 flags=PASSIVE",
    "getaddrinfo NULL NULL",
    "getaddrinfo 10.1.2.3 80",
    "getaddrinfo 10.1 80 flags=CANONNAME",
    "getaddrinfo ::1 80",
    "getaddrinfo fe80::1%1 80",
    "getaddrinfo known.example 80 flags=CANONNAME socktype=STREAM",
    "getaddrinfo alias 80 flags=CANONNAME socktype=STREAM",
    "getaddrinfo x.internal 80 socktype=STREAM",
    "getaddrinfo x.internal 80 family=INET6 socktype=STREAM",
    "getaddrinfo y.internal 80 family=INET flags=CANONNAME socktype=STREAM",
    "gethostbyname x.internal",
    "gethostbyname known.example",
    "gethostbyname2 x.internal INET6",
    "gethostbyname_r alias 512",
    "gethostbyname_r alias 10",
    "gethostbyname 10.1.2.3",
    "gethostbyaddr 10.7.7.7",
    "gethostbyaddr 127.0.0.1",
    "getnameinfo 127.0.0.1 80 300 300",
    "getnameinfo 10.7.7.7 80 300 300 NOFQDN",
    "getaddrinfo_a localhost x.internal",
    "res_query x.internal a 512",
    "res_query x.internal aaaa 512",
    "res_search x.internal a 512",
    "res_nquery x.internal a 512",
    "res_send x.internal a 512",
    "__res_query x.internal a 512",
    "getaddrinfo localhost nosuchservice",
]


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_names_that_libc_resolves_give_the_same_bit_for_bit(make_island, conf, via):
    island = make_island("127.0.0.1 localhost\n::1 localhost\n10.7.7.7 known.example alias\n")
    bare = answers(island.run(probe("resolve"), LOCAL, via="bare"), LOCAL)
    asked = island.queries
    config = conf([PROXY], "proxy_dns", "localdomain .internal")
    assert answers(island.run(probe("resolve"), LOCAL, conf=config, via=via), LOCAL) == bare
    assert island.queries == asked * 2 and "A x.internal" in asked


HOSTS = "127.0.0.1 localhost\n10.7.7.7 v4.secret\nfd00::7 v6.secret\n::ffff:10.7.7.8 mapped.secret\n"
OTHER_FAMILY = [
    *(
        f"getaddrinfo {host}.secret 80 family={family} socktype=STREAM flags={flags}"
        for host in ["v4", "v6", "mapped"]
        for family in ["INET", "INET6"]
        for flags in ["NUMERICSERV", "V4MAPPED", "V4MAPPED,ALL", "CANONNAME,V4MAPPED"]
    ),
    *(f"gethostbyname2 {host}.secret {family}" for host in ["v4", "v6", "mapped"] for family in ["INET", "INET6"]),
    "gethostbyname v6.secret",
    "gethostbyname_r v6.secret 512",
    "gethostbyname2_r v4.secret INET6 512",
    "gethostbyaddr 10.7.7.7",
    "getnameinfo fd00::7 80 300 300",
]


def test_nobody_is_asked_for_the_other_family_of_a_name_of_etc_hosts(make_island, remote):
    """As if libc had only /etc/hosts."""
    island = make_island(HOSTS)
    only_files = island.directory / "nsswitch.conf"
    only_files.write_text("hosts: files\n")
    bare = answers(island.run(probe("resolve"), OTHER_FAMILY, via="bare"), OTHER_FAMILY)
    only_files.unlink()
    if paths.MUSL:
        # 1.2.3 returns it where the manual page says 0, and puts the error in *h_errnop.
        bare = [answer.replace("ENOENT NULL", "0 NULL") for answer in bare]
    assert answers(island.run(probe("resolve"), OTHER_FAMILY, conf=remote), OTHER_FAMILY) == bare
    assert island.queries == []


SPELLED_HOSTS = "127.0.0.1 localhost\n10.7.7.7 plain\n10.7.7.8 absolute.\nfe80::1%lo scoped\n10.7.7.9%1 scoped4\n"
FORMS = ["plain", "plain.", "absolute", "absolute.", "PLAIN", "ABSOLUTE.", "scoped", "scoped4"]


@pytest.mark.parametrize(
    "call", ["getaddrinfo {} 80 family=INET socktype=STREAM", "gethostbyname {}", "getaddrinfo_a {}"]
)
def test_a_name_that_libc_does_not_find_in_etc_hosts_is_the_proxys(make_island, remote, call):
    """It finds a name only in the same spelling, and skips addresses with a scope."""
    island = make_island(SPELLED_HOSTS)
    operations = [call.format(form) for form in FORMS]
    bare = answers(island.run(probe("resolve"), operations, via="bare"), operations)
    asked = island.queries
    local = [form for form, line in zip(FORMS, bare, strict=True) if "192.0.2.53" not in line]
    assert local == ["plain", "absolute.", "PLAIN", "ABSOLUTE."]
    lines = answers(island.run(probe("resolve"), operations, conf=remote), operations)
    assert island.queries == asked
    assert [FAKE.sub("192.0.2.53", line) for line in lines] == bare
    assert [form for form, line in zip(FORMS, lines, strict=True) if not FAKE.search(line)] == local


LOCALHOST = {
    "getaddrinfo {} 80 socktype=STREAM": "0 [INET STREAM 6 len 16 flags 0 127.0.0.1 80 -]",
    "getaddrinfo {} 80 family=INET socktype=STREAM": "0 [INET STREAM 6 len 16 flags 0 127.0.0.1 80 -]",
    "getaddrinfo {} 80 family=INET6 socktype=STREAM": "0 [INET6 STREAM 6 len 28 flags 0 ::1 80 -]",
    "getaddrinfo {} 80 family=INET6 socktype=STREAM flags=V4MAPPED": "0 [INET6 STREAM 6 len 28 flags 8 ::1 80 -]",
    "getaddrinfo_a {}": "0 0 [INET STREAM 6 len 16 flags 0 127.0.0.1 0 -]",
    "gethostbyname {}": "NAME INET 4 127.0.0.1",
    "gethostbyname2 {} INET6": "NAME INET6 16 ::1",
    "gethostbyname_r {} 512": "0 NAME INET 4 127.0.0.1",
    "gethostbyname2_r {} INET6 512": "0 NAME INET6 16 ::1",
    "res_query {} a 512": "SIZE qr 1 tc 0 rcode 0 answers 1 [NAME 10 class 1 a 127.0.0.1]",
    "res_search {} aaaa 512": "SIZE qr 1 tc 0 rcode 0 answers 1 [NAME 10 class 1 aaaa ::1]",
    "res_send {} any 512": "SIZE qr 1 tc 0 rcode 0 answers 1 [NAME 10 class 1 a 127.0.0.1]",
    "res_send {} a 512 16": "-1 0 0",
    "res_query {} mx 512": "-1 NO_DATA NO_DATA",
    "res_query {} https 512": "-1 NO_DATA NO_DATA",
}


@pytest.mark.parametrize("name", ["localhost", "localhost.", "LocalHost.", "x.localhost", "x.y.localhost."])
def test_localhost_is_loopback_and_nobody_is_asked(make_island, remote, name):
    """RFC 6761, section 6.3: whatever is in /etc/hosts, here only the IPv4 address of `localhost`."""
    island = make_island()
    operations = [call.format(name) for call in LOCALHOST]
    lines = answers(island.run(probe("resolve"), operations, conf=remote), operations)
    bare_name = name.removesuffix(".")
    assert [re.sub(r"^\d\d (?=qr)", "SIZE ", line.replace(bare_name, "NAME")) for line in lines] == list(
        LOCALHOST.values()
    )
    assert island.queries == []


def test_etc_hosts_applies_to_a_name_below_localhost(make_island, remote):
    island = make_island("127.0.0.1 localhost\n10.7.7.7 x.localhost\n")
    operations = ["gethostbyname x.localhost", "gethostbyname2 x.localhost INET6", "res_query x.localhost a 512"]
    lines = answers(island.run(probe("resolve"), operations, conf=remote), operations)
    assert ["10.7.7.7" in line or "::1" in line for line in lines] == [True] * 3
    assert island.queries == []


HOSTS_MESSAGES = {
    "res_query v4.secret a 512": "43 qr 1 tc 0 rcode 0 answers 1 [v4.secret 10 class 1 a 10.7.7.7]",
    "res_query v4.secret aaaa 512": "-1 NO_DATA NO_DATA",
    "res_nquery v6.secret a 512": "-1 NO_DATA NO_DATA",
    "res_query v4.secret https 512": "-1 NO_DATA NO_DATA",
    "res_query v6.secret any 512": "55 qr 1 tc 0 rcode 0 answers 1 [v6.secret 10 class 1 aaaa fd00::7]",
    "res_send v4.secret a 512": "43 qr 1 tc 0 rcode 0 answers 1 [v4.secret 10 class 1 a 10.7.7.7]",
    "res_send v4.secret aaaa 512": "27 qr 1 tc 0 rcode 0 answers 0",
    "res_send v4.secret a 512 16": "-1 0 0",
    "res_search v6.secret aaaa 512": "55 qr 1 tc 0 rcode 0 answers 1 [v6.secret 10 class 1 aaaa fd00::7]",
    "res_query 7.7.7.10.in-addr.arpa ptr 512": "62 qr 1 tc 0 rcode 0 answers 1 "
    "[7.7.7.10.in-addr.arpa 10 class 1 ptr v4.secret]",
}


def test_queries_for_a_name_or_an_address_of_etc_hosts_are_answered_from_there(make_island, remote):
    island = make_island(HOSTS)
    expected = which_libc_has(HOSTS_MESSAGES)
    lines = answers(island.run(probe("resolve"), expected, conf=remote), expected)
    assert dict(zip(expected, lines, strict=True)) == expected
    assert island.queries == []


def test_without_proxy_dns_everything_is_libcs(make_island, conf):
    operations = [
        "getaddrinfo db.example 80",
        "gethostbyname db.example",
        "res_query db.example a 512",
        "res_send db.example a 512",
        "gethostbyaddr 192.0.2.7",
        "getnameinfo 192.0.2.7 80 300 300",
    ]
    island = make_island()
    bare = answers(island.run(probe("resolve"), operations, via="bare"), operations)
    assert answers(island.run(probe("resolve"), operations, conf=conf([PROXY])), operations) == bare
    assert "192.0.2.53" in bare[0]


@pytest.mark.parametrize(
    "rules, asked",
    [
        (["proxydomain .example"], ["A x.internal", "A hello.ts.net"]),
        (["tailnet_only"], ["A db.example", "A x.internal"]),
        (["tailnet_only", "proxydomain .example"], ["A x.internal"]),
        (["localdomain example"], ["A db.example"]),
        ([], []),
    ],
)
def test_the_rules_say_which_names_are_asked_about(rules, asked, island, conf):
    operations = [f"getaddrinfo {name} 80 family=INET" for name in ["db.example", "x.internal", "hello.ts.net"]]
    answers(island.run(probe("resolve"), operations, conf=conf([PROXY], "proxy_dns", *rules)), operations)
    assert island.queries == asked
