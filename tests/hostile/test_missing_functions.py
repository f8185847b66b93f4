"""A libc that lacks an interposed function: a call of it fails, with ENOSYS if it can report an errno, and nothing
bypasses the proxy."""

import subprocess

import pytest

from support import paths
from support.need import need
from support.probe import FLAGS, probe
from support.run import run_under

NAME = "db.ts.net"


@pytest.fixture(scope="module")
def hiding(tmp_path_factory):
    """The path of tests/probes/hiding.c as a library."""
    built = tmp_path_factory.mktemp("hiding") / "libhiding.so"
    command = [need("cc"), *FLAGS, "-shared", "-fPIC", str(paths.PROBE_SOURCES / "hiding.c"), "-o", str(built)]
    subprocess.run(command, check=True)
    return built


@pytest.fixture
def run(hiding):
    def run(name, operations, hidden, config):
        env = {"LD_PRELOAD": f"{paths.LIBRARY}:{hiding}", "PROXYCHAINS_CONF_FILE": config, "HIDDEN": hidden}
        result = run_under(probe(name), operations, via="bare", env=env).ok()
        return [line.split(" -> ", 1)[1] for line in result.out.splitlines()]

    return run


CALLS = {
    "sendto": ["sendto 127.0.0.1 9 hello"],
    "getpeername": ["peer"],
    "getsockopt": ["get SOL_SOCKET SO_TYPE"],
    "setsockopt": ["set SOL_SOCKET SO_KEEPALIVE 1"],
    "getsockname": ["local"],
    "shutdown": ["shutdown"],
    "close": ["close"],
    "dup": ["dup"],
    "dup2": ["dup2 40"],
    "dup3": ["dup2 40 cloexec"],
    "fcntl": ["cloexec 1"],
    "ioctl": ["fionbio 1"],
    "close_range": ["close_range"],
}


@pytest.mark.parametrize("function", CALLS)
def test_a_call_of_a_missing_function_fails_with_enosys(run, conf, proxy, echo, function):
    config = conf([proxy])
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", *CALLS[function]]
    without = run("socket_script", operations, function, config)
    assert without[1:] == ["0", "-1 ENOSYS"]
    complete = run("socket_script", operations, "", config)
    assert complete[1] == "0" and "ENOSYS" not in complete[2]


@pytest.mark.parametrize("hidden", ["connect", "*"])
def test_without_connect_nothing_is_connected_directly(run, conf, proxy, echo, hidden):
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", f"connect ::1 {echo.port}"]
    answers = run("socket_script", operations, hidden, conf([proxy], "localnet 127.0.0.0/8", "localnet ::1/128"))
    assert answers[1:] == ["-1 ENOSYS"] * 2
    assert proxy.requests == [] and echo.received == []


def test_without_connect_a_connection_to_be_proxied_still_is(run, conf, proxy, echo):
    """Tunnels are made with system calls, so they need none of libc's functions."""
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "send hello", "recv 5"]
    assert run("socket_script", operations, "*", conf([proxy]))[1] == "0"
    assert proxy.targets == [("127.0.0.1", echo.port)]


RESOLVERS = {
    "getaddrinfo {} NULL": "SYSTEM",
    "getaddrinfo_a {}": "SYSTEM 0",
    "gethostbyname {}": "NULL NETDB_INTERNAL",
    "gethostbyname2 {} INET6": "NULL NETDB_INTERNAL",
    "gethostbyname_r {} 512": "ENOSYS NULL NETDB_INTERNAL",
    "gethostbyname2_r {} INET6 512": "ENOSYS NULL NETDB_INTERNAL",
}


@pytest.mark.parametrize("call", RESOLVERS)
@pytest.mark.parametrize("name", ["localhost", "name.lan", "db.ts.net"], ids=["local", "watched", "remote"])
def test_a_name_is_not_resolved_without_the_function(run, conf, proxy, call, name):
    config = conf([proxy], "proxy_dns", "localdomain lan")
    assert run("resolve", [call.format(name)], "*", config) == [RESOLVERS[call]]


def test_an_address_gets_no_name_without_the_function(run, conf, proxy):
    operations = ["getnameinfo 127.0.0.1 80 100 100", "gethostbyaddr 127.0.0.1", "gethostbyaddr_r 127.0.0.1 512"]
    answers = run("resolve", operations, "*", conf([proxy], "proxy_dns"))
    assert answers == ["SYSTEM", "NULL NETDB_INTERNAL", "ENOSYS NULL NETDB_INTERNAL"]


@pytest.mark.parametrize("call", ["query {}", "search {}", "querydomain {} lan"])
@pytest.mark.parametrize("state", ["", "n"], ids=["of the thread", "of the program"])
def test_a_query_without_the_function_leaves_no_stale_h_errno(run, conf, proxy, state, call):
    operations = [f"res_{state}{call.format('db')} txt 512"]
    answers = run("resolve", operations, "*", conf([proxy], "proxy_dns"))
    assert answers == ["-1 TRY_AGAIN TRY_AGAIN"]
