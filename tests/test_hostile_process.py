"""A process that has little, is disturbed all the time, or brings libraries that change what is below us: connections
work, or fail with an errno. Nothing crashes, hangs, or goes around the proxy."""

import os
import re
import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import run_probe
from support.proxy import Mood

QUIET = ["-q"]
NAME = "db.ts.net"


@pytest.fixture
def named(conf, make_proxy, echo):
    """(proxy, config): NAME is the echo server, to this proxy only."""
    proxy = make_proxy(names={NAME: ("127.0.0.1", echo.port)})
    return proxy, conf([proxy], "proxy_dns")


# -- forks and signals


def test_a_storm_of_forks_with_connects_pending(conf, make_proxy, echo):
    proxy = make_proxy(Mood(delay=0.02))
    result = run_probe("fork_storm", "127.0.0.1", echo.port, 7, conf=conf([proxy]), options=QUIET).ok()
    assert result.out == "good 127\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 254


@pytest.mark.parametrize("handler", ["restart", "plain"])
def test_a_storm_of_alarms_while_it_connects(conf, make_proxy, echo, handler):
    proxy = make_proxy(Mood(delay=0.005))
    arguments = ["127.0.0.1", echo.port, 200, 100, handler]
    result = run_probe("alarm_storm", *arguments, conf=conf([proxy]), options=QUIET).ok()
    interrupted = {"restart": "none", "plain": "some"}[handler]
    assert result.out == f"good 200, interrupted {interrupted}, alarms yes\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 200


@pytest.mark.parametrize("socket", ["blocking", "pending"])
@pytest.mark.parametrize("handler", ["restart", "plain"])
def test_a_signal_at_every_system_call_of_connect(conf, proxy, echo, handler, socket):
    result = run_probe("signal_each_call", "127.0.0.1", echo.port, handler, socket, conf=conf([proxy]), options=QUIET)
    assert result.ok().out == "disturbed yes, bad 0, at every call good\n", result.err


# -- little of everything

RESTRICTIONS = [
    ["closed"],
    ["range"],
    ["closed", "range"],
    *(["deny", call] for call in ["clone", "memfd_create", "eventfd2", "epoll_create1", "socketpair", "prlimit64"]),
    # From none that is spare to as many as are needed.
    *(["files", spare] for spare in range(6)),
    ["closed", "files", 0],
]


@pytest.mark.parametrize("words", RESTRICTIONS, ids=lambda words: " ".join(map(str, words)))
def test_a_process_that_has_little_connects_to_a_name(named, echo, words):
    proxy, config = named
    assert run_probe("sandbox", NAME, echo.port, *words, conf=config, options=QUIET).ok().out == ""
    assert proxy.targets == [(NAME, echo.port)] * 2


def test_a_process_in_an_empty_root_connects_to_a_name(named, echo, tmp_path):
    """No /dev/shm and no /tmp: the names are the process's own."""
    if os.geteuid() != 0:
        pytest.skip("chroot is for root")
    (tmp_path / "root").mkdir()
    proxy, config = named
    run_probe("sandbox", NAME, echo.port, "chroot", tmp_path / "root", conf=config, options=QUIET).ok()
    assert proxy.targets == [(NAME, echo.port)] * 2
    assert list((tmp_path / "root").iterdir()) == []


# -- memory


@pytest.mark.parametrize("what", ["connect", "pending", "name"])
@pytest.mark.parametrize("how", ["once", "onward"])
def test_malloc_fails_at_each_allocation_in_turn(named, echo, how, what):
    """The program lives, and its call works or says that there is no memory. (libc's own lookup of a name does not
    survive this; a remote name needs less of it.)"""
    host = NAME if what == "name" else "127.0.0.1"
    result = run_probe("failing_malloc", how, what, host, echo.port, conf=named[1], options=QUIET, timeout=200).ok()
    outcomes = dict(re.findall(r"(.*): (\d+)", result.out))
    assert outcomes and outcomes.keys() <= {"good", "ENOMEM", "EAI_MEMORY"}, result.err
    assert sum(map(int, outcomes.values())) > 10, "too few allocations to have seen anything fail"


# -- other libraries


def library(name):
    """The path of a shared library's file, as ld.so would find it."""
    listing = subprocess.run([need("ldconfig"), "-p"], capture_output=True, text=True, check=True).stdout
    found = re.findall(rf"=> (.*/{re.escape(name)}[^/]*)$", listing, re.M)
    if not found:
        pytest.skip(f"{name} is not installed: tests/install-tools installs it")
    return found[0]


def preload(*libraries):
    return {"LD_PRELOAD": ":".join(map(str, libraries))}


@pytest.fixture
def both_orders(request):
    """both_orders(other): the two values of LD_PRELOAD."""
    return lambda other: [preload(paths.LIBRARY, other), preload(other, paths.LIBRARY)]


@pytest.mark.parametrize("name", ["libjemalloc.so", "libtcmalloc_minimal.so"])
def test_another_malloc_is_preloaded_too(conf, proxy, echo, both_orders, name):
    config = conf([proxy])
    for env in both_orders(library(name)):
        arguments = ["127.0.0.1", echo.port, 16, 20]
        result = run_probe("threads", *arguments, conf=config, options=QUIET, env=env).ok()
        assert result.out == "good 320 bad 0 wrong 0 last 0\n"
        result = run_probe("fork_threads", "127.0.0.1", echo.port, 50, conf=config, options=QUIET, env=env).ok()
        assert result.out == "children 50 of 50, threads connected yes, failed 0\n"
