"""DNS over TCP by programs with their own resolver, under the supervisor: answered from the name table, like their
datagrams; what cannot be answered is refused."""

import sys

import pytest

from support import clients
from support.need import need
from support.run import run_under

BARE_PYTHON = ["-u", "LD_PRELOAD", sys.executable, "-c"]


def python(program, *args, conf, **options):
    """A Python program that is not preloaded, under a supervisor."""
    return run_under("env", [*BARE_PYTHON, program, *args], conf=conf, via="supervised", **options)


@pytest.mark.parametrize("directive", ["#", "localnet 192.0.2.0/24"], ids=["proxied", "direct"])
def test_a_go_resolver_that_uses_tcp(conf, proxy, directive):
    """As with `options use-vc` of resolv.conf(5). However the server would be reached, it is not queried."""
    words = ["resolve", "db.example", "tcp", "192.0.2.53:53"]
    result = run_under(clients.go_module("go"), words, conf=conf([proxy], "proxy_dns", directive)).ok()
    assert result.out.startswith("[224.")
    assert proxy.targets == []


DNSPYTHON = """
import dns.message, dns.query, socket, sys
answer = dns.query.tcp(dns.message.make_query("db.example", "A"), "192.0.2.53", timeout=20)
address = answer.answer[0][0].address
one = socket.create_connection((address, int(sys.argv[1])))
one.sendall(b"hello")
print(one.recv(5).decode())
print(dns.query.tcp(dns.message.make_query("db.example", "MX"), "192.0.2.53", timeout=20).rcode().name)
"""


def test_dnspython_by_tcp(conf, make_proxy, echo):
    proxy = make_proxy(names={"db.example": ("127.0.0.1", None)})
    result = python(DNSPYTHON, echo.port, conf=conf([proxy], "proxy_dns")).ok()
    assert result.out.split() == ["hello", "REFUSED"]
    assert proxy.targets == [("db.example", echo.port)]


STREAM = """
import socket, struct, sys, time
def query(id, name):
    question = b"".join(bytes([len(part)]) + part for part in name.encode().split(b".")) + bytes([0, 0, 1, 0, 1])
    message = struct.pack("!HHHHHH", id, 0x100, 1, 0, 0, 0) + question
    return struct.pack("!H", len(message)) + message
def answer():
    (length,) = struct.unpack("!H", one.recv(2, socket.MSG_WAITALL))
    message = one.recv(length, socket.MSG_WAITALL)
    print(message[0] << 8 | message[1], message[3] & 15)
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET)
one.settimeout(20)
one.connect((sys.argv[1], 53))
print(one.getpeername()[:2] == (sys.argv[1], 53))
"""


@pytest.mark.parametrize("server", ["192.0.2.53", "2001:db8::53", "::ffff:192.0.2.53"])
def test_queries_in_one_stream_however_they_are_cut(conf, proxy, server):
    program = (
        STREAM
        + """
both = query(1, "one.example") + query(2, "two.example")
for byte in both[:40]:
    one.send(bytes([byte]))
    time.sleep(0.001)
one.sendall(both[40:])
answer(), answer()
one.sendall(query(3, "three.example"))
answer()
one.shutdown(socket.SHUT_WR)
print(one.recv(1))
"""
    )
    result = python(program, server, conf=conf([proxy], "proxy_dns")).ok()
    assert result.out.split("\n")[:-1] == ["True", "1 0", "2 0", "3 0", "b''"]
    assert proxy.targets == []


def test_invalid_queries_are_refused_and_a_bad_length_ends_the_stream(conf, proxy):
    program = (
        STREAM
        + """
one.sendall(struct.pack("!H", 12) + bytes([0, 9]) + bytes(10))
answer()
one.sendall(struct.pack("!H", 3) + b"abc")
print(one.recv(1))
"""
    )
    result = python(program, "192.0.2.53", conf=conf([proxy], "proxy_dns")).ok()
    assert result.out.split("\n")[:-1] == ["True", "9 5", "b''"]
    assert proxy.targets == []


def test_a_server_that_was_named_is_reached_through_the_proxy(conf, make_proxy):
    """The program uses a name server that only the proxy resolves: it is not one of this machine's resolvers."""
    proxy = make_proxy(names={"ns.example": ("127.0.0.1", None)})
    run_under(clients.go("go_dial"), ["peer", "ns.example:53"], conf=conf([proxy], "proxy_dns"))
    assert set(proxy.targets) == {("ns.example", 53)}


def test_without_proxy_dns_dns_is_the_programs(conf, proxy):
    run_under(clients.go("go_dial"), ["peer", "192.0.2.53:53"], conf=conf([proxy]))
    assert proxy.targets == [("192.0.2.53", 53)]


# -- dynamic programs with their own resolver: `supervise always` answers what the preload library does not reach


def test_c_ares_in_a_preloaded_program(conf, make_proxy, echo):
    program = """
require('dns').resolve4('db.example', (error, found) => {
    if (error) throw error;
    const one = require('net').connect(process.argv[1], found[0], () => one.write('hello'));
    one.on('data', data => { console.log(String(data), one.remoteAddress === found[0]); one.end(); });
});
"""
    proxy = make_proxy(names={"db.example": ("127.0.0.1", None)})
    words = ["-e", program, echo.port]
    result = run_under(need("node"), words, conf=conf([proxy], "proxy_dns"), via="supervised").ok()
    assert result.out == "hello true\n"
    assert proxy.targets == [("db.example", echo.port)]


def test_dnspython_in_a_preloaded_program(conf, make_proxy, echo):
    """Over UDP. The library proxies a TCP connection: the proxy connects it to that server."""
    proxy = make_proxy(names={"db.example": ("127.0.0.1", None)})
    program = DNSPYTHON.replace("query.tcp", "query.udp")
    words = ["-c", program, echo.port]
    result = run_under(sys.executable, words, conf=conf([proxy], "proxy_dns"), via="supervised").ok()
    assert result.out.split() == ["hello", "REFUSED"]
    assert proxy.targets == [("db.example", echo.port)]
