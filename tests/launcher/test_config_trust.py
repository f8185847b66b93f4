"""Another user's file never decides where a program connects to, in any directory.

The user is the one who runs the tests; the neighbour is another user. The user has a valid config in HOME, and a `trap`
is in the current directory: a program that uses it connects through another proxy.
"""

import os
import pwd
import shutil
import stat

import pytest

from support import paths
from support.config import config_text
from support.daemon import UNPRIVILEGED
from support.need import need
from support.probe import probe
from support.run import run_under

WAYS = ["launcher", "preload"]
# Against hangs: a FIFO has no writer, ever.
PATIENCE = 30

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of another user can be made by root alone")


def neighbour():
    return pwd.getpwnam(UNPRIVILEGED).pw_uid


def give(path, mode=None):
    """Give the path to the neighbour."""
    os.chown(path, neighbour(), neighbour(), follow_symlinks=False)
    if mode is not None:
        path.chmod(mode)


@pytest.fixture
def trap(make_proxy):
    return make_proxy()


@pytest.fixture
def home(tmp_path, proxy):
    """HOME, with the valid config."""
    file = tmp_path / "home/.proxychains/proxychains.conf"
    file.parent.mkdir(parents=True)
    file.write_text(config_text([proxy]))
    return tmp_path / "home"


@pytest.fixture
def current(tmp_path):
    """The directory that the program starts in."""
    directory = tmp_path / "current"
    directory.mkdir(mode=0o755)
    return directory


def plant(directory, trap, *directives):
    """A config in that directory with the trap's proxy."""
    file = directory / "proxychains.conf"
    file.write_text(config_text([trap], *directives))
    file.chmod(0o644)
    return file


def talk(port, via, current, home, **options):
    """Connect and exchange data, in that directory and with that HOME."""
    operations = ["socket inet stream", f"connect 127.0.0.1 {port}", "send hello", "recv 5"]
    env = {"HOME": home, **options.pop("env", {})}
    return run_under(probe("socket_script"), operations, via=via, cwd=current, env=env, timeout=PATIENCE, **options)


def connected(result):
    return [line.split(" -> ", 1)[1] for line in result.ok().out.splitlines()][1:] == ["0", "5", "5 hello"]


def warning(file, why):
    return (
        f"[proxychains] warning: {file}: this config file is not used: {why};"
        " name it with -f or PROXYCHAINS_CONF_FILE to use it all the same"
    )


def assert_ignored(result, file, why, proxy, trap):
    """The valid config was used, and one warning names the other."""
    assert connected(result)
    assert (len(proxy.requests), len(trap.requests)) == (1, 0)
    assert result.err.splitlines().count(warning(file, why)) == 1, result.err


# -- the current directory


@pytest.mark.parametrize("via", WAYS)
def test_a_file_of_ones_own_in_a_directory_of_ones_own_is_found(home, current, trap, proxy, echo, via):
    """As with proxychains-ng: a project contains its config. On Heroku the directory is /app, of the dyno's user."""
    plant(current, trap).chmod(0o600)
    current.chmod(0o700)
    result = talk(echo.port, via, current, home)
    assert connected(result) and "warning" not in result.err
    assert (len(proxy.requests), len(trap.requests)) == (0, 1)


@needs_root
@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("mode", [0o1777, 0o777])
def test_the_neighbours_file_in_a_public_directory_is_ignored(home, current, trap, proxy, echo, via, mode):
    file = plant(current, trap, "localnet 0.0.0.0/0")
    give(file)
    current.chmod(mode)
    why = f"it belongs to another user (uid {neighbour()})"
    assert_ignored(talk(echo.port, via, current, home), file, why, proxy, trap)


@needs_root
@pytest.mark.parametrize("via", WAYS)
def test_the_neighbours_file_names_no_file_that_is_appended_to(home, current, trap, echo, tmp_path, via):
    """The neighbour's code would run as the user: the next shell reads this file."""
    victim = tmp_path / ".bashrc"
    victim.write_text("")
    file = current / "proxychains.conf"
    file.write_text(f"log_file {victim}\n`touch owned`\n[ProxyList]\n{trap.line()}\n")
    give(file)
    current.chmod(0o1777)
    assert connected(talk(echo.port, via, current, home))
    assert victim.read_text() == ""


@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("mode", [0o1777, 0o777, 0o757])
def test_a_directory_that_others_may_write_is_ignored(home, current, trap, proxy, echo, via, mode):
    """They can move files of the user there that were made for another purpose."""
    file = plant(current, trap)
    current.chmod(mode)
    result = talk(echo.port, via, current, home)
    assert_ignored(result, file, "other users may write its directory", proxy, trap)


@pytest.mark.parametrize("via", WAYS)
def test_a_file_that_others_may_write_is_ignored(home, current, trap, proxy, echo, via):
    file = plant(current, trap)
    file.chmod(0o646)
    assert_ignored(talk(echo.port, via, current, home), file, "other users may write it", proxy, trap)


@needs_root
@pytest.mark.parametrize("via", WAYS)
def test_a_directory_of_the_neighbour_is_ignored(home, current, trap, proxy, echo, via):
    file = plant(current, trap)
    give(current)
    why = f"its directory belongs to another user (uid {neighbour()})"
    assert_ignored(talk(echo.port, via, current, home), file, why, proxy, trap)


@needs_root
@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("group, counts", [(os.getgid(), True), (neighbour(), False)])
def test_a_group_may_write_if_it_is_the_owners_own(home, current, trap, echo, via, group, counts):
    """With a umask of 002 and a group for each user, everything is writable by the group."""
    file = plant(current, trap)
    for path in [file, current]:
        os.chown(path, -1, group)
        path.chmod(path.stat().st_mode | stat.S_IWGRP)
    assert connected(talk(echo.port, via, current, home))
    assert len(trap.requests) == (1 if counts else 0)


@pytest.mark.parametrize("via", WAYS)
def test_a_fifo_does_not_hang(home, current, trap, proxy, echo, via):
    file = current / "proxychains.conf"
    os.mkfifo(file)
    assert_ignored(talk(echo.port, via, current, home), file, "it is not a regular file", proxy, trap)


@pytest.mark.parametrize("via", WAYS)
def test_a_link_is_ignored(home, current, trap, proxy, echo, tmp_path, via):
    file = current / "proxychains.conf"
    file.symlink_to(plant(tmp_path, trap))
    assert_ignored(talk(echo.port, via, current, home), file, "it is a symbolic link", proxy, trap)


@pytest.mark.parametrize("via", WAYS)
def test_its_log_file_is_ignored_and_that_is_said(home, current, trap, echo, tmp_path, via):
    """A directory may have been cloned or unpacked: its files are the user's own, but another person wrote them. This
    also holds for all descendants of the launcher that found it."""
    log = tmp_path / "log"
    file = plant(current, trap, f"log_file {log}")
    words = ["-c", '"$@"', "sh", probe("socket_script"), "socket inet stream", f"connect 127.0.0.1 {echo.port}"]
    result = run_under("sh", words, via=via, cwd=current, env={"HOME": home}).ok()
    assert len(trap.requests) == 1
    assert not log.exists()
    assert (
        f"`log_file {log}`: this directive is ignored in a file that was found in the current directory;"
        " name the file with -f or PROXYCHAINS_CONF_FILE" in result.err
    )
    assert len(result.chains) == 1
    named = talk(echo.port, via, current, home, conf=file).ok()
    assert named.chains == [] and "Strict chain" in log.read_text()


# -- HOME


@needs_root
@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("what", ["file", "directory", "writable"])
def test_the_neighbours_file_in_home_is_ignored(home, current, trap, proxy, echo, tmp_path, via, what):
    """As after `su` without a login shell, or if HOME is a public directory."""
    good = home / ".proxychains/proxychains.conf"
    other = home / "config/settings/proxychains.conf"
    other.parent.mkdir(parents=True)
    other.write_text(good.read_text())
    file = plant(good.parent, trap)
    if what == "writable":
        file.parent.chmod(0o777)
    else:
        give(file if what == "file" else file.parent)
    why = {
        "file": f"it belongs to another user (uid {neighbour()})",
        "directory": f"its directory belongs to another user (uid {neighbour()})",
        "writable": "other users may write its directory",
    }[what]
    assert_ignored(talk(echo.port, via, current, home), file, why, proxy, trap)


@pytest.mark.parametrize("via", WAYS)
def test_a_link_in_home_is_followed(home, current, proxy, echo, via):
    """Dotfile managers create such links."""
    file = home / ".proxychains/proxychains.conf"
    file.rename(home / "dotfile")
    file.symlink_to(home / "dotfile")
    assert connected(talk(echo.port, via, current, home))
    assert len(proxy.requests) == 1


@needs_root
@pytest.mark.parametrize("via", WAYS)
def test_a_link_in_home_to_the_neighbours_file_is_ignored(home, current, trap, echo, tmp_path, via):
    file = home / ".proxychains/proxychains.conf"
    other = home / "config/settings/proxychains.conf"
    other.parent.mkdir(parents=True)
    file.rename(other)
    planted = plant(tmp_path, trap)
    give(planted)
    file.symlink_to(planted)
    result = talk(echo.port, via, current, home)
    assert connected(result) and trap.requests == []
    assert "belongs to another user" in result.err


# -- a file that was named explicitly


@pytest.mark.parametrize("via", WAYS)
def test_a_file_that_was_named_is_anybodys(home, current, proxy, trap, echo, via):
    file = plant(current, trap)
    if os.geteuid() == 0:
        give(file, 0o666)
    current.chmod(0o777)
    assert connected(talk(echo.port, via, home, home, conf=file))
    assert len(trap.requests) == 1


@pytest.mark.parametrize("via", WAYS)
def test_a_fifo_that_was_named_is_an_error(home, current, tmp_path, via):
    file = tmp_path / "fifo"
    os.mkfifo(file)
    result = run_under("echo", ["started"], conf=file, via=via, cwd=current, env={"HOME": home}, timeout=PATIENCE)
    assert (result.code, result.out) == (1, "")
    assert f"{file}: this config file cannot be used" in result.err
    assert "it is not a regular file; name another one" in result.err


@needs_root
@pytest.mark.parametrize("via", WAYS)
def test_a_relative_name_in_the_environment_means_another_file_in_each_directory(
    home, current, trap, echo, tmp_path, via
):
    """So it is treated as one that was found there: it must be the user's own, and its log_file is ignored."""
    log = tmp_path / "log"
    file = plant(current, trap, f"log_file {log}")
    env = {"PROXYCHAINS_CONF_FILE": "proxychains.conf"}
    result = talk(echo.port, via, current, home, env=env)
    assert connected(result) and len(trap.requests) == 1
    assert not log.exists() and f"`log_file {log}`: this directive is ignored" in result.err
    give(file)
    result = talk(echo.port, via, current, home, env=env)
    assert (result.code, result.out) == (1, "")
    assert (
        "proxychains.conf: this config file cannot be used (named by PROXYCHAINS_CONF_FILE): it belongs" in result.err
    )
    assert "write its absolute path" in result.err


@pytest.mark.parametrize("via", WAYS)
def test_a_file_that_is_no_config_by_its_size_is_not_read(home, current, trap, proxy, echo, via):
    """A disk image or a log by mistake: each process would read it whole."""
    file = plant(current, trap)
    file.write_text("#\n" * (1 << 20) + file.read_text())
    found = talk(echo.port, via, current, home)
    assert connected(found)
    assert (len(proxy.requests), len(trap.requests)) == (1, 0)
    assert f"warning: {file}: this config file is not used: it is larger than 1 MiB; remove it" in found.err
    named = talk(echo.port, via, current, home, conf=file)
    assert (named.code, named.out) == (1, "")
    assert f"{file}: this config file cannot be used" in named.err and "it is larger than 1 MiB" in named.err


# -- what the launcher found holds for all descendants

GRANDCHILD = """
cd "$1"
shift
export ALL_PROXY="$TRAP" all_proxy="$TRAP" NO_PROXY='*' no_proxy='*' HOME="$PWD"
exec "$@"
"""


def descend(port, trap, elsewhere, **options):
    """The launcher starts a shell, which changes to a directory with a trap, and sets all variables to the trap."""
    file = plant(elsewhere, trap)
    (elsewhere / ".proxychains").mkdir()
    shutil.copy(file, elsewhere / ".proxychains")
    operations = ["socket inet stream", f"connect 127.0.0.1 {port}", "send hello", "recv 5"]
    words = ["-c", GRANDCHILD, "sh", elsewhere, probe("socket_script"), *operations]
    options["env"] = {"TRAP": f"socks5://{trap.address}", **options.get("env", {})}
    return run_under("sh", words, **options)


@pytest.fixture
def elsewhere(tmp_path):
    directory = tmp_path / "elsewhere"
    directory.mkdir()
    return directory


@pytest.mark.parametrize("how", ["current", "home", "-f", "-x", "TAILCHAIN_PROXY", "PROXYCHAINS_CONF_FILE"])
def test_descendants_use_what_the_launcher_found(home, current, trap, proxy, echo, elsewhere, how):
    options, env = [], {"HOME": home}
    file = home / ".proxychains/proxychains.conf"
    url = f"socks5://{proxy.address}"
    if how == "current":
        file.rename(current / "proxychains.conf")
    elif how == "-f":
        options = ["-f", os.path.relpath(file, current)]
    elif how == "-x":
        options = ["-x", url]
        # An outer launcher's.
        env["TAILCHAIN_NO_PROXY"] = "*"
    elif how == "TAILCHAIN_PROXY":
        env[how] = url
    elif how == "PROXYCHAINS_CONF_FILE":
        env[how] = os.path.relpath(file, current)
    assert connected(descend(echo.port, trap, elsewhere, cwd=current, options=options, env=env))
    assert (len(proxy.requests), len(trap.requests)) == (1, 0)


HIDDEN_ETC = 'mount -t tmpfs none /etc && exec "$@"'


def without_etc(words):
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    return need("unshare"), [*user, "--mount", "sh", "-c", HIDDEN_ETC, "sh", *words]


@pytest.mark.parametrize("exceptions, proxied", [("192.0.2.0/24", True), ("127.0.0.0/8", False)])
def test_descendants_use_the_all_proxy_that_the_launcher_found(
    current, trap, proxy, echo, elsewhere, exceptions, proxied
):
    """With its exceptions, even if the environment has changed since."""
    plant(elsewhere, trap)
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "send hello", "recv 5"]
    start = GRANDCHILD.replace("NO_PROXY='*' no_proxy='*'", "NO_PROXY=192.0.2.1 no_proxy=192.0.2.1")
    words = [paths.LAUNCHER, "sh", "-c", start, "sh", elsewhere, probe("socket_script"), *operations]
    env = {
        "ALL_PROXY": f"socks5://{proxy.address}",
        "NO_PROXY": exceptions,
        "TRAP": f"socks5://{trap.address}",
        "HOME": current,
    }
    program, words = without_etc(words)
    result = run_under(program, words, via="bare", cwd=current, env=env)
    assert connected(result)
    assert "[proxychains] proxies taken from ALL_PROXY" in result.err.splitlines()
    assert (len(proxy.requests), len(trap.requests)) == (1 if proxied else 0, 0)


@needs_root
def test_what_the_launcher_found_must_still_be_the_users_own(home, current, trap, echo):
    """A user who can write a directory further up can replace it meanwhile."""
    file = plant(current, trap)
    exchange = f"chown {neighbour()} {file}; exec echo started"
    result = run_under("sh", ["-c", exchange], cwd=current, env={"HOME": home})
    assert (result.code, result.out) == (1, "")
    assert f"{file}: this config file cannot be used" in result.err and "another user" in result.err


def test_no_other_config_error_says_why_the_found_one_is_ignored(current):
    file = current / "proxychains.conf"
    os.mkfifo(file)
    for program in ([paths.LAUNCHER, "echo"], ["env", f"LD_PRELOAD={paths.LIBRARY}", "echo"]):
        command, words = without_etc([*program, "started"])
        result = run_under(command, words, via="bare", cwd=current, env={"HOME": current}, timeout=PATIENCE)
        assert (result.code, result.out) == (1, "")
        assert f"{file}: this config file is not used: it is not a regular file" in result.err


def test_check_names_an_ignored_file(home, current):
    os.mkfifo(current / "proxychains.conf")
    result = run_under(paths.COMMAND, ["check"], via="bare", cwd=current, env={"HOME": home}, timeout=PATIENCE).ok()
    assert result.out.startswith(f"{home}/.proxychains/proxychains.conf: understood")
    assert "is not used: it is not a regular file" in result.err
    assert run_under(paths.COMMAND, ["check", "--strict"], via="bare", cwd=current, env={"HOME": home}).code == 1


# -- an ordinary user, and set-user-ID programs

# /etc and the name table of this mount namespace only, with a config, a library for all programs, and nothing else.
OWN_ETC = """
set -e
mount -t tmpfs -o mode=755 none /etc
mount -t tmpfs -o mode=1777 none /dev/shm
cp -a "$1"/. /etc/
chown -R 0:0 /etc
shift
exec "$@"
"""


def as_neighbour(*words):
    user = neighbour()
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", *words]


@pytest.fixture
def within_reach(make_directory):
    """Copies of the programs that an ordinary user runs, accessible wherever this checkout is."""
    directory = make_directory("trust")
    for file in [paths.LIBRARY, paths.LAUNCHER, probe("socket_script")]:
        shutil.copy(file, directory)
        (directory / file.name).chmod(0o755)
    return directory


def set_user_id(program):
    """It runs as a third user: neither root, which could do harm if it were left behind, nor the one who starts it."""
    os.chown(program, pwd.getpwnam("daemon").pw_uid, -1)
    program.chmod(0o4755)
    return program


@pytest.fixture
def etc(tmp_path, proxy, within_reach):
    directory = tmp_path / "etc"
    directory.mkdir()
    (directory / "proxychains.conf").write_text(config_text([proxy], f"log_file {tmp_path}/log-of-etc"))
    (directory / "ld.so.preload").write_text(f"{within_reach}/{paths.LIBRARY.name}\n")
    return directory


def in_own_etc(etc, *words, **options):
    unshare = ["--mount", "--propagation=private", "sh", "-c", OWN_ETC, "sh", etc, *words]
    return run_under(need("unshare"), unshare, via="bare", timeout=PATIENCE, **options)


@pytest.fixture
def neighbours(within_reach, trap):
    """What the neighbour prepares for others' programs: an environment and a directory full of traps."""
    directory = within_reach / "neighbours"
    directory.mkdir(exist_ok=True)
    (directory / ".proxychains").mkdir(exist_ok=True)
    log = directory / "log"
    for place in [directory, directory / ".proxychains"]:
        give(plant(place, trap, f"log_file {log}"))
        give(place)
    # So that a program that follows the variables can write there.
    directory.chmod(0o777)
    file = directory / "proxychains.conf"
    return directory, {
        "HOME": directory,
        "PROXYCHAINS_CONF_FILE": file,
        "PROXYCHAINS_QUIET_MODE": "1",
        "TAILCHAIN_PROXY": f"socks5://{trap.address}",
        "TAILCHAIN_NO_PROXY": "*",
        "TAILCHAIN_BYPASS": "so the neighbour wants it",
        "ALL_PROXY": f"socks5://{trap.address}",
        "XDG_RUNTIME_DIR": directory,
    }


@needs_root
@pytest.mark.parametrize("variables", [None, "PROXYCHAINS_CONF_FILE", "TAILCHAIN_PROXY", "HOME", "TAILCHAIN_BYPASS"])
def test_a_set_user_id_program_takes_its_config_from_etc_alone(
    etc, proxy, trap, echo, within_reach, neighbours, variables
):
    """Preloaded with /etc/ld.so.preload, with all of the neighbour's variables, or with one."""
    directory, env = neighbours
    if variables:
        env = {variables: env[variables]}
    program = set_user_id(within_reach / "socket_script")
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "send hello", "recv 5"]
    words = [*(f"{name}={value}" for name, value in env.items()), program, *operations]
    result = in_own_etc(etc, *as_neighbour("env", *words), cwd=directory)
    assert connected(result)
    assert (len(proxy.requests), len(trap.requests)) == (1, 0)
    assert sorted(path.name for path in directory.iterdir()) == [".proxychains", "proxychains.conf"]


@needs_root
def test_a_set_user_id_program_writes_no_log_file(etc, echo, within_reach, tmp_path):
    """Nor root's own: others may be able to write its directory."""
    program = set_user_id(within_reach / "socket_script")
    words = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "send hello", "recv 5"]
    result = in_own_etc(etc, *as_neighbour(program, *words), cwd="/")
    assert connected(result)
    # The files there belong to programs that ran before it, as root.
    assert "Strict chain" not in (tmp_path / "log-of-etc").read_text()
    assert len(result.chains) == 1
    program.chmod(0o755)
    assert connected(in_own_etc(etc, program, *words, cwd="/"))
    assert "Strict chain" in (tmp_path / "log-of-etc").read_text()


@needs_root
def test_a_set_user_id_program_shares_no_names_where_its_caller_says(etc, proxy, within_reach, neighbours):
    """The name table is not the one below the caller's XDG_RUNTIME_DIR."""
    directory, env = neighbours
    (etc / "proxychains.conf").write_text(config_text([proxy], "proxy_dns"))
    program = within_reach / "getent"
    shutil.copy(need("getent"), program)
    set_user_id(program)
    words = [f"XDG_RUNTIME_DIR={directory}", program, "ahosts", "db.example"]
    result = in_own_etc(etc, *as_neighbour("env", *words), cwd="/").ok()
    assert result.out.startswith("224.")
    assert not list(directory.glob("tailchain-*"))


@needs_root
@pytest.mark.parametrize("what", ["file", "writable"])
def test_a_file_in_etc_that_is_not_roots_stops_a_set_user_id_program(etc, within_reach, what):
    program = set_user_id(within_reach / "socket_script")
    spoil = {"file": f"chown {neighbour()} /etc/proxychains.conf", "writable": "chmod 666 /etc/proxychains.conf"}[what]
    words = ["sh", "-c", f'{spoil}; exec "$@"', "sh", *as_neighbour(program, "socket inet stream")]
    result = in_own_etc(etc, *words, cwd="/")
    assert (result.code, result.out) == (1, "")
    assert "/etc/proxychains.conf: this config file is not used: users other than root may change it" in result.err


@needs_root
def test_a_set_user_id_program_is_not_advised_to_set_an_ignored_variable(etc, within_reach):
    program = set_user_id(within_reach / "socket_script")
    # As root: the programs started before this one would not start without a config either.
    words = ["sh", "-c", 'rm /etc/proxychains.conf; exec "$@"', "sh", program, "socket inet stream"]
    result = in_own_etc(etc, *words, cwd="/")
    assert (result.code, result.out) == (1, "")
    assert "no configuration found; tried /" in result.err
    assert "write one of these files" in result.err
    assert "ALL_PROXY" not in result.err and "-f" not in result.err


def connect_as_neighbour(etc, proxy, echo, within_reach, directory, via):
    """Another user's program, in `directory`, on a machine whose own config names `proxy`."""
    (etc / "ld.so.preload").unlink()
    (etc / "proxychains.conf").write_text(config_text([proxy]))
    program = [within_reach / "socket_script", "socket inet stream", f"connect 127.0.0.1 {echo.port}"]
    program += ["send hello", "recv 5"]
    start = {
        "launcher": [within_reach / "proxychains4", *program],
        "preload": ["env", f"LD_PRELOAD={within_reach}/{paths.LIBRARY.name}", *program],
    }[via]
    result = in_own_etc(etc, *as_neighbour(*start), cwd=directory, env={"HOME": "/nonexistent"})
    assert connected(result)
    return result


@needs_root
@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("owner", ["own", "roots", "foreign"])
def test_an_ordinary_user_takes_a_file_of_their_own_or_of_root(etc, trap, proxy, echo, within_reach, via, owner):
    """As on a dyno (the user's own), and in an image whose files are root's."""
    directory = within_reach / f"app-{owner}-{via}"
    directory.mkdir()
    file = plant(directory, trap)
    if owner == "own":
        give(file, 0o600)
        give(directory, 0o700)
    elif owner == "foreign":
        other = neighbour() - 1
        os.chown(file, other, other)
    result = connect_as_neighbour(etc, proxy, echo, within_reach, directory, via)
    assert (len(proxy.requests), len(trap.requests)) == ((1, 0) if owner == "foreign" else (0, 1))
    assert ("warning" in result.err) == (owner == "foreign")


# A group with the same ID as its user, depending on the rest of /etc.
GROUPS = {
    "private": ("", "", True),
    "of itself": ("", "{user}", True),
    "with a member": ("", "{user},mallory", False),
    "primary of another": ("mallory:x:4242:{gid}::/:/bin/sh\n", "", False),
    "unknown": ("", None, False),
}


@needs_root
@pytest.mark.parametrize("via", WAYS)
@pytest.mark.parametrize("kind", GROUPS)
def test_the_group_with_the_users_id_counts_if_the_user_is_alone_in_it(etc, trap, proxy, echo, within_reach, via, kind):
    other, members, counts = GROUPS[kind]
    user, number = UNPRIVILEGED, neighbour()
    directory = within_reach / f"group-{kind.replace(' ', '-')}-{via}"
    directory.mkdir()
    file = plant(directory, trap)
    give(file, 0o664)
    give(directory, 0o775)
    (etc / "passwd").write_text(
        f"root:x:0:0::/:/bin/sh\n{user}:x:{number}:{number}::/:/bin/sh\n" + other.format(gid=number)
    )
    groups = "" if members is None else f"{user}:x:{number}:{members.format(user=user)}\n"
    (etc / "group").write_text("root:x:0:\n" + groups)
    result = connect_as_neighbour(etc, proxy, echo, within_reach, directory, via)
    assert (len(proxy.requests), len(trap.requests)) == ((0, 1) if counts else (1, 0))
    assert ("other users may write it" in result.err) == (not counts)
