"""`TAILCHAIN_BYPASS=REASON`: the same command line without a proxy."""

import pytest

from support import paths
from support.probe import probe
from support.run import run_under

BYPASS = {"TAILCHAIN_BYPASS": "no key"}
NOTICE = "[proxychains] no key: the program runs without a proxy\n"
# With -f or -x.
VOID_FILE = NOTICE.replace("a proxy", "a proxy; TAILCHAIN_BYPASS is set, -f has no effect")


def connect(port):
    return probe("socket_script"), ["socket inet stream", f"connect 127.0.0.1 {port}"]


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_connections_go_directly_with_one_line_about_it(conf, proxy, echo, via):
    program, args = connect(echo.port)
    result = run_under(program, args, conf=conf([proxy]), via=via, env=BYPASS).ok()
    assert result.err == (VOID_FILE if via == "launcher" else NOTICE)
    assert proxy.targets == []


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_names_are_libcs(conf, proxy, via):
    config = conf([proxy], "proxy_dns")
    words = ["ahosts", "db.invalid"]
    result = run_under("getent", words, conf=config, via=via, env=BYPASS)
    assert (result.code, result.out) == (2, "")
    run_under("getent", words, conf=config, via=via).ok()


@pytest.mark.parametrize("via", ["launcher", "preload"])
@pytest.mark.parametrize("how", ["-q", "quiet_mode"])
def test_quiet_is_silent(conf, proxy, via, how):
    config = conf([proxy], *(["quiet_mode"] if how == "quiet_mode" else []))
    options = ["-q"] if how == "-q" else []
    result = run_under("echo", ["ran"], conf=config, via=via, options=options, env=BYPASS).ok()
    if (via, how) == ("launcher", "quiet_mode"):
        # A config that is not used does not silence the line.
        assert result.err.startswith(NOTICE.strip())
    else:
        assert result.err == ""
    assert result.out == "ran\n"


def test_options_that_it_makes_void_are_named(conf, proxy):
    config = conf([proxy], "quiet_mode")
    for options in [["-f", config], ["-x", f"socks5://{proxy.address}"]]:
        result = run_under("echo", ["ran"], options=options, env=BYPASS).ok()
        expected = VOID_FILE.replace("-f", options[0])
        assert (result.out, result.err) == ("ran\n", expected)


def test_a_program_that_must_not_bypass_the_proxy_is_not_started(conf, proxy):
    for options in [["--strict"], ["-q", "--strict"]]:
        result = run_under("echo", ["ran"], conf=conf([proxy]), options=options, env=BYPASS)
        assert (result.code, result.out) == (1, "")
        assert result.err == (
            "[proxychains] --strict: echo is not started because TAILCHAIN_BYPASS is set (no key) and it would bypass"
            " the proxy; unset the variable or leave --strict out\n"
        )


def test_the_launcher_preloads_nothing(conf, proxy):
    result = run_under("env", conf=conf([proxy]), env=BYPASS).ok()
    assert "LD_PRELOAD" not in result.out


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_no_configuration_is_needed(tmp_path, via):
    missing = tmp_path / "missing.conf"
    result = run_under("echo", ["ran"], conf=missing, via=via, env=BYPASS).ok()
    assert (result.out, result.err) == ("ran\n", VOID_FILE if via == "launcher" else NOTICE)


def test_an_empty_reason_does_not_enable_the_bypass(conf, proxy, echo):
    program, args = connect(echo.port)
    run_under(program, args, conf=conf([proxy]), env={"TAILCHAIN_BYPASS": ""}).ok()
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_the_reason_stays_one_line(conf, proxy):
    env = {"TAILCHAIN_BYPASS": "no\nkey\x1b[2J" + "x" * 1000}
    error = run_under("true", conf=conf([proxy]), env=env).ok().err
    assert error.count("\n") == 1 and "\x1b" not in error and len(error) < 300


def test_a_program_that_is_not_there_fails_as_ever(conf, proxy):
    result = run_under("no-such-program", conf=conf([proxy]), env=BYPASS)
    assert result.code == 1 and "can't load process 'no-such-program'" in result.err


def command(*words):
    return run_under(paths.COMMAND, words, via="bare", env=BYPASS)


def test_explain_and_doctor_know_it(conf, proxy):
    config = conf([proxy], "proxy_dns")
    told = command("explain", "-f", config, "192.0.2.1", "80").ok().out
    assert told == "192.0.2.1:80: direct: TAILCHAIN_BYPASS, no key\n"
    assert "TAILCHAIN_BYPASS is set (no key)" in command("doctor", "-f", config).ok().out


def test_check_checks_the_file_all_the_same(tmp_path):
    broken = tmp_path / "broken.conf"
    broken.write_text("chain_len = x\n")
    result = command("check", broken)
    assert result.code == 1 and f"{broken}:1" in result.err
