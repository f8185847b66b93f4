"""Real clients that connect without blocking: event loops, pools, worker pools, proxies.

Most run through a proxy that replies to no client until all have asked (support/holding_proxy.py). A client whose loop
blocks in connect would never get that far, so the result alone is proof, without a clock.
"""

import json
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from support import clients
from support.daemon import daemon
from support.embedded_proxy import embedded_proxy
from support.holding_proxy import HoldingProxy
from support.need import need
from support.proxy import Mood
from support.run import command_line, run_under
from support.web import PAGE

COUNT = 50
# A busy machine may take long until the last of 50 has asked.
PATIENT = ["tcp_read_time_out 90000", "tcp_connect_time_out 90000"]
NAME = "hello.ts.net"


@pytest.fixture
def hold():
    """hold(quorum, …): a HoldingProxy, closed at the end of the test."""
    opened = []

    def make(*args, **options):
        opened.append(HoldingProxy(*args, **options))
        return opened[-1]

    yield make
    for proxy in opened:
        proxy.release()
        proxy.close()


def run_client(words, conf, proxies, *directives, **options):
    program, *args = words
    config = conf(proxies, *PATIENT, *directives)
    return run_under(program, args, conf=config, options=["-q"], timeout=120, **options).ok()


def pages(count):
    return f"200 {len(PAGE)}\n" * count


# -- drivers of PostgreSQL


@pytest.mark.parametrize("kind", ["socks5", "socks4", "http"])
def test_an_asyncpg_pool_dials_all_its_connections_at_once(postgres, conf, hold, kind):
    # The first one must be established before asyncpg dials the others.
    proxy = hold(COUNT, free=1, kind=kind)
    assert run_client(clients.python("asyncpg_pool", postgres, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", postgres)] * COUNT


def test_a_pool_of_psycopg_dials_all_its_connections_at_once(postgres, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.python("psycopg_pool_async", postgres, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", postgres)] * COUNT


POOLS = ["asyncpg_pool", "psycopg_pool_async"]


@pytest.mark.parametrize("pool", POOLS)
def test_pools_through_the_embedded_proxy_with_a_delay(postgres, conf, tmp_path, pool):
    with embedded_proxy(tmp_path, delay=300) as proxy:
        assert run_client(clients.python(pool, postgres, COUNT), conf, [proxy]).out == f"{COUNT}\n"
        assert proxy.count(postgres) == COUNT


@pytest.mark.parametrize("real", ["microsocks", "danted"])
@pytest.mark.parametrize("pool", POOLS)
def test_pools_through_a_slow_proxy_and_a_real_one_behind_it(postgres, conf, make_proxy, request, pool, real):
    slow, real = make_proxy(Mood(delay=0.2)), request.getfixturevalue(real)
    saw = real.witness()
    assert run_client(clients.python(pool, postgres, COUNT), conf, [slow, real]).out == f"{COUNT}\n"
    assert slow.targets == [("127.0.0.1", real.port)] * COUNT
    assert saw(postgres)


def test_psycopg2_in_greenlets(postgres, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.python("gevent_postgres", postgres, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", postgres)] * COUNT


def test_pg_of_node(postgres, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.node("pg", postgres, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", postgres)] * COUNT


def test_pg_of_ruby(postgres, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.ruby("postgres", postgres, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", postgres)] * COUNT


# -- Redis


def test_redis_py_in_greenlets(redis, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.python("gevent_redis", redis, COUNT), conf, [proxy]).out == "True\n"
    assert proxy.targets == [("127.0.0.1", redis)] * COUNT


@pytest.mark.parametrize("pool", ["prefork", "gevent"])
def test_a_celery_worker(redis, conf, make_proxy, pool):
    proxy = make_proxy(Mood(delay=0.1))
    count = 20
    result = run_client(clients.python("celery_run", redis, pool, count), conf, [proxy])
    assert result.out == f"{sum(number * number for number in range(count))}\nworker ended with 0\n"
    # The client and the worker, each with the broker and the result store.
    assert proxy.targets == [("127.0.0.1", redis)] * len(proxy.targets)
    assert len(proxy.targets) >= 4


# -- bytes both ways


def test_streams_of_asyncio(echo, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.python("asyncio_echo", "asyncio", echo.port, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * COUNT


# libuv may use io_uring for epoll registrations, bypassing libc.
@pytest.mark.parametrize("io_uring", [0, 1])
def test_streams_of_uvloop(echo, conf, hold, io_uring):
    proxy = hold(COUNT)
    words = clients.python("asyncio_echo", "uvloop", echo.port, COUNT)
    assert run_client(words, conf, [proxy], env={"UV_USE_IO_URING": io_uring}).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * COUNT


@pytest.mark.parametrize("io_uring", [0, 1])
def test_net_of_node(echo, conf, hold, io_uring):
    proxy = hold(COUNT)
    words = clients.node("net", echo.port, COUNT)
    assert run_client(words, conf, [proxy], env={"UV_USE_IO_URING": io_uring}).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * COUNT


def test_tokio(echo, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.rust("tokio_echo", echo.port, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * COUNT


def test_channels_of_java(echo, conf, hold):
    proxy = hold(COUNT)
    assert run_client(clients.java("Nio", echo.port, COUNT), conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * COUNT


NETTY = Path("/usr/share/java/netty-all.jar")


def test_netty(echo, conf, hold):
    if not NETTY.exists():
        pytest.skip(f"{NETTY} does not exist: tests/install-tools installs it")
    proxy = hold(COUNT)
    words = clients.java("NettyEcho", echo.port, COUNT, classpath=NETTY.parent.glob("netty-*.jar"))
    assert run_client(words, conf, [proxy]).out == f"{COUNT}\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * COUNT


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_storm_of_connects_of_which_most_fail_leaves_nothing_behind(echo, conf, tmp_path, refusing, deaf, loop):
    count = 400
    environment = {"REFUSING": refusing, "DEAF": deaf, "LIMIT": 2, "LOOP": loop}
    words = clients.python("connect_storm", "127.0.0.1", echo.port, count)
    with embedded_proxy(tmp_path, delay=200) as proxy:
        told = json.loads(run_client(words, conf, [proxy], env=environment).out)
    ends = {"ConnectionRefusedError": 5, "CancelledError": 1, "TimeoutError": 1, "connected": 3}
    assert told["ends"] == {name: tenths * count // 10 for name, tenths in ends.items()}
    assert (told["files left"], told["threads left"]) == (0, 0)


# -- HTTP, to a name that only the proxy knows


@pytest.mark.parametrize("client", ["aiohttp", "httpx"])
def test_http_clients_of_asyncio(web_port, conf, hold, client):
    proxy = hold(COUNT, names={NAME: ("127.0.0.1", web_port)})
    words = clients.python(f"{client}_get", f"http://{NAME}/", COUNT)
    assert run_client(words, conf, [proxy], "proxy_dns").out == pages(COUNT)
    assert proxy.targets == [(NAME, 80)] * COUNT


def test_undici_of_node(web_port, conf, hold):
    proxy = hold(COUNT, names={NAME: ("127.0.0.1", web_port)})
    words = clients.node("undici", f"http://{NAME}/", COUNT)
    assert run_client(words, conf, [proxy], "proxy_dns").out == pages(COUNT)
    assert proxy.targets == [(NAME, 80)] * COUNT


def test_curl_with_parallel_transfers(web_port, conf, hold, tmp_path):
    proxy = hold(COUNT, names={NAME: ("127.0.0.1", web_port)})
    words = [
        "-sS",
        "-Z",
        "--parallel-immediate",
        "--parallel-max",
        COUNT,
        "-o",
        "page#1",
        f"http://{NAME}/?[1-{COUNT}]",
    ]
    run_client([need("curl"), *words], conf, [proxy], "proxy_dns", cwd=tmp_path)
    assert [(tmp_path / f"page{number}").read_bytes() for number in range(1, COUNT + 1)] == [PAGE] * COUNT
    assert proxy.targets == [(NAME, 80)] * COUNT


# -- servers that dial while they serve


def get(port, path="/"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=60) as response:
        return response.read()


def served(words, config, directory):
    """A daemon under the launcher; `words(port)` is its command line."""

    def command(port):
        program, *args = words(port)
        return command_line(program, args, "launcher", config, ["-q"])[0]

    return daemon(command, directory)


def test_uvicorn_serves_while_its_pool_dials(postgres, conf, hold, make_directory):
    count = 20
    proxy = hold(free=1)
    config = conf([proxy], *PATIENT)

    def words(port):
        return clients.python("uvicorn_app", port, postgres, count)

    with served(words, config, make_directory("uvicorn")) as port:
        assert get(port, "/start") == b"started"
        assert proxy.wait_for(count)
        # The pool is dialling, and will be until the proxy replies.
        assert [get(port) for _ in range(20)] == [b"alive"] * 20
        proxy.release()
        assert get(port, "/backends") == str(count).encode()
    assert proxy.targets == [("127.0.0.1", postgres)] * count


NGINX = """
daemon off;
worker_processes 1;
error_log stderr;
pid {directory}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    proxy_connect_timeout 90s;
    proxy_read_timeout 90s;
    server {{
        listen 127.0.0.1:{port};
        location = /alive {{ return 200 alive; }}
        location / {{ proxy_pass http://127.0.0.1:{upstream}; }}
    }}
}}
"""


def test_nginx_serves_while_it_dials_its_upstream(web_port, conf, hold, make_directory):
    count = 20
    program, home = need("nginx"), make_directory("nginx")
    proxy = hold()

    def words(port):
        config = home / "nginx.conf"
        config.write_text(NGINX.format(directory=home, port=port, upstream=web_port))
        return [program, "-c", config, "-e", "stderr"]

    with served(words, conf([proxy], *PATIENT), home) as port, ThreadPoolExecutor(count) as threads:
        answers = [threads.submit(get, port) for _ in range(count)]
        assert proxy.wait_for(count)
        assert [get(port, "/alive") for _ in range(20)] == [b"alive"] * 20
        proxy.release()
        assert [answer.result() for answer in answers] == [PAGE] * count
    assert proxy.targets == [("127.0.0.1", web_port)] * count
