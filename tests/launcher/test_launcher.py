"""The command `proxychains4`: options, environment, messages and exit status are those of proxychains-ng."""

import os
import pwd
import stat
import subprocess
from pathlib import Path

import pytest

from support import paths
from support.need import need
from support.probe import probe
from support.proxy import Mood
from support.run import finish, run_under, start


def connect_script(port):
    return probe("socket_script"), ["socket inet stream", f"connect 127.0.0.1 {port}"]


def launch(*words, **options):
    """Run the launcher with exactly these words."""
    return run_under(paths.LAUNCHER, words, via="bare", **options)


@pytest.fixture
def home(tmp_path):
    """A home and current directory without any config."""
    directory = tmp_path / "home"
    directory.mkdir()
    return directory


def test_without_a_program_it_shows_its_usage_and_exits_1():
    result = launch()
    assert result.code == 1
    assert "Usage" in result.out + result.err and "config_file" in result.out + result.err


def test_help_shows_the_usage():
    result = launch("--help")
    assert "Usage" in result.out + result.err


def test_the_config_the_library_and_its_start_are_printed(conf, proxy):
    config = conf([proxy])
    lines = run_under("true", conf=config).ok().err.splitlines()
    assert lines[0] == f"[proxychains] config file found: {config}"
    assert lines[1].startswith("[proxychains] preloading /") and ".so" in lines[1]
    assert lines[2].startswith("[proxychains] DLL init: ")
    assert len(lines) == 3


def test_q_is_silent(conf, proxy, echo):
    program, args = connect_script(echo.port)
    result = run_under(program, args, conf=conf([proxy]), options=["-q"]).ok()
    assert result.err == ""
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_q_is_silent_about_failures(conf, proxy, refusing):
    program, args = connect_script(refusing)
    assert run_under(program, args, conf=conf([proxy]), options=["-q"]).ok().err == ""


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_quiet_mode_in_the_file_is_silent(conf, proxy, echo, via):
    program, args = connect_script(echo.port)
    result = run_under(program, args, conf=conf([proxy], "quiet_mode"), via=via).ok()
    assert result.err == ""
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_config_of_the_current_directory_cannot_hide_that_it_is_used(conf, proxy, home):
    """It was not named explicitly: quiet_mode silences all else; 4.17 prints this line in any case."""
    file = home / "proxychains.conf"
    file.write_text(conf([proxy], "quiet_mode").read_text())
    result = launch("true", cwd=home, env={"HOME": home}).ok()
    assert result.err == f"[proxychains] config file found: {file}\n"
    nested = launch(paths.LAUNCHER, "true", cwd=home, env={"HOME": home}).ok()
    assert nested.err == result.err
    assert launch("-q", "true", cwd=home, env={"HOME": home}).ok().err == ""
    assert launch("true", cwd=home, env={"HOME": home, "PROXYCHAINS_QUIET_MODE": "1"}).ok().err == ""


def test_quiet_by_environment_is_silent(conf, proxy, echo):
    program, args = connect_script(echo.port)
    result = run_under(program, args, conf=conf([proxy]), via="preload", env={"PROXYCHAINS_QUIET_MODE": "1"}).ok()
    assert result.err == ""


@pytest.mark.parametrize("status", [0, 1, 3, 42, 255])
def test_the_exit_status_is_the_programs_own(conf, proxy, status):
    assert run_under("sh", ["-c", f"exit {status}"], conf=conf([proxy])).code == status


def test_the_death_by_a_signal_is_the_programs_own(conf, proxy):
    assert run_under("sh", ["-c", "kill -TERM $$"], conf=conf([proxy])).code == -15


def test_the_program_takes_the_launchers_place(conf, proxy):
    """The same pid: what supervises the launcher supervises the program."""
    process = start("sh", ["-c", "echo $$"], conf=conf([proxy]))
    assert finish(process).ok().out.strip() == str(process.pid)


def test_words_after_the_program_are_the_programs_own(conf, proxy):
    result = run_under("echo", ["-q", "-f", "x", "--help", "--", ""], conf=conf([proxy])).ok()
    assert result.out == "-q -f x --help -- \n"


def test_the_environment_of_the_program(conf, proxy):
    config = conf([proxy])
    result = run_under("env", conf=config, options=["-q"]).ok()
    variables = dict(line.split("=", 1) for line in result.out.splitlines() if "=" in line)
    assert variables["PROXYCHAINS_CONF_FILE"] == str(config)
    assert variables["PROXYCHAINS_QUIET_MODE"] == "1"
    assert variables["LD_PRELOAD"].startswith("/")


def test_without_q_the_program_is_not_told_to_be_quiet(conf, proxy):
    assert "PROXYCHAINS_QUIET_MODE" not in run_under("env", conf=conf([proxy])).ok().out


def test_an_earlier_preload_stays_behind_ours(conf, proxy, tmp_path):
    # An existing library, under 200 names: the variable has no limit of its own.
    earlier = []
    for number in range(200):
        link = tmp_path / f"{'long' * 10}-{number}.so"
        link.symlink_to(paths.LIBRARY)
        earlier.append(str(link))
    result = run_under("env", conf=conf([proxy]), env={"LD_PRELOAD": ":".join(earlier)}).ok()
    preload = next(line for line in result.out.splitlines() if line.startswith("LD_PRELOAD="))
    ours, *others = preload.removeprefix("LD_PRELOAD=").split(":")
    assert os.path.basename(ours) in ("libtailchain.so", "libproxychains4.so", paths.LIBRARY.name)
    assert others == earlier


def test_a_program_that_is_not_there(conf, proxy):
    result = run_under("no-such-program", conf=conf([proxy]))
    assert result.code == 1
    assert result.err.splitlines()[-1] == (
        "proxychains: can't load process 'no-such-program'. (hint: it's probably a typo): No such file or directory"
    )


def test_a_program_that_may_not_be_run(conf, proxy, tmp_path):
    file = tmp_path / "not-executable"
    file.write_text("")
    result = run_under(file, conf=conf([proxy]))
    assert result.code == 1
    assert result.err.splitlines()[-1] == (
        f"proxychains: can't load process '{file}'. (hint: it's probably a typo): Permission denied"
    )


def test_a_named_config_that_is_not_there_is_an_error(conf, proxy, home, tmp_path):
    """proxychains-ng silently takes the next one; but the user named this one."""
    conf([proxy]).rename(home / "proxychains.conf")
    missing = tmp_path / "missing.conf"
    result = launch("-f", missing, "true", cwd=home)
    assert result.code == 1
    assert str(missing) in result.err


@pytest.mark.parametrize("first", [0, 1, 2])
def test_the_config_is_searched_in_order(conf, proxy, home, tmp_path, first):
    """Every place from `first` on has a config; the first one is used."""
    current = tmp_path / "current"
    current.mkdir()
    text = conf([proxy]).read_text()
    places = [
        current / "proxychains.conf",
        home / ".proxychains/proxychains.conf",
        home / "config/settings/proxychains.conf",
    ]
    for place in places[first:]:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(text)
    result = launch("env", cwd=current, env={"HOME": home}).ok()
    found = result.err.splitlines()[0].removeprefix("[proxychains] config file found: ")
    assert (current / found).resolve() == places[first].resolve()


def test_the_environment_names_the_config(conf, proxy, home):
    config = conf([proxy])
    (home / "proxychains.conf").write_text(config.read_text())
    result = launch("true", cwd=home, env={"PROXYCHAINS_CONF_FILE": config}).ok()
    assert result.err.splitlines()[0] == f"[proxychains] config file found: {config}"


def test_f_wins_over_the_environment(conf, proxy, home):
    config, other = conf([proxy]), conf([proxy])
    result = launch("-f", config, "true", cwd=home, env={"PROXYCHAINS_CONF_FILE": other}).ok()
    assert result.err.splitlines()[0] == f"[proxychains] config file found: {config}"


@pytest.mark.parametrize("place", ["current", "home"])
def test_the_library_alone_searches_the_same_way(conf, proxy, echo, home, tmp_path, place):
    current = tmp_path / "current"
    (home / ".proxychains").mkdir(parents=True)
    current.mkdir()
    target = {"current": current / "proxychains.conf", "home": home / ".proxychains/proxychains.conf"}[place]
    target.write_text(conf([proxy]).read_text())
    program, args = connect_script(echo.port)
    run_under(program, args, via="preload", cwd=current, env={"HOME": home}).ok()
    assert proxy.targets == [("127.0.0.1", echo.port)]


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_a_config_without_a_proxy_stops_the_program(tmp_path, via):
    config = tmp_path / "empty.conf"
    config.write_text("strict_chain\n[ProxyList]\n")
    result = run_under("echo", ["started"], conf=config, via=via)
    assert result.code == 1
    assert "started" not in result.out


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_a_broken_config_names_file_and_line_and_stops_the_program(tmp_path, via):
    config = tmp_path / "broken.conf"
    config.write_text("strict_chain\n[ProxyList]\nsocks5 127.0.0.1 notaport\n")
    result = run_under("echo", ["started"], conf=config, via=via)
    assert result.code == 1
    assert "started" not in result.out
    assert f"{config}:3" in result.err


def test_the_password_of_a_broken_line_is_not_printed(tmp_path):
    config = tmp_path / "broken.conf"
    config.write_text("[ProxyList]\nsocks5 127.0.0.1 notaport ann hunter2\n")
    result = run_under("true", conf=config)
    assert result.code == 1
    assert "hunter2" not in result.err + result.out


def test_an_unknown_directive_is_a_warning_with_its_line(conf, proxy):
    result = run_under("true", conf=conf([proxy], "no_such_directive 1")).ok()
    assert ":2" in result.err and "no_such_directive" in result.err


def test_a_library_in_the_current_directory_is_not_taken(conf, proxy, tmp_path):
    """CVE-2015-3887: a user who can write the current directory must not run code as another user."""
    for name in ["libtailchain.so", "libproxychains4.so", "libproxychains.so.4"]:
        (tmp_path / name).write_text("not a library")
    result = run_under("true", conf=conf([proxy]), cwd=tmp_path).ok()
    assert f"preloading {tmp_path}" not in result.err


def static_program(directory):
    source = directory / "static.c"
    source.write_text("int main(void) { return 0; }\n")
    subprocess.run([need("cc"), "-static", str(source), "-o", str(directory / "static-program")], check=True)
    return directory / "static-program"


def test_a_static_program_gets_a_warning_and_strict_refuses_it(conf, proxy, tmp_path):
    """It cannot be preloaded, and would bypass the proxy without a supervisor."""
    program = static_program(tmp_path)
    config = conf([proxy])
    never = ["--supervise", "never"]
    warned = run_under(program, conf=config, options=never)
    assert warned.code == 0
    assert str(program) in warned.err and "static" in warned.err
    refused = run_under(program, conf=config, options=[*never, "--strict"])
    assert refused.code == 1
    assert str(program) in refused.err


def setuid_program(directory):
    """Another user's program: with one's own, setuid changes nothing, and ld.so preloads."""
    if os.geteuid() != 0:
        return need("su")
    program = directory / "setuid-true"
    program.write_bytes(Path("/bin/true").read_bytes())
    os.chown(program, pwd.getpwnam("nobody").pw_uid, -1)
    program.chmod(0o755 | stat.S_ISUID)
    return program


def test_a_setuid_program_gets_a_warning_and_strict_refuses_it(conf, proxy, tmp_path):
    program, config = setuid_program(tmp_path), conf([proxy])
    assert "setuid" in run_under(program, ["--version"], conf=config).err
    assert run_under(program, ["--version"], conf=config, options=["--strict"]).code == 1


def test_x_names_the_proxy_without_a_config(make_proxy, echo, home):
    proxy = make_proxy(Mood(users={"ann": "secret"}))
    program, args = connect_script(echo.port)
    url = f"socks5://ann:secret@{proxy.address}"
    result = launch("-x", url, program, *args, cwd=home, env={"HOME": home}).ok()
    assert proxy.targets == [("127.0.0.1", echo.port)]
    assert proxy.requests[0].user == "ann"
    assert "secret" not in result.err


@pytest.mark.parametrize("url", ["socks9://127.0.0.1:1", "socks5://\udcff"])
def test_an_error_in_the_urls_of_x_names_x(url, home):
    result = launch("-x", url, "true", cwd=home, env={"HOME": home})
    assert result.code == 1
    assert result.err.startswith("[proxychains] -x: "), result.err
    assert "[ProxyList]" not in result.err


def test_proxies_of_x_are_taken_from_x_and_those_of_the_variable_from_the_variable(proxy, home):
    url = f"socks5://{proxy.address}"
    by_option = launch("-x", url, "true", cwd=home, env={"HOME": home}).ok()
    assert by_option.err.startswith("[proxychains] proxies taken from -x\n")
    by_variable = launch("true", cwd=home, env={"HOME": home, "TAILCHAIN_PROXY": url}).ok()
    assert by_variable.err.startswith("[proxychains] proxies taken from TAILCHAIN_PROXY\n")
