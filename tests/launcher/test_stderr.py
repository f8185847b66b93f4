"""A message does not harm the program, whatever its stderr or log file is: it neither kills, stops nor delays it, and
does not get into its data."""

import fcntl
import os
import pwd
import resource
import socket
import subprocess
import sys
from contextlib import closing, contextmanager, suppress

import pytest

from support.daemon import UNPRIVILEGED
from support.probe import probe
from support.run import clean_environment, command_line, run_under

WAYS = ["launcher", "preload"]
# Only against hangs.
PATIENCE = 30

TALK = ["socket inet stream", "connect 127.0.0.1 {port}", "send hello", "recv 5"]
TALK_LATER = ["socket inet stream 0 nonblock", "connect 127.0.0.1 {port}", "wait 10000", "send hello"]


def call(program, args, conf, via, **options):
    """Run it with these streams; returns its exit status, negative for a signal."""
    argv, environment = command_line(program, args, via, conf)
    process = subprocess.Popen(argv, env=clean_environment(environment), **options)
    try:
        return process.wait(PATIENCE)
    finally:
        process.kill()


def talk(port, conf, via, stderr, operations=TALK, **options):
    """The output of a program that connects and exchanges data."""
    argv, environment = command_line(
        probe("socket_script"), [operation.format(port=port) for operation in operations], via, conf
    )
    result = subprocess.run(
        argv,
        env=clean_environment(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        timeout=PATIENCE,
        **options,
    )
    assert result.returncode == 0, result
    return [line.split(" -> ", 1)[1] for line in result.stdout.decode().splitlines()]


CONNECTED = ["3", "0", "5", "5 hello"]


@contextmanager
def pipe():
    """Its ends as files, which may be closed more than once."""
    read, write = os.pipe()
    with open(read, "rb", buffering=0) as reader, open(write, "wb", buffering=0) as writer:
        yield reader, writer


@pytest.fixture
def unheard():
    """A pipe without a reader."""
    with pipe() as (reader, writer):
        reader.close()
        yield writer


def fill(file):
    """Until it is full; the flags are restored."""
    fd = file.fileno()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_NONBLOCK)
    for size in [4096, 1]:
        with suppress(BlockingIOError):
            while True:
                os.write(fd, b"x" * size)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags)


@pytest.fixture
def full():
    """A full pipe that is never read."""
    with pipe() as (_, writer):
        fill(writer)
        yield writer


# -- no reader


@pytest.mark.parametrize("via", WAYS)
def test_a_stderr_without_a_reader_kills_no_program(conf, proxy, unheard, via):
    assert call("/bin/true", [], conf([proxy]), via, stderr=unheard) == 0


@pytest.mark.parametrize("via", WAYS)
def test_nor_one_that_connects(conf, proxy, echo, unheard, via):
    assert talk(echo.port, conf([proxy]), via, unheard) == CONNECTED
    assert talk(echo.port, conf([proxy]), via, unheard, TALK_LATER)[-1] == "5"


def test_the_launchers_own_failure_is_its_exit_status(conf, proxy, unheard):
    assert call("no-such-program", [], conf([proxy]), "launcher", stderr=unheard) == 1


SIGPIPES = """
import signal, socket, sys, threading
seen = []
signal.signal(signal.SIGPIPE, lambda *_: seen.append(1))
def connect():
    for _ in range(3):
        socket.create_connection(("127.0.0.1", int(sys.argv[1]))).close()
connect()
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGPIPE])
connect()
pending = signal.sigpending()
signal.pthread_kill(threading.get_ident(), signal.SIGPIPE)
connect()
kept = signal.sigpending()
mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
print(len(seen), pending == set(), kept == {signal.SIGPIPE}, mask == {signal.SIGPIPE})
"""


def test_a_program_that_handles_or_blocks_sigpipe_gets_none_of_ours(conf, proxy, echo, unheard):
    argv, environment = command_line(sys.executable, ["-c", SIGPIPES, echo.port], "preload", conf([proxy]))
    result = subprocess.run(
        argv, env=clean_environment(environment), stdout=subprocess.PIPE, stderr=unheard, timeout=PATIENCE
    )
    assert result.stdout.split() == [b"0", b"True", b"True", b"True"]


# -- a reader that does not read


@pytest.mark.parametrize("via", WAYS)
def test_a_full_stderr_delays_no_program(conf, proxy, echo, full, via):
    """Lines are lost; the program does not wait for the reader."""
    assert talk(echo.port, conf([proxy]), via, full) == CONNECTED


LOOP = """
import asyncio, sys
async def one():
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()
async def all():
    await asyncio.gather(*(one() for _ in range(20)))
asyncio.run(all())
print("done")
"""


@pytest.mark.parametrize("kind", ["pipe", "unix socket"])
def test_a_full_stderr_does_not_stop_the_helper(conf, proxy, echo, full, kind):
    argv, environment = command_line(sys.executable, ["-c", LOOP, echo.port], "preload", conf([proxy]))
    near, far = socket.socketpair()
    with near, far:
        fill(near)
        stderr = full if kind == "pipe" else near
        result = subprocess.run(
            argv, env=clean_environment(environment), stdout=subprocess.PIPE, stderr=stderr, timeout=PATIENCE
        )
    assert result.stdout == b"done\n"


def test_the_flags_of_stderr_stay(conf, proxy, echo):
    """O_NONBLOCK belongs to the open file description, which the program and its parent share."""
    with pipe() as (reader, writer):
        before = fcntl.fcntl(writer, fcntl.F_GETFL)
        assert talk(echo.port, conf([proxy]), "preload", writer) == CONNECTED
        assert fcntl.fcntl(writer, fcntl.F_GETFL) == before
        assert f"  ...  127.0.0.1:{echo.port}  ...  OK\n" in reader.read(65536).decode()


@pytest.mark.parametrize("stderr", ["heard", "unheard", "full"])
def test_an_older_kernel_does_it_in_more_calls(conf, make_proxy, echo, stderr, request):
    """Without RWF_NOSIGNAL of pwritev2(2) (Linux 6.18)."""
    config = conf([make_proxy(names={"db.example": ("127.0.0.1", None)})], "proxy_dns")
    words = ["db.example", echo.port, "deny", "pwritev2"]
    argv, environment = command_line(probe("sandbox"), words, "preload", config)
    with pipe() as (reader, writer):
        said_to = writer if stderr == "heard" else request.getfixturevalue(stderr)
        subprocess.run(argv, env=clean_environment(environment), stderr=said_to, timeout=PATIENCE, check=True)
        writer.close()
        said = reader.read(65536).decode() if stderr == "heard" else None
    assert said is None or said.count(f"  ...  db.example:{echo.port}  ...  OK\n") == 2


# -- signals from a terminal and from a limit

TERMINAL = """
import fcntl, os, pty, signal, subprocess, sys, termios
how = sys.argv[1]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
if how == "background":
    modes = termios.tcgetattr(slave)
    modes[3] |= termios.TOSTOP
    termios.tcsetattr(slave, termios.TCSANOW, modes)
else:
    termios.tcflow(slave, termios.TCOOFF)
child = subprocess.Popen(sys.argv[2:], stderr=slave, process_group=0)
_, status = os.waitpid(child.pid, os.WUNTRACED)
print("stopped" if os.WIFSTOPPED(status) else os.waitstatus_to_exitcode(status))
if os.WIFSTOPPED(status):
    os.kill(child.pid, signal.SIGKILL)
elif how == "background":
    print("DLL init" in os.read(master, 65536).decode())
"""


@pytest.mark.parametrize("via", WAYS)
def test_a_background_program_is_not_stopped_by_a_message(conf, proxy, via):
    """`stty tostop`: a background process that writes gets SIGTTOU."""
    argv, environment = command_line("/bin/true", [], via, conf([proxy]))
    words = ["-c", TERMINAL, "background", "env", *(f"{name}={value}" for name, value in environment.items()), *argv]
    assert run_under(sys.executable, words, via="bare", timeout=PATIENCE).ok().out == "0\nTrue\n"


@pytest.mark.parametrize("via", WAYS)
def test_a_terminal_that_was_stopped_delays_no_program(conf, proxy, via):
    """Ctrl-S."""
    argv, environment = command_line("/bin/true", [], via, conf([proxy]))
    words = ["-c", TERMINAL, "stopped", "env", *(f"{name}={value}" for name, value in environment.items()), *argv]
    assert run_under(sys.executable, words, via="bare", timeout=PATIENCE).ok().out == "0\n"


def no_file_may_grow():
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("place", ["stderr", "log_file"])
def test_a_file_that_may_not_grow_kills_no_program(conf, proxy, tmp_path, via, place):
    """`ulimit -f`: a process that writes beyond it gets SIGXFSZ."""
    config = conf([proxy], *([f"log_file {tmp_path}/log"] if place == "log_file" else []))
    with open(tmp_path / "stderr", "wb") as stderr:
        assert call("/bin/true", [], config, via, stderr=stderr, preexec_fn=no_file_may_grow) == 0


# -- a socket as stderr


@contextmanager
def tcp_pair():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        service, _ = listener.accept()
        with client, service:
            yield client, service


@contextmanager
def unix_pair():
    client, service = socket.socketpair()
    with client, service:
        yield client, service


def heard(peer):
    """All that arrives."""
    with closing(peer.makefile("rb")) as stream:
        return stream.read()


@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_nothing_is_written_to_the_client_of_a_service(conf, proxy, echo, via, pair):
    """As started by inetd, socket activation and socat: the client is stdin, stdout and stderr."""
    words = [operation.format(port=echo.port) for operation in TALK]
    with pair() as (client, service):
        status = call(probe("socket_script"), words, conf([proxy]), via, stdin=service, stdout=service, stderr=service)
        service.close()
        said = heard(client).decode()
    assert status == 0
    assert len(said.splitlines()) == len(TALK) and "proxychains" not in said


@pytest.mark.parametrize("via", WAYS)
def test_nothing_is_written_to_a_connection(conf, proxy, via):
    with tcp_pair() as (client, service):
        assert call("/bin/true", [], conf([proxy]), via, stdin=subprocess.DEVNULL, stderr=service) == 0
        service.close()
        assert heard(client) == b""


@pytest.mark.parametrize("via", WAYS)
def test_a_unix_socket_for_messages_gets_them(conf, proxy, via):
    """journald and Node give their children one as stderr, or as stdout and stderr."""
    with unix_pair() as (reader, writer):
        status = call("/bin/true", [], conf([proxy]), via, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer)
        assert status == 0
        writer.close()
        assert b"[proxychains] DLL init" in heard(reader)


@pytest.mark.parametrize("via", WAYS)
def test_a_unix_socket_without_a_reader_kills_no_program(conf, proxy, via):
    with unix_pair() as (reader, writer):
        reader.close()
        assert call("/bin/true", [], conf([proxy]), via, stdin=subprocess.DEVNULL, stderr=writer) == 0


# -- log_file


@pytest.mark.parametrize("via", WAYS)
def test_a_fifo_as_log_file_does_not_hang(conf, proxy, echo, tmp_path, via):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    assert talk(echo.port, conf([proxy], f"log_file {fifo}"), via, subprocess.DEVNULL) == CONNECTED


@pytest.mark.parametrize("via", WAYS)
def test_a_fifo_with_a_reader_gets_the_lines(conf, proxy, echo, tmp_path, via):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        assert talk(echo.port, conf([proxy], f"log_file {fifo}"), via, subprocess.DEVNULL) == CONNECTED
        assert b"  ...  OK\n" in reader.read(65536)


def test_a_full_fifo_as_log_file_does_not_hang(conf, proxy, echo, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with open(os.open(fifo, os.O_RDWR), "wb", buffering=0) as both:
        fill(both)
        assert talk(echo.port, conf([proxy], f"log_file {fifo}"), "preload", subprocess.DEVNULL) == CONNECTED


@pytest.mark.parametrize("path", ["/dev/stderr", "link"])
def test_a_link_of_the_user_or_of_root_is_followed(conf, proxy, tmp_path, path):
    log = tmp_path / "log"
    if path == "link":
        path = tmp_path / "link"
        path.symlink_to(log)
    with open(log, "wb") as stderr:
        assert call("/bin/true", [], conf([proxy], f"log_file {path}"), "preload", stderr=stderr) == 0
    assert "DLL init" in log.read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason="links of another user can be made by root alone")
def test_a_link_of_another_user_is_not_followed(conf, proxy, tmp_path):
    """It leads to a file of that user's choice, e.g. one of this user's."""
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("")
    link.symlink_to(victim)
    os.chown(link, pwd.getpwnam(UNPRIVILEGED).pw_uid, -1, follow_symlinks=False)
    assert call("/bin/true", [], conf([proxy], f"log_file {link}"), "preload", stderr=subprocess.DEVNULL) == 0
    assert victim.read_text() == ""
