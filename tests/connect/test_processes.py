"""Threads, forks, spawned children, prefork servers: nothing breaks, nothing is left behind."""

import pytest

from support.ports import refusing_port
from support.probe import run_probe
from support.proxy import SILENCE, Mood
from support.run import run_under


def test_64_threads_connect_50_times_each(conf, proxy, echo):
    result = run_probe("threads", "127.0.0.1", echo.port, 64, 50, conf=conf([proxy]), options=["-q"], timeout=280).ok()
    assert result.out == "good 3200 bad 0 wrong 0 last 0\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 3200


def test_64_threads_with_dead_proxies_in_a_dynamic_chain(conf, proxy, echo):
    """Each connection itself learns which proxies are dead: threads neither race for that nor affect each other."""
    with refusing_port() as one, refusing_port() as two:
        chain = [f"socks5 127.0.0.1 {one}", proxy, f"socks5 127.0.0.1 {two}"]
        config = conf(chain, chain="dynamic_chain")
        result = run_probe("threads", "127.0.0.1", echo.port, 64, 50, conf=config, options=["-q"], timeout=280).ok()
    assert result.out == "good 3200 bad 0 wrong 0 last 0\n"


def test_threads_through_a_random_chain(conf, make_proxy, echo):
    proxies = [make_proxy() for _ in range(3)]
    config = conf(proxies, "chain_len = 2", chain="random_chain")
    result = run_probe("threads", "127.0.0.1", echo.port, 16, 25, conf=config, options=["-q"]).ok()
    assert result.out == "good 400 bad 0 wrong 0 last 0\n"


def test_forks_while_other_threads_connect(conf, proxy, echo):
    result = run_probe(
        "fork_threads", "127.0.0.1", echo.port, 1000, conf=conf([proxy]), options=["-q"], timeout=280
    ).ok()
    assert result.out == "children 1000 of 1000, threads connected yes, failed 0\n"


def test_a_child_that_ends_at_once_interrupts_no_other_thread(conf, make_proxy, echo):
    """SIGCHLD without a handler: if it were blocked around fork, it would be pending for another thread's
    epoll_wait."""
    config = conf([make_proxy(Mood(instead={"greeting": SILENCE}))], "tcp_read_time_out 60000")
    arguments = ["127.0.0.1", echo.port, 2000]
    bare, preloaded = (
        run_probe("fork_interrupts", *arguments, conf=config, via=via, options=["-q"], timeout=120).ok().out
        for via in ("bare", "preload")
    )
    assert preloaded == bare == "interrupted 0\n"


@pytest.mark.parametrize("how", ["posix_spawn", "vfork"])
def test_spawned_children_and_their_parent_connect(conf, proxy, echo, how):
    result = run_probe("spawn", how, "127.0.0.1", echo.port, 30, conf=conf([proxy]), options=["-q"]).ok()
    assert result.out == "children 30 own 30 of 30\n"
    assert len(proxy.requests) == 60


def test_a_prefork_server(conf, proxy, echo):
    result = run_probe("prefork", "127.0.0.1", echo.port, 6, 50, conf=conf([proxy]), options=["-q"]).ok()
    assert result.out == "workers 6 of 6, parent still connected\n"
    assert len(proxy.requests) == 301


def test_connects_leave_no_descriptor_and_no_thread_behind(conf, proxy, echo, refusing):
    result = run_probe(
        "descriptors", "127.0.0.1", echo.port, refusing, 1000, conf=conf([proxy]), options=["-q"], timeout=280
    ).ok()
    assert result.out.splitlines() == ["connected 1000 failed 1000", "descriptors as before", "threads as before"]
    assert len(proxy.requests) == 2000


def test_a_dead_proxy_leaves_no_descriptor_behind(conf, echo, refusing):
    config = conf([f"socks5 127.0.0.1 {refusing}"])
    result = run_probe("descriptors", "127.0.0.1", echo.port, refusing, 200, conf=config, options=["-q"]).ok()
    # With the proxy dead both connects fail, except that the second target is the proxy itself, which is reached
    # directly.
    assert result.out.splitlines() == ["connected 0 failed 200", "descriptors as before", "threads as before"]


def test_the_library_itself_opens_nothing(conf, proxy):
    """A program has the same open fds with and without it."""
    words = ["-c", "ls /proc/self/fd"]
    bare = run_under("sh", words, via="bare").ok().out
    assert run_under("sh", words, conf=conf([proxy]), via="preload").ok().out == bare


@pytest.mark.parametrize("rule", ["proxy_dns", "localdomain localhost"])
def test_a_thread_can_be_cancelled_while_it_resolves(conf, proxy, rule):
    """glibc unwinds a cancelled thread: unwinding through Rust would abort."""
    name = "localhost" if rule.startswith("localdomain") else "db.ts.net"
    assert run_probe("cancelled", name, conf=conf([proxy], "proxy_dns", rule)).ok().out == "cancelled\n"
