"""connect, found with dlsym and dlvsym: a lookup in libc gives the library's function, and everything else is as
without the library."""

import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import FLAGS, probe, run_probe
from support.proxy import SILENCE, Mood
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
    """The thread that holds it may wait for the thread that looks up; and before glibc 2.35 it stays locked in a
    child."""
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
    """It is called once, and so is the next: neither skipped nor called forever."""
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


OLD = """
import ctypes, sys
print(ctypes.CDLL(sys.argv[1]).connect(-1, None, 0))
"""


@pytest.mark.parametrize("soname, answer", [("libpthread.so.0", "-1"), ("libother.so.1", "-77")])
def test_a_handle_of_a_part_of_an_older_glibc_gives_ours(conf, proxy, tmp_path, soname, answer):
    """Before glibc 2.34 libpthread.so.0 had its own connect. In another library the requested function is found."""
    source, library = tmp_path / "part.c", tmp_path / soname
    source.write_text("int connect(int fd, const void *to, unsigned size) { (void)to; (void)size; return fd - 76; }\n")
    flags = ["-shared", "-fPIC", f"-Wl,-soname,{soname}"]
    subprocess.run([need("cc"), *flags, str(source), "-o", str(library)], check=True)
    bare = run_under("python3", ["-c", OLD, library], via="bare").ok().out
    assert bare == "-77\n"
    assert run_under("python3", ["-c", OLD, library], conf=conf([proxy]), via="preload").ok().out == f"{answer}\n"


SPELLED = """
import ctypes, errno, os, select, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
F_DUPFD, F_GETFL, F_SETFL = 0, 3, 4
def said(value): return value if value >= 0 else errno.errorcode[ctypes.get_errno()]
s = socket.socket()
s.setblocking(False)
s.connect_ex(("127.0.0.1", int(sys.argv[2])))
fd = s.detach()
if sys.argv[1] == "__close":
    close = libc.__getattr__("__close")
    internal = [int(name) for name in os.listdir("/proc/self/fd") if int(name) > 100][:1]
    print(*[said(close(each)) for each in [*internal, fd, fd]])
elif sys.argv[1] == "__fcntl":
    fcntl = libc.__getattr__("__fcntl")
    other = fcntl(fd, F_DUPFD, 0)
    os.close(fd)
    select.select([], [other], [], 30)
    kept = socket.socket(fileno=other)
    print(kept.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), os.write(other, b"hello"),
          os.read(other, 5) if select.select([other], [], [], 30) else None)
else:
    end, other = os.pipe()
    fcntl, close = libc.__getattr__("__fcntl"), libc.__getattr__("__close")
    print(fcntl(end, F_GETFL), fcntl(end, F_SETFL, os.O_NONBLOCK), fcntl(end, F_GETFL), said(fcntl(-1, F_GETFL)),
          fcntl(end, F_DUPFD, 100), said(fcntl(end, 12345)), close(end), said(close(end)), said(close(-1)))
"""


def spelled(what, port, via, config=None):
    return run_under("python3", ["-c", SPELLED, what, port], conf=config, via=via).ok().out


def test_the_other_spelling_of_close_ends_a_pending_connect_and_spares_our_own_fds(conf, make_proxy, echo):
    silent = make_proxy(Mood(instead={"greeting": SILENCE}))
    assert spelled("__close", echo.port, "preload", conf([silent])) == "EBADF 0 EBADF\n"
    assert spelled("__close", echo.port, "bare") == "0 EBADF\n"
    assert echo.received == [] or not echo.received[-1]


def test_the_other_spelling_of_fcntl_gives_a_pending_connect_another_fd(conf, make_proxy, echo):
    slow = make_proxy(Mood(delay=0.2))
    assert spelled("__fcntl", echo.port, "preload", conf([slow])) == "0 5 b'hello'\n"
    assert spelled("__fcntl", echo.port, "bare") == "0 5 b'hello'\n"


def test_the_other_spellings_are_libcs_for_what_is_no_pending_connect(conf, make_proxy, echo):
    silent = make_proxy(Mood(instead={"greeting": SILENCE}))
    bare = spelled("bypass", echo.port, "bare")
    assert spelled("bypass", echo.port, "preload", conf([silent])) == bare
    assert "EBADF" in bare and "EINVAL" in bare
