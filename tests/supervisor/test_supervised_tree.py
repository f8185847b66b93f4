"""`supervise always`: a whole tree of processes. What is dynamic is preloaded and passes; the rest is supervised.
The tree is the program's own: exit status, signals, job control, what outlives it."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from support import clients, paths
from support.need import need
from support.proxy import Mood
from support.run import clean_environment, command_line, run_under

# Prints a mark, connects, and becomes the rest of its arguments.
STEP = """
import os, socket, sys
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print("python", one.getpeername()[1], "LD_PRELOAD" in os.environ, flush=True)
if sys.argv[2:]:
    os.execvp(sys.argv[2], sys.argv[2:])
"""


def python(program, *args, conf, **options):
    return run_under(sys.executable, ["-c", program, *args], conf=conf, via="supervised", **options)


def test_dynamic_and_static_programs_by_turns(conf, make_proxy, make_echo, tmp_path):
    """sh (dynamic) runs a static program, that becomes Python (dynamic), that becomes a Go program (static)."""
    proxy, echo = make_proxy(), make_echo()
    static = clients.static_c("connect_then", tmp_path)
    inner = [
        static,
        echo.port,
        sys.executable,
        "-c",
        STEP,
        echo.port,
        clients.go("go_dial"),
        "echo",
        f"127.0.0.1:{echo.port}",
    ]
    script = '"$@"; echo ended $?'
    result = run_under("sh", ["-c", script, "sh", *inner], conf=conf([proxy], "quiet_mode"), via="supervised").ok()
    assert result.out == f"static connected\npython {echo.port} True\n1 answered\nended 0\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 3


def test_a_preloaded_program_that_makes_system_calls_itself(conf, proxy, echo):
    program = f"""
import ctypes, socket, struct
to = struct.pack("=H", socket.AF_INET) + struct.pack("!H", {echo.port}) + socket.inet_aton("127.0.0.1") + bytes(8)
one = socket.socket()
number = {{"x86_64": 42, "aarch64": 203}}[__import__("platform").machine()]
print(ctypes.CDLL(None).syscall(number, one.fileno(), to, len(to)), one.getpeername()[1])
"""
    assert python(program, conf=conf([proxy], "quiet_mode")).ok().out == f"0 {echo.port}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_launcher_inside_with_proxies_of_its_own(conf, make_proxy, make_echo):
    """A preloaded program uses those that it was started with, and those alone."""
    outer, inner, echo = make_proxy(), make_proxy(), make_echo()
    words = [paths.LAUNCHER, "-q", "-f", conf([inner]), sys.executable, "-c", STEP, echo.port]
    result = run_under(words[0], words[1:], conf=conf([outer]), via="supervised").ok()
    assert result.out == f"python {echo.port} True\n"
    assert inner.targets == [("127.0.0.1", echo.port)]
    assert outer.targets == []


def test_a_launcher_inside_without_proxies_of_its_own(conf, proxy, echo):
    """It cannot supervise (there is one supervisor for a tree), and need not."""
    words = ["--strict", clients.go("go_dial"), "echo", f"127.0.0.1:{echo.port}"]
    result = run_under(paths.LAUNCHER, words, conf=conf([proxy]), via="supervised").ok()
    assert result.out == "1 answered\n" and "supervising" in result.err
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_static_program_in_a_launcher_with_other_proxies_is_not_started(conf, make_proxy, echo):
    """It would use the outer proxies: those that its user did not name."""
    outer, inner = make_proxy(), make_proxy()
    program = [clients.go("go_dial"), "echo", f"127.0.0.1:{echo.port}"]
    words = ["-f", conf([inner]), *program]
    result = run_under(paths.LAUNCHER, ["--strict", *words], conf=conf([outer]), via="supervised")
    assert result.code == 1 and "another supervisor" in result.err
    result = run_under(paths.LAUNCHER, words, conf=conf([outer]), via="supervised").ok()
    assert "another supervisor" in result.err and "the proxies of the outer proxychains4" in result.err
    assert outer.targets == [("127.0.0.1", echo.port)] and inner.targets == []


# -- who outlives whom

OUTLIVES = """
import os, socket, sys, time
if os.fork():
    os._exit(7)
os.setsid()
while os.getppid() == int(sys.argv[2]):
    time.sleep(0.01)
one = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
one.sendall(b"hello")
with open(sys.argv[3], "w") as file:
    file.write(one.recv(5).decode())
"""


def supervisors_of(config):
    """Processes named tailchain that hold this config's proxies; there are others on the machine."""
    found = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            if comm.read_text() == "tailchain\n" and str(config) in (comm.parent / "cmdline").read_text():
                found.append(int(comm.parent.name))
        except OSError:
            continue
    return found


def wait_until(holds, patience=20):
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("preloaded", [True, False])
def test_a_child_that_outlives_the_program(conf, proxy, echo, tmp_path, preloaded):
    """It goes on to be supervised; the supervisor ends with it. The program's status is told at once."""
    config, told = conf([proxy], "quiet_mode"), tmp_path / "told"
    program = f"import sys, os; pid = str(os.getpid()); sys.argv.insert(2, pid)\n{OUTLIVES}"
    words = [sys.executable, "-c", program, echo.port, told]
    words = words if preloaded else ["env", "-u", "LD_PRELOAD", *words]
    result = run_under(words[0], words[1:], conf=config, via="supervised")
    assert result.code == 7
    wait_until(lambda: told.exists() and told.read_text() == "hello")
    assert proxy.targets == [("127.0.0.1", echo.port)]
    wait_until(lambda: not supervisors_of(config))


# -- job control


def test_ctrl_z_and_fg(conf, proxy, echo):
    """On a terminal, under a shell: the program stops and goes on, and the supervisor is not in its job."""
    program = "import signal, socket, sys; print('up', flush=True); sys.stdin.readline(); " \
        f"print(socket.create_connection(('127.0.0.1', {echo.port})).getpeername()[1], flush=True)"  # fmt: skip
    argv, _ = command_line("env", ["-u", "LD_PRELOAD", sys.executable, "-c", program], "supervised", conf([proxy]))
    pid, terminal = pty.fork()
    if pid == 0:
        environment = {**clean_environment(), "PS1": "", "PS2": "", "HISTFILE": "/dev/null", "TERM": "dumb"}
        os.execve(need("bash"), ["bash", "--norc", "--noprofile", "-i"], {k: str(v) for k, v in environment.items()})
    said = ""

    def until(pattern):
        nonlocal said
        deadline = time.monotonic() + 30
        while not re.search(pattern, said):
            assert time.monotonic() < deadline, said
            if select.select([terminal], [], [], 0.5)[0]:
                said += os.read(terminal, 4096).decode(errors="replace")
        said = said[re.search(pattern, said).end() :]

    def type_in(text):
        os.write(terminal, text)

    try:
        type_in(b"stty -echo; set -b; echo re''ady\n")
        until(r"ready\r\n")
        words = " ".join("'" + str(word).replace("'", "'\\''") + "'" for word in argv)
        type_in(words.encode() + b"; echo sta''tus $?\n")
        until(r"up\r\n")
        type_in(b"\x1a")
        until(r"Stopped")
        type_in(b"echo still here\nfg >/dev/null; echo sta''tus $?\n")
        until(r"still here\r\n")
        type_in(b"go on\n")
        until(rf"{echo.port}\r\n")
        until(r"status 0\r\n")
        type_in(b"exit\n")
    finally:
        os.close(terminal)
        os.kill(pid, signal.SIGHUP)
        os.waitpid(pid, 0)
    assert proxy.targets == [("127.0.0.1", echo.port)]


# -- containers


def test_as_process_1(conf, proxy, echo):
    """The launcher becomes the program, which is process 1: it reaps its children, but not the supervisor."""
    program = f"""
import os, socket
assert os.getpid() == 1
print(socket.create_connection(('127.0.0.1', {echo.port})).getpeername()[1])
try:
    print(os.waitpid(-1, os.WNOHANG))
except ChildProcessError:
    print("no child")
"""
    enter = ["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    argv, _ = command_line("env", ["-u", "LD_PRELOAD", sys.executable, "-c", program], "supervised", conf([proxy]))
    result = run_under(need("unshare"), [*enter, *argv], via="bare").ok()
    assert result.out == f"{echo.port}\nno child\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_where_orphans_are_adopted_by_a_program_that_waits_for_all(conf, proxy):
    """A program that is a subreaper, as process 1 is, waits for its children until there is none."""
    program = """
import ctypes, os
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
if os.fork() == 0:
    if os.fork() == 0:
        os._exit(0)
    os._exit(0)
count = 0
while True:
    try:
        os.wait()
        count += 1
    except ChildProcessError:
        break
print(count)
"""
    assert python(program, conf=conf([proxy], "quiet_mode")).ok().out == "2\n"


# -- rights


def test_rights_are_not_gained(conf, proxy, make_directory):
    """no_new_privs, which a filter takes: a set-user-ID program runs as its caller. It is said."""
    if os.geteuid() != 0:
        pytest.skip("only root can make a set-user-ID program of another user")
    place = make_directory("rights")
    source, program = place / "who.c", place / "who"
    source.write_text(
        '#include <stdio.h>\n#include <unistd.h>\nint main(void) { return printf("%d\\n", geteuid()) < 0; }'
    )
    subprocess.run([need("cc"), source, "-o", program], check=True)
    os.chown(program, 65534, 65534)
    program.chmod(0o4755)
    assert run_under(program, via="bare").ok().out == "65534\n"
    result = run_under(program, conf=conf([proxy]), via="supervised").ok()
    assert result.out == "0\n"
    assert "gains no rights" in result.err


# -- children of a Go program, which is supervised without its tree being asked for


def test_a_static_program_that_a_go_program_starts(conf, make_proxy, echo):
    """On one epoll instance, which is made before or after the connects."""
    proxy = make_proxy(Mood(delay=0.1))
    words = ["run", clients.static_rust("tokio_echo"), echo.port, 20]
    result = run_under(clients.go("go_dial"), words, conf=conf([proxy], "quiet_mode")).ok()
    assert result.out == "20\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 20


EPOLL_LATER = """
import select, socket, sys
def dial():
    one = socket.socket()
    one.setblocking(False)
    assert one.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 115
    return one
first = dial()
epoll = select.epoll()
second = dial()
for one in [first, second]:
    epoll.register(one, select.EPOLLOUT | select.EPOLLET)
third = socket.socket()
third.setblocking(False)
epoll.register(third, select.EPOLLOUT | select.EPOLLET)
epoll.poll(0)
assert third.connect_ex(("127.0.0.1", int(sys.argv[1]))) == 115
waiting = {one.fileno(): one for one in [first, second, third]}
while waiting:
    for fd, events in epoll.poll(20):
        if fd in waiting:
            one = waiting.pop(fd)
            assert one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            epoll.modify(fd, select.EPOLLIN)
            one.send(b"hello")
heard = 0
while heard < 3:
    for fd, events in epoll.poll(20):
        heard += 1
        epoll.unregister(fd)
print(heard)
"""


def test_a_program_without_preload_that_a_go_program_starts(conf, make_proxy, echo):
    proxy = make_proxy(Mood(delay=0.2))
    words = ["run", "env", "-u", "LD_PRELOAD", sys.executable, "-c", EPOLL_LATER, echo.port]
    result = run_under(clients.go("go_dial"), words, conf=conf([proxy], "quiet_mode"), timeout=60).ok()
    assert result.out == "3\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 3


def test_a_preloaded_program_that_a_go_program_starts(conf, proxy, echo):
    words = ["run", sys.executable, "-c", STEP, echo.port]
    assert run_under(clients.go("go_dial"), words, conf=conf([proxy], "quiet_mode")).ok().out
    assert proxy.targets == [("127.0.0.1", echo.port)]
