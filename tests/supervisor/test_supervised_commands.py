"""What the commands print and do about programs that need a supervisor: with the directive, the option, --strict, and
in `tailchain run`."""

import signal
import sys

import pytest

from support import clients, paths
from support.need import need
from support.run import finish, run_under, start


def go_words(echo):
    return [clients.go("go_dial"), "echo", f"127.0.0.1:{echo.port}"]


def launch(config, program, *args, options=()):
    return run_under(program, args, conf=config, options=options)


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("mode", ["auto", "always", "never"])
def test_strict_starts_a_program_that_can_be_supervised(conf, proxy, echo, mode, strict):
    config = conf([proxy], f"supervise {mode}")
    result = launch(config, *go_words(echo), options=["--strict"] if strict else [])
    if mode != "never":
        assert result.ok().out == "1 answered\n" and "supervising" in result.err
        assert proxy.targets == [("127.0.0.1", echo.port)]
        return
    assert "it cannot be supervised: supervise never" in result.err
    assert (result.code, result.out) == ((1, "") if strict else (0, "1 answered\n"))
    assert proxy.targets == []


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_without_permission_strict_and_always_refuse(conf, proxy, echo, mode):
    sandbox = paths.ROOT / "tests" / "support" / "without_call.py"
    words = [
        sandbox,
        "pidfd_getfd",
        paths.LAUNCHER,
        "-f",
        conf([proxy], f"supervise {mode}"),
        "--strict",
        *go_words(echo),
    ]
    result = run_under(sys.executable, words, via="bare")
    assert result.code == 1 and "pidfd_getfd is not permitted" in result.err
    assert echo.received == []


def test_always_does_not_start_a_program_whose_calls_would_all_fail(conf, proxy, tmp_path):
    """A 32-bit program: the filter refuses its ABI."""
    header = b"\x7fELF\x01\x01\x01" + bytes(9) + bytes([2, 0, 3, 0, 1, 0, 0, 0]) + bytes(4) + bytes([52, 0, 0, 0])
    # One program header: PT_INTERP.
    header += bytes(8) + bytes([52, 0, 32, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    interpreter = b"/lib/ld-linux.so.2\0"
    segment = b"".join(word.to_bytes(4, "little") for word in [3, 84, 0, 0, len(interpreter), len(interpreter), 4, 1])
    program = tmp_path / "narrow"
    program.write_bytes(header + segment + interpreter)
    program.chmod(0o755)
    result = launch(conf([proxy], "supervise always"), program)
    assert result.code == 1 and "cannot be supervised: it is a 32-bit program" in result.err


SAID = {
    "auto": [],
    "always": ["supervised: every program (supervise always)"],
    "never": ["supervised: none, so static and Go programs bypass the proxy (supervise never)"],
}


@pytest.mark.parametrize("mode", SAID)
def test_check(conf, proxy, mode):
    result = run_under(paths.COMMAND, ["check", conf([proxy], f"supervise {mode}")], via="bare").ok()
    assert [line for line in result.out.splitlines() if "supervise" in line] == SAID[mode]


@pytest.mark.parametrize(("mode", "lines"), [("auto", 2), ("always", 2), ("never", 1)])
def test_explain(conf, proxy, mode, lines):
    """A program's own resolver gets an answer, however its server would be reached."""
    words = ["explain", "-f", conf([proxy], "proxy_dns", f"supervise {mode}")]
    said = run_under(paths.COMMAND, [*words, "192.0.2.53", 53], via="bare").ok().out.splitlines()
    assert len(said) == lines and "proxied" in said[0]
    assert lines == 1 or "DNS is answered here (proxy_dns)" in said[1]
    assert len(run_under(paths.COMMAND, [*words, "192.0.2.53", 5432], via="bare").ok().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("mode", "supervisor", "program"),
    [
        ("auto", "ok       supervisor: static and Go programs can be supervised", "ok       program: {} runs under"),
        ("always", "ok       supervisor: programs can be supervised, and all are", "ok       program: {} runs under"),
        ("never", "?        supervisor: not used (supervise never)", "PROBLEM  program: {} bypasses the proxy"),
    ],
)
def test_doctor(conf, proxy, mode, supervisor, program):
    file = clients.go("go_dial")
    result = run_under(paths.COMMAND, ["doctor", "-f", conf([proxy], f"supervise {mode}"), file], via="bare")
    assert result.code == (mode == "never")
    assert supervisor in result.out and program.format(file) in result.out


def test_doctor_where_always_is_not_permitted(conf, proxy):
    sandbox = paths.ROOT / "tests" / "support" / "without_call.py"
    words = [sandbox, "seccomp", paths.COMMAND, "doctor", "-f", conf([proxy], "supervise always"), "/bin/true"]
    result = run_under(sys.executable, words, via="bare")
    assert result.code == 1
    assert "PROBLEM  supervisor: programs are not started (supervise always)" in result.out


# -- tailchain run


@pytest.mark.parametrize("mode", ["auto", "always"])
def test_run_starts_a_go_program(tailscale, conf, echo, mode):
    config = conf([f"socks5 127.0.0.1 {tailscale.port}"], "proxy_dns", f"supervise {mode}")
    words = ["run", "-f", config, "--", clients.go("go_dial"), "echo", f"db.tail.test:{echo.port}"]
    result = run_under(paths.COMMAND, words, via="bare", env=tailscale.environment()).ok()
    assert result.out == "1 answered\n" and "supervising" in result.err


def test_run_as_process_1(tailscale, conf):
    """The supervisor becomes a child of process 1 when the program has ended: `run` must not wait for it."""
    config = conf([f"socks5 127.0.0.1 {tailscale.port}"], "supervise always")
    enter = ["--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    for command, code in [("exit 42", 42), ("kill -TERM $$", 128 + signal.SIGTERM)]:
        words = [*enter, paths.COMMAND, "run", "-f", config, "--", "sh", "-c", command]
        process = start(need("unshare"), words, via="bare", env=tailscale.environment())
        assert finish(process).code == code
