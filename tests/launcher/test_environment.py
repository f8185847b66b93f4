"""A program's environment: a proxy named by a variable, on a machine without any config file; /etc/hosts."""

import os
import sys

import pytest

from support import paths
from support.naming_proxies import with_hosts
from support.need import need
from support.probe import probe
from support.proxy import Mood
from support.run import run_under

CONNECTED = ["0", "5", "5 hello"]


@pytest.fixture
def talk(tmp_path):
    """talk(port, NAME=value, …): the result of connecting and exchanging data, preloaded, with an empty /etc."""

    def run(port, **environment):
        user = [] if os.geteuid() == 0 else ["--map-root-user"]
        hide = 'mount -t tmpfs none /etc && exec "$@"'
        settings = {"LD_PRELOAD": paths.LIBRARY, "HOME": tmp_path, **environment}
        operations = ["socket inet stream", f"connect 127.0.0.1 {port}", "send hello", "recv 5"]
        words = [
            *user,
            "--mount",
            "sh",
            "-c",
            hide,
            "sh",
            "env",
            *(f"{name}={value}" for name, value in settings.items()),
        ]
        result = run_under(need("unshare"), [*words, probe("socket_script"), *operations], via="bare", cwd=tmp_path)
        return result

    return run


def answers(result):
    return [line.split(" -> ", 1)[1] for line in result.ok().out.splitlines()][1:]


@pytest.mark.parametrize("name", ["ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("kind", ["socks5", "socks5h", "http"])
def test_the_proxy_of_the_environment_is_used(talk, proxy, echo, name, kind):
    assert answers(talk(echo.port, **{name: f"{kind}://{proxy.address}"})) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_its_user_and_password_are_used_and_not_shown(talk, make_proxy, echo):
    proxy = make_proxy(Mood(users={"ann": "p@ss"}))
    result = talk(echo.port, ALL_PROXY=f"socks5://ann:p%40ss@{proxy.address}")
    assert answers(result) == CONNECTED
    assert proxy.requests[0].user == "ann"
    assert "p@ss" not in result.err and "p%40ss" not in result.err


@pytest.mark.parametrize("exceptions", ["127.0.0.1", "127.0.0.0/8", "example.com,127.0.0.1", "*"])
def test_no_proxy_is_reached_directly(talk, proxy, echo, exceptions):
    assert answers(talk(echo.port, ALL_PROXY=f"socks5://{proxy.address}", NO_PROXY=exceptions)) == CONNECTED
    assert proxy.requests == []


def test_a_target_outside_no_proxy_is_proxied(talk, proxy, echo):
    assert answers(talk(echo.port, ALL_PROXY=f"socks5://{proxy.address}", no_proxy="10.0.0.0/8")) == CONNECTED
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_bad_url_is_an_error_and_the_program_does_not_start(talk, echo):
    result = talk(echo.port, ALL_PROXY="gopher://127.0.0.1:70")
    assert result.code == 1 and result.out == ""
    assert "ALL_PROXY" in result.err and "gopher" in result.err


def test_without_any_proxy_the_program_does_not_start(talk, echo):
    result = talk(echo.port)
    assert result.code == 1 and result.out == ""
    assert "ALL_PROXY" in result.err


DIAL = """
import socket, sys
how, name, port = sys.argv[1:]
address = name if how == "getaddrinfo" else getattr(socket, how)(name)
if how == "gethostbyname_ex":
    address = address[2][0]
with socket.create_connection((address, int(port))) as s:
    s.sendall(b"hello")
    print(s.recv(5).decode())
"""


@pytest.mark.parametrize("how", ["getaddrinfo", "gethostbyname", "gethostbyname_ex"])
@pytest.mark.parametrize("rules", [["proxy_dns", "localdomain .internal"], ["localdomain db.internal"]])
def test_what_libc_finds_for_a_localdomain_name_is_reached_directly(conf, proxy, echo, tmp_path, how, rules):
    """The rule is about a name, but connect gets an address: the library remembers it."""
    words = ["env", f"LD_PRELOAD={paths.LIBRARY}", f"PROXYCHAINS_CONF_FILE={conf([proxy], *rules)}"]
    words += [sys.executable, "-c", DIAL, how, "db.internal", str(echo.port)]
    result = run_under(*shifted(with_hosts(tmp_path, ["db.internal", "other"], words)), via="bare").ok()
    assert (result.out, proxy.requests) == ("hello\n", [])


def test_another_address_is_proxied_all_the_same(conf, proxy, echo, tmp_path):
    words = ["env", f"LD_PRELOAD={paths.LIBRARY}", f"PROXYCHAINS_CONF_FILE={conf([proxy], 'localdomain .internal')}"]
    words += [sys.executable, "-c", DIAL, "getaddrinfo", "other", str(echo.port)]
    result = run_under(*shifted(with_hosts(tmp_path, ["db.internal", "other"], words)), via="bare").ok()
    assert (result.out, proxy.targets) == ("hello\n", [("127.0.0.1", echo.port)])


def shifted(words):
    return words[0], words[1:]


@pytest.mark.parametrize("host, follows", [("192.0.2.7", False), ("::2", False), ("127.0.0.3", True)])
def test_tailscaled_is_on_this_machine(conf, proxy, echo, host, follows):
    """Connections to the config's 127.0.0.1 are not sent to another machine because of a variable."""
    env = {"TAILSCALE_SOCKS5_HOST": host, "TAILSCALE_SOCKS5_PORT": proxy.port}
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}"]
    config = conf([f"socks5 127.0.0.1 {proxy.port}"], "tcp_connect_time_out 2000")
    result = run_under(probe("socket_script"), operations, conf=config, via="preload", env=env)
    warning = f"TAILSCALE_SOCKS5_HOST: `{host}`: this address is ignored: it is not one of this machine;"
    assert (warning in result.err) != follows
    # Nothing listens on 127.0.0.3.
    assert len(proxy.requests) == (0 if follows else 1)
