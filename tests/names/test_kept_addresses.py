"""A program that resolves a name once and keeps the address: it stands for that name for the program's lifetime,
however many names other programs of the user have resolved since."""

import os
import struct
from pathlib import Path

import pytest

from support import paths
from support.run import finish, run_under, start

# As in name_table::layout and fake_ip.
TICKET, SLOTS, IDS = 64, 131_072, 254 << 16

RESOLVE = (
    "from socket import *; import os, sys; address = gethostbyname('db.ts.net'); print(address, flush=True); input()"
)
CONNECT = "s = create_connection((address, {port})); s.sendall(b'hello'); print(s.recv(5).decode())"
KEEPERS = {
    "the process": CONNECT,
    "a forked child": "pid = os.fork()\nif pid: sys.exit(os.waitpid(pid, 0)[1])\n" + CONNECT,
    "a thread": "import threading\nt = threading.Thread(target=lambda: exec({connect!r}))\nt.start(); t.join()",
}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """The file of this test's own table."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / f"tailchain-{os.geteuid()}" / "names-2"


def resolved_meanwhile(table, count):
    """As if that many names had been resolved: the next ticket is later by `count`."""
    with table.open("r+b") as file:
        file.seek(TICKET)
        (ticket,) = struct.unpack("=Q", file.read(8))
        file.seek(TICKET)
        file.write(struct.pack("=Q", ticket - 1 + count))


def other(config):
    """The address that another process gets for another name."""
    code = "import socket; print(socket.gethostbyname('other.ts.net'))"
    return run_under("python3", ["-c", code], conf=config).ok().out.strip()


@pytest.fixture
def keeper(conf, make_proxy, echo, table):
    """keeper(after, how): a program resolves a name, others do until its slot, or its address, is reused, and then it
    connects. Returns its result, and the proxy."""
    proxy = make_proxy(names={"db.ts.net": ("127.0.0.1", echo.port), "other.ts.net": ("127.0.0.1", echo.port)})
    config = conf([proxy], "proxy_dns")

    def run(after, then):
        code = RESOLVE + "\n" + then.format(port=echo.port, connect=CONNECT.format(port=echo.port))
        program = start("python3", ["-c", code], conf=config, stdin=-1)
        address = program.stdout.readline().decode().strip()
        resolved_meanwhile(table, after)
        assert (other(config) == address) is (after == IDS)
        return finish(program, input=b"\n"), proxy

    return run


@pytest.mark.parametrize("who", KEEPERS)
@pytest.mark.parametrize("after", [SLOTS, IDS], ids=["its slot", "its address"])
def test_an_address_that_is_kept_stands_for_its_name(keeper, after, who):
    result, proxy = keeper(after, KEEPERS[who])
    assert result.ok().out == "hello\n"
    assert [host for host, _ in proxy.targets] == ["db.ts.net"]


def test_another_program_that_is_given_the_address_is_refused_when_the_slot_was_used_again(keeper):
    connect = "import socket, sys; print(socket.socket().connect_ex((sys.argv[1], 80)))"
    result, proxy = keeper(SLOTS, f"os.execv(sys.executable, [sys.executable, '-c', {connect!r}, address])")
    assert result.ok().out == "113\n"
    assert proxy.targets == []


def test_a_program_that_resolves_two_names_has_an_address_for_each(conf, make_proxy, echo, table):
    """Although the ring has wrapped around in between."""
    names = {f"{name}.ts.net": ("127.0.0.1", echo.port) for name in ["db", "two", "three"]}
    proxy = make_proxy(names=names)
    code = RESOLVE + (
        "\nfor name in ['two.ts.net', 'three.ts.net']: print(gethostbyname(name))\n"
        f"for host in [address, gethostbyname('two.ts.net'), address]: create_connection((host, {echo.port}))"
    )
    program = start("python3", ["-c", code], conf=conf([proxy], "proxy_dns"), stdin=-1)
    first = program.stdout.readline().decode().strip()
    resolved_meanwhile(table, IDS)
    addresses = finish(program, input=b"\n").ok().out.split()
    assert len({first, *addresses}) == 3
    assert [host for host, _ in proxy.targets] == ["db.ts.net", "two.ts.net", "db.ts.net"]


def test_a_kept_address_has_its_name_back(conf, table):
    config = conf(["socks5 127.0.0.1 1055"], "proxy_dns")
    program = start("python3", ["-c", RESOLVE + "\nprint(gethostbyaddr(address)[0])"], conf=config, stdin=-1)
    program.stdout.readline()
    resolved_meanwhile(table, IDS)
    other(config)
    assert finish(program, input=b"\n").ok().out == "db.ts.net\n"


def test_the_layout_is_the_one_that_this_file_knows():
    """Otherwise the tests above would prove nothing."""
    text = (Path(paths.ROOT) / "crates/core/src/name_table/layout.rs").read_text()
    assert f"TICKET: usize = {TICKET};" in text
