"""connect, found with dlsym and dlvsym: whoever asks libc for it is given the library's, and everything else is as it
is without the library."""

import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import FLAGS, probe, run_probe
from support.run import run_under

WAYS = ["default", "next", "main", "libc", "vdefault", "vnext", "vmain", "vlibc"]


@pytest.mark.parametrize("way", WAYS)
def test_connect_that_was_looked_up_goes_through_the_proxy(conf, proxy, echo, way):
    for via in ["bare", "preload"]:
        result = run_probe("lookups", "127.0.0.1", echo.port, way, conf=conf([proxy]), via=via).ok()
        assert result.out == f"{way} -> 0\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_what_is_not_interposed_is_libcs(conf, proxy):
    for via in ["bare", "preload"]:
        assert run_probe("lookups", "127.0.0.1", 9, "same", conf=conf([proxy]), via=via).ok().out == "same -> yes\n"


def test_every_interposed_function_is_ours_in_libc(conf, proxy):
    result = run_probe("lookups", "127.0.0.1", 9, "others", conf=conf([proxy])).ok()
    assert result.out == "others -> many, libc's 0\n"


def test_a_lookup_needs_no_lock_that_libcs_own_does_without(conf, proxy):
    """Who holds it may wait for whoever looks up; and before glibc 2.35 it stays locked in a child of fork."""
    for via in ["bare", "preload"]:
        result = run_probe("lookups", "127.0.0.1", 9, "locked", conf=conf([proxy]), via=via).ok()
        assert result.out == "locked -> yes\n"


PYTHON = """
import ctypes, socket, struct, sys
library = ctypes.CDLL(None if sys.argv[1] == "main" else sys.argv[1], use_errno=True)
s = socket.socket()
address = struct.pack("=HH4s8x", socket.AF_INET, socket.htons(int(sys.argv[2])), bytes([127, 0, 0, 1]))
library.connect(s.fileno(), address, len(address))
s.sendall(b"hello")
print(s.recv(5).decode())
"""
RUBY = """
require "fiddle"
require "socket"
libc = Fiddle.dlopen(ARGV[0] == "main" ? nil : ARGV[0])
int, pointer = Fiddle::TYPE_INT, Fiddle::TYPE_VOIDP
connect = Fiddle::Function.new(libc["connect"], [int, pointer, int], int)
s = Socket.new(:INET, :STREAM)
address = Socket.sockaddr_in(ARGV[1].to_i, "127.0.0.1")
connect.call(s.fileno, address, address.bytesize) # not blocking
s.write("hello")
puts s.read(5)
"""


@pytest.mark.parametrize("library", ["main", "libc.so.6"])
@pytest.mark.parametrize(
    "program, option, code", [("python3", "-c", PYTHON), ("ruby", "-e", RUBY)], ids=["ctypes", "Fiddle"]
)
def test_a_foreign_function_interface_goes_through_the_proxy(conf, proxy, echo, program, option, code, library):
    result = run_under(need(program), [option, code, library, echo.port], conf=conf([proxy]), via="preload").ok()
    assert result.out == "hello\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.fixture
def interposer(tmp_path):
    built = tmp_path / "libinterposer.so"
    command = [need("cc"), *FLAGS, "-shared", "-fPIC", str(paths.PROBE_SOURCES / "interposer.c"), "-o", str(built)]
    subprocess.run(command, check=True)
    return built


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("how", ["next", "libc", "vnext", "vlibc"])
def test_another_library_that_replaces_connect_finds_what_is_below_it(conf, proxy, echo, interposer, how, order):
    """It is called once, and so is the next: none by itself, and none for ever."""
    both = [str(interposer), str(paths.LIBRARY)]
    preload = ":".join(both if order == "before" else reversed(both))
    env = {"LD_PRELOAD": preload, "PROXYCHAINS_CONF_FILE": conf([proxy], "localnet 127.0.0.0/8"), "INTERPOSER": how}
    result = run_under(probe("lookups"), ["127.0.0.1", echo.port, "default"], via="bare", env=env).ok()
    assert result.out == "default -> 0\n"
    assert result.err.count("interposer\n") == 1


@pytest.mark.parametrize("how", ["next", "libc", "vnext", "vlibc"])
def test_a_library_that_replaces_connect_before_ours_finds_ours(conf, proxy, echo, interposer, how):
    env = {"LD_PRELOAD": f"{interposer}:{paths.LIBRARY}", "PROXYCHAINS_CONF_FILE": conf([proxy]), "INTERPOSER": how}
    run_under(probe("lookups"), ["127.0.0.1", echo.port, "default"], via="bare", env=env).ok()
    assert proxy.targets == [("127.0.0.1", echo.port)]
