"""The command `tailchain`: check, explain, doctor and the embedded proxy."""

import os
import select
import subprocess
import sys

import pytest

from support import paths
from support.probe import probe
from support.proxy import Mood
from support.run import clean_environment, run_under

TELLS_ALL = """strict_chain
proxy_dns
tailnet_only
localdomain .internal
localnet 100.64.9.0/24
dnat 192.0.2.1 100.64.0.1:81
[ProxyList]
socks5 127.0.0.1 1055 ann hunter2
http 127.0.0.2 8080
"""


def tailchain(*words, **options):
    return run_under(paths.COMMAND, words, via="bare", **options)


@pytest.fixture
def config(tmp_path):
    def write(text):
        file = tmp_path / "proxychains.conf"
        file.write_text(text)
        return file

    return write


def test_check_says_what_was_understood_and_no_password(config):
    file = config(TELLS_ALL)
    said = tailchain("check", file).ok()
    assert said.out.startswith(f"{file}: understood\nchain: strict")
    assert "  socks5 127.0.0.1:1055 as ann\n  http 127.0.0.2:8080\n" in said.out
    assert "hunter2" not in said.out + said.err


@pytest.mark.parametrize(
    "directives, only",
    [
        (["tailnet_only"], "tailnet_only holds"),
        (["proxydomain .lan", "tailnet_only"], "tailnet_only and proxydomain hold"),
        (["proxydomain .lan", "proxynet ::/0", "tailnet_only"], "tailnet_only, proxynet and proxydomain hold"),
    ],
)
def test_check_names_the_directives_that_say_what_alone_is_proxied(conf, directives, only):
    said = tailchain("check", conf(["socks5 127.0.0.1 1055"], *directives)).ok()
    assert f"proxied: only what {only}" in said.out.splitlines()


def test_check_names_the_line_of_a_warning_and_strict_makes_it_an_error(config):
    file = config("no_such_directive\n[ProxyList]\nsocks5 127.0.0.1 1\n")
    said = tailchain("check", file).ok()
    assert said.err.startswith(f"tailchain: warning: {file}:1: `no_such_directive`: ")
    assert tailchain("check", "--strict", file).code == 1


def test_check_takes_its_file_with_and_without_f_but_not_twice(config):
    file = config(TELLS_ALL)
    assert tailchain("check", "-f", file).ok().out == tailchain("check", file).ok().out
    assert tailchain("check", "-f", file, file).code == 2


@pytest.mark.parametrize("option", [[], ["-f"]])
def test_check_of_what_is_no_file_says_what_it_is(option, tmp_path):
    missing, directory = tmp_path / "nosuch.conf", tmp_path
    assert tailchain("check", *option, missing).err == (
        f"tailchain: {missing}: cannot read this config file: No such file or directory (os error 2);"
        " check the path and its permissions\n"
    )
    said = tailchain("check", *option, directory)
    assert (said.code, said.err) == (1, f"tailchain: {directory}: this is a directory; name the config file in it\n")


def test_check_names_the_line_of_an_error(config):
    file = config("[ProxyList]\nsocks5 127.0.0.1 nowhere\n")
    said = tailchain("check", file)
    assert said.code == 1
    assert said.err.startswith(f"tailchain: {file}:2: ")


THROUGH = "socks5 127.0.0.1:1055 as ann -> http 127.0.0.2:8080 -> "


@pytest.mark.parametrize(
    "host, port, answer",
    [
        ("db.ts.net", 5432, f"db.ts.net:5432: proxied: {THROUGH}db.ts.net:5432"),
        ("100.64.0.9", 80, f"100.64.0.9:80: proxied: {THROUGH}100.64.0.9:80"),
        ("fd7a:115c:a1e0::1", 80, f"[fd7a:115c:a1e0::1]:80: proxied: {THROUGH}[fd7a:115c:a1e0::1]:80"),
        ("192.0.2.1", 80, f"192.0.2.1:80: proxied: {THROUGH}100.64.0.1:81"),
        ("100.64.9.1", 80, "100.64.9.1:80: direct: localnet, FILE:5"),
        ("127.0.0.1", 1055, "127.0.0.1:1055: direct: the address of a proxy"),
        ("192.0.2.2", 80, "192.0.2.2:80: direct: not matched by tailnet_only"),
        ("db.ts.net", 80, "db.ts.net: sent to the proxy as a name (proxy_dns); the program sees a fake IP"),
        ("localhost", 80, "localhost: resolved here: a name of this machine (localhost)"),
    ],
)
def test_explain_prints_the_route_and_the_rule(config, host, port, answer):
    file = config(TELLS_ALL)
    said = tailchain("explain", "-f", file, host, port).ok()
    assert answer.replace("FILE", str(file)) in said.out.splitlines()


@pytest.mark.parametrize("words", [["explain", "db-of-nobody", 5432], ["resolve", "db-of-nobody"]])
def test_a_short_name_of_the_tailnet_is_to_be_written_in_full(conf, words):
    command, *rest = words
    said = tailchain(command, "-f", conf(["socks5 127.0.0.1 1055"], "proxy_dns", "tailnet_only"), *rest)
    assert said.code == 1
    assert said.err.startswith("tailchain: db-of-nobody: resolved here (not matched by tailnet_only), which failed: ")
    assert said.err.endswith("; with tailnet_only write the full name, e.g. db-of-nobody.TAILNET.ts.net\n")


def test_explain_knows_the_addresses_that_stand_for_names(conf):
    config = conf(["socks5 127.0.0.1 1055"], "proxy_dns")
    addresses = tailchain("resolve", "-f", config, "db.ts.net").ok().out.split()
    assert len(addresses) == 2
    for address in addresses:
        said = tailchain("explain", "-f", config, address, 80).ok()
        assert said.out.endswith(": proxied: socks5 127.0.0.1:1055 -> db.ts.net:80\n")
    for address in ["224.0.0.9", "fd6e:b194:27d3:1::1"]:
        assert ": refused with EHOSTUNREACH: " in tailchain("explain", "-f", config, address, 80).ok().out


def test_explain_knows_raw_dns(conf):
    said = tailchain("explain", "-f", conf(["socks5 127.0.0.1 1055"], "raw_dns deny", "tailnet_only"), "192.0.2.1", 53)
    assert said.ok().out == "192.0.2.1:53: refused with ECONNREFUSED: raw_dns deny\n"


@pytest.mark.parametrize("text", ["db.ts.net:5432", "[fd7a:115c:a1e0::1]:5432"])
def test_explain_takes_host_and_port_in_one(config, text):
    said = tailchain("explain", "-f", config(TELLS_ALL), text).ok()
    assert f"{text}: proxied: {THROUGH}{text}" in said.out.splitlines()


@pytest.mark.parametrize("words", [["explain", "https://db.ts.net", 80], ["resolve", "https://db.ts.net/x"]])
def test_a_url_is_refused_with_the_host_that_it_holds(config, words):
    command, *rest = words
    said = tailchain(command, "-f", config(TELLS_ALL), *rest)
    assert (said.code, said.out) == (1, "")
    assert said.err == "tailchain: this is a URL; write the host alone: db.ts.net\n"


def test_explain_refuses_what_is_no_host(config):
    said = tailchain("explain", "-f", config(TELLS_ALL), "two words", 80)
    assert said.code == 1
    assert "`two words` is neither a host name nor an address" in said.err


def test_doctor_finds_nothing_where_all_is_well(conf, proxy):
    said = tailchain("doctor", "-f", conf([proxy]), "sh").ok()
    # Whether programs can be supervised depends on the machine.
    lines = [line for line in said.out.splitlines() if "supervisor:" not in line]
    assert len(lines) == 4 and all(line.startswith("ok ") for line in lines), said.out
    assert proxy.targets == []


def test_doctor_says_that_a_proxy_wants_a_password(conf, make_proxy):
    said = tailchain("doctor", "-f", conf([make_proxy(Mood(users={"ann": "secret"}))]))
    assert said.code == 1
    assert "it requires a user and password" in said.out


@pytest.mark.parametrize("kind", ["http", "socks5"])
def test_doctor_says_that_a_server_is_no_proxy(conf, echo, kind):
    said = tailchain("doctor", "-f", conf([f"{kind} 127.0.0.1 {echo.port}"]))
    assert said.code == 1
    assert f"PROBLEM  proxy 1, {kind} 127.0.0.1:{echo.port}" in said.out


def test_doctor_reports_a_refused_connection_to_the_proxy(conf, refusing):
    said = tailchain("doctor", "-f", conf([f"socks5 127.0.0.1 {refusing}"]))
    assert said.code == 1
    assert "nothing answers there" in said.out


def test_doctor_says_why_a_program_cannot_take_the_library(conf, proxy):
    said = tailchain("doctor", "-f", conf([proxy]), "no-such-program")
    assert said.code == 1
    assert "PROBLEM  program: no-such-program is no executable file in PATH" in said.out


class EmbeddedProxy:
    """`tailchain proxy` on its own port, with its log."""

    def __init__(self, *words):
        command = [str(paths.COMMAND), "proxy", "--log", *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, env=clean_environment())
        self.address = self.line().removeprefix("listening on ")

    def line(self):
        return self.process.stdout.readline().decode().rstrip("\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def test_the_embedded_proxy_leads_a_name_to_its_address(conf, echo):
    with EmbeddedProxy("--name", f"192.0.2.7=127.0.0.1:{echo.port}") as embedded:
        host, port = embedded.address.split(":")
        file = conf([f"socks5 {host} {port}"])
        run_under(probe("socket_script"), ["socket inet stream", "connect 192.0.2.7 80"], conf=file).ok()
        assert embedded.line() == f"CONNECT 192.0.2.7:80 -> 127.0.0.1:{echo.port}"


def test_the_embedded_proxy_ends_with_its_parent():
    """Its stdout, which no other process has open, reaches end of file when it exits."""
    start = "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=1); sys.stdin.read()"
    command = [sys.executable, "-c", start, str(paths.COMMAND), "proxy", "--with-parent"]
    reader, writer = os.pipe()
    with open(reader, "rb") as out:
        parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=writer, env=clean_environment())
        os.close(writer)
        assert out.readline().startswith(b"listening on ")
        parent.communicate(timeout=60)
        assert select.select([out], [], [], 60)[0], "the proxy is still there"
        assert out.read() == b""


@pytest.mark.parametrize("rule", ["--name=db", "--name=db=elsewhere", "--reply=db=0", "--user=ann"])
def test_the_embedded_proxy_refuses_a_rule_that_it_does_not_understand(rule):
    assert tailchain("proxy", rule).code == 2
