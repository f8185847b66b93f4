"""Programs that cannot be preloaded, under a supervisor: static ones, Go's, and any without LD_PRELOAD."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import paths
from support.clients import go
from support.need import need
from support.probe import script
from support.processes import supervisor_of
from support.proxy import Mood
from support.run import finish, run_under, start

BARE_PYTHON = ["-u", "LD_PRELOAD", sys.executable, "-c"]


def python(program, *args, conf, **options):
    """A Python program that is not preloaded, under a supervisor."""
    return run_under("env", [*BARE_PYTHON, program, *args], conf=conf, via="supervised", **options)


def run_go(*args, conf, **options):
    return run_under(go("go_dial"), args, conf=conf, **options)


# -- Go


def test_a_go_program_connects_through_the_proxy(conf, proxy, echo):
    result = run_go("echo", f"127.0.0.1:{echo.port}", conf=conf([proxy])).ok()
    assert result.out == "1 answered\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]
    assert len(result.chains) == 1 and "supervising" in result.err


def test_its_resolver_gets_names_from_the_proxy(conf, make_proxy, web_port):
    proxy = make_proxy(names={"www.example": ("127.0.0.1", web_port)})
    result = run_go("get", f"http://www.example:{web_port}/", conf=conf([proxy], "proxy_dns")).ok()
    assert result.out
    assert proxy.targets == [("www.example", web_port)]


def test_a_go_program_sees_the_dialled_address_as_its_peer(conf, proxy, echo):
    result = run_go("peer", f"127.0.0.1:{echo.port}", conf=conf([proxy])).ok()
    assert result.out == f"127.0.0.1:{echo.port}\n"


def test_a_thousand_dials_at_once_are_all_answered(conf, make_proxy, make_echo):
    echo, proxy = make_echo(keep=False), make_proxy(Mood(delay=0.2))
    # A busy machine may exceed the usual timeouts; the proxy has a thread for each.
    config = conf([proxy], "quiet_mode", "tcp_connect_time_out 60000", "tcp_read_time_out 60000")
    result = run_go("echo", f"127.0.0.1:{echo.port}", 1000, conf=config).ok()
    assert result.out == "1000 answered\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 1000


@pytest.mark.parametrize(
    ("reply", "text"), [(5, "connection refused"), (3, "network is unreachable"), (4, "no route to host")]
)
def test_go_is_told_why_a_connect_failed(conf, make_proxy, reply, text):
    result = run_go("echo", "192.0.2.1:80", conf=conf([make_proxy(Mood(reply=reply))]))
    assert result.code == 1
    assert result.out.endswith(f"connect: {text}\n")


def test_go_is_told_of_a_proxy_that_never_answers(conf, make_proxy):
    proxy = make_proxy(Mood(instead={"request": "silence"}))
    result = run_go("echo", "192.0.2.1:80", conf=conf([proxy], "tcp_read_time_out 300"))
    assert result.out.endswith("connect: connection timed out\n")


def test_a_deadline_of_gos_own_ends_the_dial(conf, make_proxy):
    proxy = make_proxy(Mood(instead={"request": "silence"}))
    result = run_go("cancel", "192.0.2.1:80", 100, conf=conf([proxy], "tcp_read_time_out 60000"))
    assert result.code == 1 and "i/o timeout" in result.out


# -- static programs: the same scripts as for preloaded ones


def test_a_static_program_that_blocks(conf, proxy, echo):
    answers = script(
        "socket inet stream 0",
        f"connect 127.0.0.1 {echo.port}",
        f"connect 127.0.0.1 {echo.port}",
        "peer",
        "send hello",
        "recv 5",
        conf=conf([proxy]),
        via="supervised",
    )
    assert answers[1:] == ["0", "-1 EISCONN", f"127.0.0.1 length 16 port {echo.port}", "5", "5 hello"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize("how", ["poll", "select"])
def test_a_static_program_that_does_not_block(conf, make_proxy, echo, how):
    proxy = make_proxy(Mood(delay=0.2))
    answers = script(
        "socket inet stream 0 nonblock",
        f"connect 127.0.0.1 {echo.port}",
        f"ready {how} IN+OUT 0",
        f"connect 127.0.0.1 {echo.port}",
        f"ready {how} IN+OUT 20000",
        "get SOL_SOCKET SO_ERROR",
        f"connect 127.0.0.1 {echo.port}",
        f"connect 127.0.0.1 {echo.port}",
        "send hello",
        "ready poll IN 20000",
        "recv 5",
        conf=conf([proxy]),
        via="supervised",
    )
    # The kernel returns 0 to the first connect after the end, EISCONN to the next.
    expected = ["-1 EINPROGRESS", "nothing", "-1 EALREADY", "OUT", "0", "0", "-1 EISCONN", "5", "IN", "5 hello"]
    assert answers[1:] == expected


@pytest.mark.parametrize("mode", ["OUT", "OUT+ET", "IN+OUT+ET"])
@pytest.mark.parametrize("registered", ["before", "after"])
def test_epoll_knows_the_socket_again(conf, make_proxy, echo, mode, registered):
    proxy = make_proxy(Mood(delay=0.2))
    connect, register = f"connect 127.0.0.1 {echo.port}", f"ctl 0 add {mode}"
    first = [connect, register] if registered == "after" else [register, "ready epoll 0 1000", connect]
    answers = script(
        "epoll 0",
        "socket inet stream 0 nonblock",
        *first,
        "ready epoll 0 0",
        "ready epoll 0 20000",
        "get SOL_SOCKET SO_ERROR",
        "ready epoll 0 20000",
        "ctl 0 mod IN",
        "send hello",
        "ready epoll 0 20000",
        "recv 5",
        conf=conf([proxy]),
        via="supervised",
    )
    assert [answer.split(":")[-1] for answer in answers[-8:]] == [
        "nothing", "OUT", "0", "OUT", "0", "5", "IN", "5 hello",
    ]  # fmt: skip


def test_a_dup_is_connected_with_its_original(conf, make_proxy, echo):
    program = """
import select, socket, sys
one = socket.socket()
one.setblocking(False)
one.connect_ex(("127.0.0.1", int(sys.argv[1])))
copy = one.dup()
select.select([], [copy], [], 20)
print(one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
one.send(b"hello")
select.select([copy], [], [], 20)
print(copy.recv(5).decode())
"""
    proxy = make_proxy(Mood(delay=0.2))
    assert python(program, echo.port, conf=conf([proxy])).ok().out.split() == ["0", "hello"]


FAILURES = [(5, "ECONNREFUSED"), (3, "ENETUNREACH"), (4, "EHOSTUNREACH"), (2, "EACCES")]


@pytest.mark.parametrize(("reply", "name"), FAILURES)
def test_a_static_program_is_told_why(conf, make_proxy, reply, name):
    config = conf([make_proxy(Mood(reply=reply))])
    connect = "connect 192.0.2.1 80"
    blocking = script("socket inet stream 0", connect, conf=config, via="supervised")
    assert blocking[1] == f"-1 {name}"
    waiting = script(
        "socket inet stream 0 nonblock", connect, "ready poll OUT 20000", "get SOL_SOCKET SO_ERROR",
        "get SOL_SOCKET SO_ERROR", conf=config, via="supervised",
    )  # fmt: skip
    assert waiting[1] == "-1 EINPROGRESS" and "ERR" in waiting[2]
    assert waiting[3:] == [str(getattr(errno, name)), "0"]


def test_a_direct_connection_behaves_as_bare(conf, proxy, echo, refusing):
    config = conf([proxy], "localnet 127.0.0.0/8")
    operations = [
        "socket inet stream 0", f"connect 127.0.0.1 {refusing}", f"connect 127.0.0.1 {echo.port}", "peer",
        "send hello", "recv 5", "connect unspec", "connect 300.1.1.1 1",
    ][:6]  # fmt: skip
    bare = script(*operations, via="bare")
    assert script(*operations, conf=config, via="supervised") == bare
    assert proxy.targets == []


# -- names and datagrams

MUSL_DIAL = """
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
int main(int count, char **words)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    int error = count < 3 ? 1 : getaddrinfo(words[1], words[2], &hints, &found);
    if (error)
        return printf("%s\\n", gai_strerror(error)), 1;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return connect(fd, found->ai_addr, found->ai_addrlen) ? perror("connect"), 1 : puts("connected") < 0;
}
"""

RESOLVER = """
import socket, struct, sys
port = int(sys.argv[1])
question = b"".join(bytes([len(part)]) + part for part in sys.argv[2].encode().split(b".")) + bytes([0, 0, 1, 0, 1])
query = struct.pack("!HHHHHH", 7, 0x100, 1, 0, 0, 0) + question
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(20)
asked.connect(("192.0.2.53", 53))
asked.send(query)
answer = asked.recv(512)
print(answer[3] & 15)
if not answer[3] & 15:
    address = socket.inet_ntoa(answer[-4:])
    print(socket.create_connection((address, port)).getpeername()[0] == address)
    other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for call in [lambda: other.sendto(b"x", (address, 9)), lambda: other.connect((address, 9)),
                 lambda: other.sendmsg([b"x"], [], 0, (address, 9))]:
        try:
            call()
            print("sent")
        except OSError as error:
            print(error.errno)
"""


def test_a_resolver_of_its_own_is_answered_and_udp_to_a_fake_ip_is_refused(conf, make_proxy, echo):
    proxy = make_proxy(names={"db.example": ("127.0.0.1", None)})
    config = conf([proxy], "proxy_dns")
    result = python(RESOLVER, echo.port, "db.example", conf=config).ok()
    assert result.out.split() == ["0", "True"] + [str(errno.EHOSTUNREACH)] * 3
    assert proxy.targets == [("db.example", echo.port)]


@pytest.mark.parametrize("ask", ["sendto", "connect"])
@pytest.mark.parametrize("receive", ["recvfrom(512)", "recvmsg(512)[::3]"])
@pytest.mark.parametrize("network", ["192.0.2.", "2001:db8::"])
def test_an_answer_comes_from_the_address_that_was_asked(conf, proxy, network, receive, ask):
    """dnspython and musl's resolver check the server's address like this."""
    program = """
import select, socket, struct
asked = socket.socket(socket.AF_INET6 if ":" in "NETWORK" else socket.AF_INET, socket.SOCK_DGRAM)
asked.setblocking(False)
for id in range(2):
    question = b"\\x02db\\x07example\\0\\0\\x01\\0\\x01"
    query, server = struct.pack("!HHHHHH", id, 0x100, 1, 0, 0, 0) + question, (f"NETWORK{id + 1}", 53)
    if "ASK" == "sendto":
        asked.sendto(query, server)
    else:
        asked.connect(server)
        asked.send(query)
    select.select([asked], [], [], 20)
    answer, server = asked.RECEIVE
    print(answer[0] << 8 | answer[1], answer[3] & 15, server[:2])
"""
    for word, value in {"NETWORK": network, "ASK": ask, "RECEIVE": receive}.items():
        program = program.replace(word, value)
    result = python(program, conf=conf([proxy], "proxy_dns")).ok()
    assert result.out.splitlines() == [f"{id} 0 ('{network}{id + 1}', 53)" for id in range(2)]


def test_c_ares_gets_names_from_the_proxy(conf, make_proxy, echo):
    """Node's dns.resolve, which queries name servers itself and checks who answers."""
    program = """
require('dns').resolve4('db.example', (error, found) => {
    if (error) throw error;
    const one = require('net').connect(process.argv[1], found[0], () => one.write('hello'));
    one.on('data', data => { console.log(String(data), one.remoteAddress === found[0]); one.end(); });
});
"""
    proxy = make_proxy(names={"db.example": ("127.0.0.1", None)})
    arguments = ["-u", "LD_PRELOAD", need("node"), "-e", program, echo.port]
    result = run_under("env", arguments, conf=conf([proxy], "proxy_dns"), via="supervised").ok()
    assert result.out == "hello true\n"
    assert proxy.targets == [("db.example", echo.port)]


def test_musls_resolver_gets_names_from_the_proxy(conf, make_proxy, echo, tmp_path):
    source, program = tmp_path / "dial.c", tmp_path / "dial"
    source.write_text(MUSL_DIAL)
    subprocess.run([need("musl-gcc"), "-static", source, "-o", program], check=True)
    proxy = make_proxy(names={"db.example": ("127.0.0.1", None)})
    result = run_under(program, ["db.example", echo.port], conf=conf([proxy], "proxy_dns")).ok()
    assert result.out == "connected\n"
    assert proxy.targets == [("db.example", echo.port)]


def test_unanswerable_queries_are_refused_not_sent(conf, proxy):
    program = """
import socket
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for call in [lambda: one.sendto(b"", ("127.0.0.1", 53)), lambda: one.sendmsg([b"query"], [], 0, ("127.0.0.1", 53))]:
    try:
        call()
        print("sent")
    except OSError as error:
        print(error.errno)
"""
    result = python(program, conf=conf([proxy], "proxy_dns", "localnet 127.0.0.0/8")).ok()
    assert result.out.split() == [str(errno.ECONNREFUSED)] * 2


def test_a_name_that_is_local_is_asked_of_the_server(conf, proxy):
    """There is no server, so no answer comes; the proxy is not asked."""
    program = RESOLVER.replace("settimeout(20)", "settimeout(0.3)").replace("192.0.2.53", "127.0.0.1")
    result = python(program, 1, "db.internal", conf=conf([proxy], "proxy_dns", "localdomain .internal"))
    assert "TimeoutError" in result.err
    assert proxy.targets == []


# -- fail closed

CONNECTS_WHEN_TOLD = """
import errno, socket, sys
print("ready", flush=True)
sys.stdin.readline()
for kind in [socket.SOCK_STREAM, socket.SOCK_STREAM | socket.SOCK_NONBLOCK]:
    print(errno.errorcode[socket.socket(socket.AF_INET, kind).connect_ex(("127.0.0.1", int(sys.argv[1])))])
"""


def test_without_its_supervisor_nothing_connects(conf, proxy, echo):
    arguments = [*BARE_PYTHON, CONNECTS_WHEN_TOLD, echo.port]
    process = start("env", arguments, conf=conf([proxy]), via="supervised", stdin=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    os.kill(supervisor_of(process), signal.SIGKILL)
    result = finish(process, input=b"go\n").ok()
    assert result.out.split() == ["ENOSYS"] * 2
    assert proxy.targets == [] and echo.received == []


def test_memory_that_cannot_be_read_is_an_errno(conf, proxy):
    program = """
import ctypes, socket
libc = ctypes.CDLL(None, use_errno=True)
one = socket.socket()
for address, length in [(8, 16), (0, 16), (8, -1), (8, 1000)]:
    libc.connect(one.fileno(), ctypes.c_void_p(address), length)
    print(ctypes.get_errno())
libc.connect(999, ctypes.c_void_p(8), 16)
print(ctypes.get_errno())
libc.connect(0, ctypes.c_void_p(8), 16)
print(ctypes.get_errno())
"""
    bare = run_under(sys.executable, ["-c", program], via="bare").ok().out
    result = python(program, conf=conf([proxy])).ok()
    assert result.out == bare
    assert proxy.targets == []


def test_fast_open_and_io_uring_are_no_ways_around(conf, proxy, echo):
    program = """
import ctypes, socket, sys
libc = ctypes.CDLL(None, use_errno=True)
one = socket.socket()
try:
    one.sendto(b"x", socket.MSG_FASTOPEN, ("127.0.0.1", int(sys.argv[1])))
except OSError as error:
    print(error.errno)
libc.syscall(425, 8, ctypes.create_string_buffer(120))
print(ctypes.get_errno())
"""
    result = python(program, echo.port, conf=conf([proxy])).ok()
    assert result.out.split() == [str(errno.EOPNOTSUPP), str(errno.ENOSYS)]
    assert echo.received == []


# -- the process


def test_status_and_signals_are_the_programs(conf, proxy):
    config = conf([proxy])
    assert run_under("sh", ["-c", "exit 7"], conf=config, via="supervised").code == 7
    assert run_under("sh", ["-c", "kill -TERM $$"], conf=config, via="supervised").code == -signal.SIGTERM


def test_ctrl_c_ends_a_blocked_connect(conf, make_proxy):
    proxy = make_proxy(Mood(instead={"request": "silence"}))
    program = 'import socket; print("ready", flush=True); socket.create_connection(("192.0.2.1", 80))'
    config = conf([proxy], "tcp_read_time_out 60000")
    process = start("env", [*BARE_PYTHON, program], conf=config, via="supervised")
    assert process.stdout.readline() == b"ready\n"
    deadline = time.monotonic() + 20
    while not proxy.targets and time.monotonic() < deadline:
        time.sleep(0.01)
    supervisor = supervisor_of(process)
    os.killpg(process.pid, signal.SIGINT)
    result = finish(process, timeout=20)
    assert "KeyboardInterrupt" in result.err
    deadline = time.monotonic() + 20
    while Path(f"/proc/{supervisor}").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{supervisor}").exists()


def test_signals_that_restart_calls_do_not_make_new_connections(conf, make_proxy, echo):
    program = """
import signal, socket, sys
caught = []
signal.signal(signal.SIGALRM, lambda *_: caught.append(1))
signal.siginterrupt(signal.SIGALRM, False)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
signal.setitimer(signal.ITIMER_REAL, 0)
one.sendall(b"hello")
print(one.recv(5).decode(), bool(caught))
"""
    proxy = make_proxy(Mood(delay=0.3))
    result = python(program, echo.port, conf=conf([proxy])).ok()
    assert result.out == "hello True\n"
    assert len(proxy.targets) == 1


def test_the_supervisor_is_no_child_that_wait_sees(conf, proxy):
    program = """
import os
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("none")
"""
    assert python(program, conf=conf([proxy])).ok().out == "none\n"


def test_children_and_grandchildren_are_supervised(conf, proxy, echo):
    inner = f"import socket; print(socket.create_connection(('127.0.0.1', {echo.port})).getpeername()[1])"
    program = "import subprocess, sys; subprocess.run(['env', '-u', 'LD_PRELOAD', sys.executable, '-c', sys.argv[1]])"
    result = python(program, inner, conf=conf([proxy])).ok()
    assert result.out == f"{echo.port}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_preloaded_program_under_a_supervisor_uses_the_proxy_once(conf, proxy, echo):
    program = f"import socket; print(socket.create_connection(('127.0.0.1', {echo.port})).getpeername()[1])"
    result = run_under(sys.executable, ["-c", program], conf=conf([proxy]), via="supervised").ok()
    assert result.out == f"{echo.port}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_unix_socket_is_the_kernels(conf, proxy, tmp_path):
    """The path is relative to the program's directory, and the credentials are the program's."""
    program = """
import os, socket, struct, sys
os.chdir(sys.argv[1])
listener = socket.socket(socket.AF_UNIX)
listener.bind("here")
listener.listen()
one = socket.socket(socket.AF_UNIX)
one.connect("here")
peer = listener.accept()[0].getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
print(struct.unpack("iii", peer)[0] == os.getpid())
"""
    assert python(program, tmp_path, conf=conf([proxy])).ok().out == "True\n"


# -- when it is used, and when not


def test_never_and_nested_are_said(conf, proxy, echo):
    config = conf([proxy])
    program = go("go_dial")
    refused = run_under(program, ["x", "y"], conf=config, options=["--supervise", "never", "--strict"])
    assert refused.code == 1 and "Go program" in refused.err
    inner = ["-f", str(config), "--strict", str(program), "echo", f"127.0.0.1:{echo.port}"]
    nested = run_under(paths.LAUNCHER, inner, conf=config, via="supervised")
    assert nested.code == 1 and "another supervisor" in nested.err
    assert echo.received == []


def test_the_directive_and_the_option(conf, proxy, echo):
    config = conf([proxy], "supervise never")
    arguments = ["echo", f"127.0.0.1:{echo.port}"]
    assert "bypass the proxy" in run_under(go("go_dial"), arguments, conf=config).err
    assert proxy.targets == []
    run_under(go("go_dial"), arguments, conf=config, options=["--supervise", "auto"]).ok()
    assert len(proxy.targets) == 1
    assert run_under("true", conf=config, options=["--supervise", "sometimes"]).code == 1


def test_a_supervisor_that_is_not_permitted_is_reported(conf, proxy):
    """A container's profile without pidfd_getfd: with `always` the program is not started."""
    sandbox = paths.ROOT / "tests/support" / "without_call.py"
    arguments = [str(sandbox), "pidfd_getfd", paths.LAUNCHER, "-f", conf([proxy])]
    refused = run_under(sys.executable, [*arguments, "--supervise", "always", "true"], via="bare")
    assert refused.code == 1 and "pidfd_getfd is not permitted (EPERM)" in refused.err
    warned = run_under(sys.executable, [*arguments, go("go_dial"), "echo", "127.0.0.1:1"], via="bare")
    assert "pidfd_getfd is not permitted" in warned.err and "will bypass the proxy" in warned.err


def test_doctor_says_whether_programs_can_be_supervised(conf, proxy):
    arguments = ["doctor", "-f", conf([proxy]), go("go_dial")]
    said = run_under(paths.COMMAND, arguments, via="bare").ok()
    assert "ok       supervisor: static and Go programs can be supervised" in said.out
    assert f"ok       program: {go('go_dial')} runs under a supervisor" in said.out
    sandbox = paths.ROOT / "tests/support" / "without_call.py"
    for call in ["pidfd_getfd", "process_vm_readv", "seccomp"]:
        refused = run_under(sys.executable, [sandbox, call, paths.COMMAND, *arguments], via="bare")
        assert refused.code == 1
        assert "?        supervisor: static and Go programs cannot be supervised here:" in refused.out
        assert f"PROBLEM  program: {go('go_dial')}" in refused.out


def test_busybox(conf, make_proxy, web_port):
    busybox = need("busybox")
    proxy = make_proxy()
    url = f"http://127.0.0.1:{web_port}/"
    result = run_under("env", ["-u", "LD_PRELOAD", busybox, "wget", "-q", "-O", "-", url], conf=conf([proxy]),
                       via="supervised").ok()  # fmt: skip
    assert result.out
    assert proxy.targets == [("127.0.0.1", web_port)]
