"""Unmodified programs that connect by name to what only the proxy can resolve, while strace looks for DNS queries."""

import re
import sys

import pytest

from support import naming_proxies
from support.need import need
from support.run import run_under
from support.web import PAGE

NAME = "db.ts.net"


@pytest.fixture(scope="session", params=["embedded", "microsocks", "danted"])
def proxy(request, make_directory):
    with getattr(naming_proxies, request.param)(make_directory(f"naming-{request.param}"), [NAME]) as running:
        yield running


@pytest.fixture
def under(proxy, conf, tmp_path):
    """under(program, args): run it, and check that it queried no name server."""
    config, trace = conf([proxy], "proxy_dns"), tmp_path / "trace"

    def run(program, args, **options):
        watch = ["-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", trace]
        result = run_under(need("strace"), [*watch, need(program), *args], conf=config, **options).ok()
        calls = trace.read_text()
        assert f"htons({proxy.port})" in calls, "strace saw nothing"
        assert not re.findall(r".*htons\(53\).*", calls)
        return result

    return run


def test_curl(under, proxy, web_port):
    assert under("curl", ["-sS", f"http://{NAME}:{web_port}/"]).out.encode() == PAGE
    assert proxy.saw_name(NAME, web_port)


def test_wget(under, proxy, web_port):
    assert under("wget", ["-q", "-O", "-", f"http://{NAME}:{web_port}/"]).out.encode() == PAGE
    assert proxy.saw_name(NAME, web_port)


def test_wget_of_busybox(under, proxy, web_port):
    assert under("busybox", ["wget", "-q", "-O", "-", f"http://{NAME}:{web_port}/"]).out.encode() == PAGE
    assert proxy.saw_name(NAME, web_port)


def test_git(under, proxy, web_port, tmp_path):
    under(
        "git",
        ["clone", "-q", f"http://{NAME}:{web_port}/repo.git", tmp_path / "copy"],
        env={"GIT_CONFIG_GLOBAL": "/dev/null"},
    )
    assert (tmp_path / "copy" / "hello.txt").read_text() == "through the proxy\n"
    assert proxy.saw_name(NAME, web_port)


def test_ssh(under, proxy, sshd):
    assert under("ssh", [*sshd.options, "-p", sshd.port, NAME, "echo", "hello"]).out == "hello\n"
    assert proxy.saw_name(NAME, sshd.port)


def test_redis_cli(under, proxy, redis):
    assert under("redis-cli", ["-h", NAME, "-p", redis, "ping"]).out == "PONG\n"
    assert proxy.saw_name(NAME, redis)


def test_psql(under, proxy, postgres):
    words = ["-X", "-A", "-t", "-U", "postgres", "-c", "select 6 * 7", f"host={NAME} port={postgres} sslmode=disable"]
    assert under("psql", words).out == "42\n"
    assert proxy.saw_name(NAME, postgres)


PSYCOPG = """
import psycopg, sys
with psycopg.connect(host=sys.argv[1], port=sys.argv[2], user="postgres") as connection:
    print(connection.execute("select 6 * 7").fetchone()[0])
"""
ASYNCPG = """
import asyncio, asyncpg, sys
async def main():
    host, port = sys.argv[1], int(sys.argv[2])
    connection = await asyncpg.connect(host=host, port=port, user="postgres", database="postgres", ssl=False)
    print(await connection.fetchval("select 6 * 7"))
    await connection.close()
asyncio.run(main())
"""


@pytest.mark.parametrize("code", [PSYCOPG, ASYNCPG], ids=["psycopg", "asyncpg"])
def test_python_drivers_of_postgres(code, under, proxy, postgres):
    assert under(sys.executable, ["-c", code, NAME, postgres]).out == "42\n"
    assert proxy.saw_name(NAME, postgres)


# Each connects to HOST PORT of its arguments, requests / and prints the page.
PYTHON = (
    "import sys, urllib.request as u; print(u.urlopen('http://%s:%s/' % tuple(sys.argv[1:])).read().decode(), end='')"
)
NODE = """require('http').get(`http://${process.argv[1]}:${process.argv[2]}/`, answer => answer.pipe(process.stdout))"""
RUBY = "require 'net/http'; print Net::HTTP.get(ARGV[0], '/', ARGV[1].to_i)"
PHP = 'echo file_get_contents("http://$argv[1]:$argv[2]/");'
PERL = """use IO::Socket::INET; my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1]) or die "$@";
print $s "GET / HTTP/1.0\\r\\n\\r\\n"; local $/; my $t = <$s>; $t =~ s/^.*?\\r\\n\\r\\n//s; print $t;"""
LANGUAGES = {
    "python": (sys.executable, ["-c", PYTHON]),
    "node": ("node", ["-e", NODE]),
    "ruby": ("ruby", ["-e", RUBY]),
    "php": ("php", ["-r", PHP, "--"]),
    "perl": ("perl", ["-e", PERL]),
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_web_client_of(language, under, proxy, web_port):
    program, words = LANGUAGES[language]
    assert under(program, [*words, NAME, web_port]).out.encode() == PAGE
    assert proxy.saw_name(NAME, web_port)


JAVA = """
public class Fetch {
    public static void main(String[] words) throws Exception {
        var page = new java.net.URL("http://" + words[0] + ":" + words[1] + "/");
        try (var in = page.openStream()) { in.transferTo(System.out); }
    }
}
"""


def test_a_web_client_of_java(under, proxy, web_port, tmp_path):
    need("javac")  # `java FILE.java` compiles
    (tmp_path / "Fetch.java").write_text(JAVA)
    assert under("java", [tmp_path / "Fetch.java", NAME, web_port]).out.encode() == PAGE
    assert proxy.saw_name(NAME, web_port)


def test_one_program_resolves_and_another_connects(under, proxy, web_port):
    script = f"address=$(getent hosts {NAME} | cut -d ' ' -f 1) && curl -sS -g http://[$address]:{web_port}/"
    assert under("sh", ["-c", script]).out.encode() == PAGE
    assert proxy.saw_name(NAME, web_port)


def test_a_program_that_wants_ipv6_only(under, proxy, sshd):
    assert under("ssh", ["-6", *sshd.options, "-p", sshd.port, NAME, "echo", "hello"]).out == "hello\n"
    assert proxy.saw_name(NAME, sshd.port)
