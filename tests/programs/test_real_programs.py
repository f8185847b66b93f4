"""Unmodified real programs, through real proxies and one that records; each time the proxy's log must show the
connection."""

import sys

import pytest

from support.need import need
from support.proxy import Mood
from support.run import run_under
from support.web import PAGE

VIA = ["launcher", "preload"]


class Witness:
    """A proxy, and a check whether it saw a connection to a port."""

    def __init__(self, proxy, saw):
        self.proxy = proxy
        self.saw = saw


@pytest.fixture(params=["microsocks", "danted", "embedded", "socks5", "socks4", "http"])
def witness(request, make_proxy):
    if request.param in ("microsocks", "danted", "embedded"):
        daemon = request.getfixturevalue(request.param)
        return Witness(daemon, daemon.witness())
    proxy = make_proxy(kind=request.param)
    return Witness(proxy, lambda port: ("127.0.0.1", port) in proxy.targets)


@pytest.fixture
def config(conf, witness):
    return conf([witness.proxy])


def psql_words(port):
    return ["-X", "-A", "-t", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c", "select 6 * 7"]


def test_psql(postgres, witness, config):
    result = run_under(need("psql"), psql_words(postgres), conf=config, env={"PGSSLMODE": "disable"}).ok()
    assert result.out == "42\n"
    assert witness.saw(postgres)


@pytest.mark.parametrize("via", VIA)
def test_psql_by_a_name_that_only_the_proxy_knows(postgres, conf, make_proxy, via):
    proxy = make_proxy(names={"db.ts.net": ("127.0.0.1", postgres)})
    words = ["-X", "-A", "-t", "-U", "postgres", "-c", "select 6 * 7", "host=db.ts.net port=5432 sslmode=disable"]
    assert run_under(need("psql"), words, conf=conf([proxy], "proxy_dns"), via=via).ok().out == "42\n"
    assert set(proxy.targets) == {("db.ts.net", 5432)}


def test_a_large_result_and_a_large_upload(postgres, config, witness):
    """A megabyte both ways: after connect the library is not involved."""
    text = "x" * 1_000_000
    words = [*psql_words(postgres)[:-2], "-f", "-"]
    result = run_under(
        need("psql"), words, conf=config, input=f"select md5('{text}'), repeat('y', 1000000);".encode()
    ).ok()
    digest, filler = result.out.strip().split("|")
    assert len(digest) == 32 and filler == "y" * 1_000_000
    assert witness.saw(postgres)


def test_pgbench_with_a_connection_for_each_transaction(postgres, conf, proxy):
    config = conf([proxy])
    address = ["-h", "127.0.0.1", "-p", postgres, "-U", "postgres", "postgres"]
    run_under(need("pgbench"), ["-i", "-q", "-s", "1", *address], conf=config).ok()
    result = run_under(
        need("pgbench"), ["-C", "-S", "-n", "-c", "4", "-j", "2", "-t", "25", *address], conf=config
    ).ok()
    assert "number of transactions actually processed: 100/100" in result.out
    assert sum(request.dialled for request in proxy.requests) >= 100


PSYCOPG2 = """
import psycopg2, sys
with psycopg2.connect(host="127.0.0.1", port=sys.argv[1], user="postgres") as connection:
    cursor = connection.cursor()
    cursor.execute("select 6 * 7")
    print(cursor.fetchone()[0])
"""
PSYCOPG = PSYCOPG2.replace("psycopg2", "psycopg")
REDIS = """
import redis, sys
client = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), socket_timeout=30)
client.set("answer", 42)
print(client.get("answer").decode())
"""


@pytest.mark.parametrize("code", [PSYCOPG2, PSYCOPG], ids=["psycopg2", "psycopg"])
def test_python_drivers_of_postgres(postgres, witness, config, code):
    assert run_under(sys.executable, ["-c", code, postgres], conf=config).ok().out == "42\n"
    assert witness.saw(postgres)


def test_redis_py(redis, witness, config):
    assert run_under(sys.executable, ["-c", REDIS, redis], conf=config).ok().out == "42\n"
    assert witness.saw(redis)


def test_redis_cli(redis, witness, config):
    result = run_under(need("redis-cli"), ["-h", "127.0.0.1", "-p", redis, "ping"], conf=config).ok()
    assert result.out == "PONG\n"
    assert witness.saw(redis)


@pytest.mark.parametrize("via", VIA)
def test_curl(web_port, witness, config, via):
    result = run_under(need("curl"), ["-sS", f"http://127.0.0.1:{web_port}/"], conf=config, via=via).ok()
    assert result.out.encode() == PAGE
    assert witness.saw(web_port)


@pytest.mark.parametrize("kind", ["socks5", "socks4", "http"])
def test_curl_by_a_name_that_only_the_proxy_knows(web_port, conf, make_proxy, kind):
    proxy = make_proxy(names={"hello.ts.net": ("127.0.0.1", web_port)}, kind=kind)
    result = run_under(need("curl"), ["-sS", "http://hello.ts.net/"], conf=conf([proxy], "proxy_dns")).ok()
    assert result.out.encode() == PAGE
    assert set(proxy.targets) == {("hello.ts.net", 80)}


def test_curl_says_why_when_the_target_refuses(conf, proxy, refusing):
    result = run_under(need("curl"), ["-sS", f"http://127.0.0.1:{refusing}/"], conf=conf([proxy]))
    assert result.code == 7  # "Failed to connect to host", as without a proxy
    assert proxy.targets == [("127.0.0.1", refusing)]


def test_curl_says_so_of_an_ipv6_address_that_an_ipv4_proxy_refuses(conf, make_proxy):
    proxy = make_proxy(Mood(reply=5))
    words = ["-sS", "--connect-timeout", "20", "http://[fd7a:115c:a1e0::1]/"]
    result = run_under(need("curl"), words, conf=conf([proxy]), via="preload")
    assert result.code == 7, result.err  # not 28, "Timeout was reached"
    assert proxy.targets == [("fd7a:115c:a1e0::1", 80)]


def test_wget(web_port, witness, config):
    result = run_under(need("wget"), ["-q", "-O", "-", f"http://127.0.0.1:{web_port}/"], conf=config).ok()
    assert result.out.encode() == PAGE
    assert witness.saw(web_port)


def test_git_clone(web_port, witness, config, tmp_path):
    copy = tmp_path / "copy"
    run_under(
        need("git"),
        ["clone", "-q", f"http://127.0.0.1:{web_port}/repo.git", copy],
        conf=config,
        env={"GIT_CONFIG_GLOBAL": "/dev/null"},
    ).ok()
    assert (copy / "hello.txt").read_text() == "through the proxy\n"
    assert witness.saw(web_port)


def test_ssh(sshd, witness, config):
    """The server sends first."""
    words = [*sshd.options, "-p", sshd.port, "127.0.0.1", "echo", "from the other side"]
    assert run_under(need("ssh"), words, conf=config).ok().out == "from the other side\n"
    assert witness.saw(sshd.port)


def test_a_shell_and_its_children(web_port, conf, proxy):
    script = f"curl -sS http://127.0.0.1:{web_port}/ | cat; curl -sS http://127.0.0.1:{web_port}/"
    assert run_under("sh", ["-c", script], conf=conf([proxy])).ok().out.encode() == PAGE * 2
    assert proxy.targets == [("127.0.0.1", web_port)] * 2


CELERY_LIKE = """
import multiprocessing, sys, redis
port = int(sys.argv[1])

def work(number):
    client = redis.Redis(host="127.0.0.1", port=port)
    return [client.incr("counter") for _ in range(5)] and number

if __name__ == "__main__":
    parent = redis.Redis(host="127.0.0.1", port=port)
    parent.delete("counter")
    with multiprocessing.get_context("fork").Pool(4) as pool:
        done = pool.map(work, range(20))
    print(len(done), parent.get("counter").decode())
"""


def test_a_prefork_pool_of_python(redis, conf, proxy):
    assert run_under(sys.executable, ["-c", CELERY_LIKE, redis], conf=conf([proxy])).ok().out == "20 100\n"
    assert len(proxy.requests) >= 21
