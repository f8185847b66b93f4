"""`tailscale_socket`: tailscaled's LocalAPI resolves a name, and the proxy gets the address. If that fails for any
reason, the proxy gets the name, as without the directive."""

import os
import sys
from contextlib import ExitStack

import dns.rcode
import pytest

from support import paths
from support.local_api import SILENCE, LocalApi
from support.need import need
from support.proxy import Mood
from support.run import run_under

NAME = "app.corp.example"

# argv: PORT NAME…; exchanges data with each in turn, and prints the result.
BLOCKING = """
import errno, socket, sys
for name in sys.argv[2:]:
    try:
        with socket.create_connection((name, int(sys.argv[1]))) as connection:
            connection.sendall(b"hello")
            print(connection.recv(5).decode())
    except OSError as error:
        print(errno.errorcode[error.errno])
"""
NONBLOCKING = """
import asyncio, errno, sys
async def main():
    for name in sys.argv[2:]:
        try:
            reader, writer = await asyncio.open_connection(name, int(sys.argv[1]))
            writer.write(b"hello")
            print((await reader.readexactly(5)).decode())
            writer.close()
        except OSError as error:
            print(errno.errorcode[error.errno])
asyncio.run(main())
"""
CALLERS = {"blocking": BLOCKING, "non-blocking": NONBLOCKING}


@pytest.fixture
def local_api(tmp_path):
    with ExitStack() as stack:
        yield lambda zone=None, **options: stack.enter_context(LocalApi(tmp_path / "tailscaled.sock", zone, **options))


@pytest.fixture(params=CALLERS)
def call(request, conf):
    """call(proxy, port, name…, directives=…): a program that connects to these, blocking or not."""

    def run(proxy, port, *names, directives=(), **options):
        path = conf([proxy], "proxy_dns", *directives)
        return run_under(sys.executable, ["-c", CALLERS[request.param], port, *names], conf=path, **options).ok()

    return run


def warnings(result):
    return [line for line in result.err.splitlines() if "cannot ask tailscaled" in line]


# -- names that have an address


@pytest.mark.parametrize("kind", ["socks5", "http", "socks4"])
def test_the_proxy_is_asked_for_the_address(call, local_api, make_proxy, echo, kind):
    api = local_api({(NAME, "A"): ["127.0.0.1"]})
    proxy = make_proxy(kind=kind)
    result = call(proxy, echo.port, NAME, directives=[api.line()])
    assert result.out == "hello\n" and proxy.targets == [("127.0.0.1", echo.port)]
    # The log has the name that the program used.
    assert f"{NAME}:{echo.port}" in result.chains[0]


def test_aliases_are_followed(call, local_api, proxy, echo):
    aliases = [f"{NAME}. 9 CNAME a.other.", "a.other. 9 CNAME b.other.", "b.other. 9 A 127.0.0.1"]
    api = local_api({(NAME, "A"): aliases})
    assert call(proxy, echo.port, NAME, directives=[api.line()]).out == "hello\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] and api.asked == [(NAME, "A")]


def test_a_name_with_ipv6_addresses_alone(call, local_api, proxy, make_echo):
    """The names of 4via6 subnet routers look like this."""
    echo = make_echo(host="::1")
    api = local_api({("10-0-0-1-via-7", "A"): [], ("10-0-0-1-via-7", "AAAA"): ["::1"]})
    assert call(proxy, echo.port, "10-0-0-1-via-7", directives=[api.line()]).out == "hello\n"
    assert proxy.targets == [("::1", echo.port)]


def test_search_domains(call, local_api, proxy, echo):
    api = local_api({("app.corp.example", "A"): ["127.0.0.1"]})
    search = ["tailscale_search sales.example", "tailscale_search corp.example"]
    assert call(proxy, echo.port, "app", directives=[api.line(), *search]).out == "hello\n"
    assert api.asked == [("app.sales.example", "A"), ("app.corp.example", "A")]
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_an_answer_is_kept(call, local_api, proxy, echo):
    api = local_api({(NAME, "A"): ["127.0.0.1"], ("other", "A"): ["127.0.0.1"]})
    result = call(proxy, echo.port, NAME, NAME, "other", NAME, directives=[api.line()])
    assert result.out == "hello\n" * 4 and api.asked == [(NAME, "A"), ("other", "A")]


def test_the_next_address_is_tried_where_the_proxy_fails_for_no_reason(call, local_api, make_proxy):
    api = local_api({(NAME, "A"): ["127.0.0.3", "127.0.0.4"]})
    proxy = make_proxy(Mood(reply=1))
    call(proxy, 9, NAME, directives=[api.line(), "proxy_retry 1"])
    assert proxy.targets == [("127.0.0.3", 9), ("127.0.0.4", 9), ("127.0.0.4", 9)]


def test_addresses_and_local_names_are_not_asked_about(call, local_api, proxy, echo):
    api = local_api()
    assert call(proxy, echo.port, "127.0.0.1", "localhost", directives=[api.line()]).out == "hello\nhello\n"
    assert api.asked == []


# -- names without an address


def test_a_name_that_does_not_exist_and_that_the_proxy_does_not_know_either(call, local_api, make_proxy):
    """The same failure as with libc's resolver, but at connect: EHOSTUNREACH, without another try."""
    api = local_api()
    proxy = make_proxy(Mood(reply=1))
    result = call(proxy, 9, NAME, directives=[api.line(), "proxy_retry 2"])
    assert result.out == "EHOSTUNREACH\n" and proxy.targets == [(NAME, 9)]
    assert f"{NAME}: tailscaled knows no such name" in result.err


@pytest.mark.parametrize(
    "answer, reason",
    [
        (dns.rcode.SERVFAIL, "server failure (SERVFAIL)"),
        (dns.rcode.REFUSED, "REFUSED"),
        # A resolver that is down.
        ("500 Internal Server Error", "HTTP 500"),
    ],
)
def test_a_name_that_cannot_be_resolved_goes_to_the_proxy(call, local_api, make_proxy, echo, answer, reason):
    api = local_api({(NAME, "A"): answer})
    proxy = make_proxy(names={NAME: ("127.0.0.1", None)})
    result = call(proxy, echo.port, NAME, directives=[api.line()])
    assert result.out == "hello\n" and proxy.targets == [(NAME, echo.port)]
    assert reason not in result.err and not warnings(result)
    # If the proxy fails too, this may be the reason.
    proxy = make_proxy(Mood(reply=1))
    result = call(proxy, echo.port, NAME, directives=[api.line()])
    assert result.out == "ECONNREFUSED\n" and f"{NAME}: tailscaled has no address for it: " in result.err
    assert reason in result.err


OTHER_QUESTION = (
    b'HTTP/1.0 200 OK\r\n\r\n{"Bytes":"AAGBgAABAAEAAAAABW90aGVyBGNvcnAAAAEAAcAMAAEAAQAAAAoABH8AAAE=","Resolvers":[]}\n'
)


@pytest.mark.parametrize(
    "answer",
    [
        "403 Forbidden",
        "404 Not Found",
        b"",
        b"HTTP/1.0 200 OK\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n<html>",
        b'HTTP/1.0 200 OK\r\n\r\n{"Bytes":"AAGBgA==","Resolvers":[]}',
        OTHER_QUESTION,
        b"\0" * 200_000,
    ],
    ids=["403", "404", "nothing", "no body", "html", "short", "another question", "endless"],
)
def test_an_invalid_answer_is_reported_once_and_the_proxy_gets_the_name(call, local_api, make_proxy, echo, answer):
    api = local_api({(NAME, "A"): answer, ("other.example", "A"): answer})
    proxy = make_proxy(names={NAME: ("127.0.0.1", None), "other.example": ("127.0.0.1", None)})
    result = call(proxy, echo.port, NAME, "other.example", NAME, directives=[api.line()])
    assert result.out == "hello\n" * 3
    assert proxy.targets == [(NAME, echo.port), ("other.example", echo.port), (NAME, echo.port)]
    assert len(warnings(result)) == 1 and str(api.host) in warnings(result)[0]
    assert api.asked == [(NAME, "A"), ("other.example", "A")]


def test_a_socket_that_is_not_there(call, make_proxy, echo, tmp_path):
    proxy = make_proxy(names={NAME: ("127.0.0.1", None)})
    line = f"tailscale_socket {tmp_path}/missing.sock"
    result = call(proxy, echo.port, NAME, NAME, directives=[line])
    assert result.out == "hello\nhello\n" and proxy.targets == [(NAME, echo.port)] * 2
    assert len(warnings(result)) == 1 and "ENOENT" in warnings(result)[0]
    quiet = call(proxy, echo.port, NAME, directives=[line], options=["-q"])
    assert quiet.out == "hello\n" and quiet.err == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="to be another user needs root")
def test_the_socket_of_another_user(conf, make_proxy, echo, make_directory):
    """Read before the program changes its user, as a server does."""
    proxy = make_proxy(names={NAME: ("127.0.0.1", None)})
    becomes_nobody = BLOCKING.replace("sys\n", "sys, os, encodings.idna\nos.setgid(65534)\nos.setuid(65534)\n", 1)
    with LocalApi(make_directory("socket") / "tailscaled.sock", {(NAME, "A"): ["127.0.0.1"]}) as api:
        os.chmod(api.host, 0o600)
        path = conf([proxy], "proxy_dns", api.line())
        result = run_under(sys.executable, ["-c", becomes_nobody, echo.port, NAME], conf=path).ok()
    assert result.out == "hello\n" and proxy.targets == [(NAME, echo.port)] and api.asked == []
    assert "EACCES" in warnings(result)[0]


# -- a slow tailscaled


def test_a_silent_tailscaled_is_given_up(call, local_api, make_proxy, echo):
    """After 5 s, or connect's timeout if that is less; the second connect does not wait again."""
    api = local_api({(NAME, "A"): SILENCE})
    proxy = make_proxy(names={NAME: ("127.0.0.1", None)})
    result = call(proxy, echo.port, NAME, NAME, directives=[api.line(), "tcp_connect_time_out 300"])
    assert result.out == "hello\nhello\n" and proxy.targets == [(NAME, echo.port)] * 2
    assert len(warnings(result)) == 1 and "did not answer in time" in warnings(result)[0]
    assert api.asked == [(NAME, "A")]


PENDING = """
import errno, fcntl, os, select, socket, sys
own = set(os.listdir("/proc/self/fd"))
address = socket.getaddrinfo(sys.argv[2], int(sys.argv[1]))[0][4]
client = socket.socket()
client.setblocking(False)
assert client.connect_ex(address) == errno.EINPROGRESS
ours = {int(fd) for fd in os.listdir("/proc/self/fd")} - {int(fd) for fd in own} - {client.fileno()}
ours = [fd for fd in ours if os.path.exists(f"/proc/self/fd/{fd}")]
print(min(ours) > 100, all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in ours))
lowest = os.dup(0)
print(lowest == client.fileno() + 1)
%s
"""


def test_a_non_blocking_connect_does_not_wait_for_tailscaled(conf, local_api, make_proxy, echo):
    api = local_api({(NAME, "A"): ["127.0.0.1"]}, pause=0.5)
    proxy = make_proxy()
    code = PENDING % "print(select.select([], [client], [], 0.1)[1] == [])\nselect.select([], [client], [], 20)\n"
    code += "client.send(b'hello'); select.select([client], [], [], 20); print(client.recv(5).decode())"
    path = conf([proxy], "proxy_dns", api.line())
    result = run_under(sys.executable, ["-c", code, echo.port, NAME], conf=path).ok()
    assert result.out.split() == ["True", "True", "True", "True", "hello"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_socket_that_is_closed_meanwhile_leaves_nothing(conf, local_api, make_proxy, echo):
    api = local_api({(NAME, "A"): SILENCE})
    code = PENDING % (
        "import time\nclient.close(); os.close(lowest)\n"
        "limit = time.monotonic() + 10\n"
        "while set(os.listdir('/proc/self/fd')) != own and time.monotonic() < limit: time.sleep(0.01)\n"
        "print(set(os.listdir('/proc/self/fd')) == own)"
    )
    path = conf([make_proxy()], "proxy_dns", api.line())
    result = run_under(sys.executable, ["-c", code, echo.port, NAME], conf=path).ok()
    assert result.out.split()[-1] == "True"


TIMED = """
import errno, os, socket, struct, sys
client = socket.socket()
client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", 0, 100_000))
address = socket.getaddrinfo(sys.argv[2], int(sys.argv[1]))[0][4]
try:
    client.connect(address)
except OSError as error:
    print(errno.errorcode[error.errno])
"""


def test_so_sndtimeo_holds_while_tailscaled_is_asked(conf, local_api, make_proxy, echo):
    api = local_api({(NAME, "A"): SILENCE})
    path = conf([make_proxy()], "proxy_dns", api.line())
    result = run_under(sys.executable, ["-c", TIMED, echo.port, NAME], conf=path).ok()
    assert result.out == "EINPROGRESS\n"


def test_threads_that_ask_at_once(conf, local_api, make_proxy, echo):
    names = [f"app{number}.corp.example" for number in range(30)]
    api = local_api({(name, "A"): ["127.0.0.1"] for name in names}, pause=0.05)
    code = BLOCKING.replace("import errno", "from concurrent.futures import ThreadPoolExecutor\nimport errno")
    code = code.replace("for name in sys.argv[2:]:\n", "def one(name):\n")
    code += "with ThreadPoolExecutor(30) as pool: list(pool.map(one, sys.argv[2:]))\n"
    path = conf([make_proxy()], "proxy_dns", api.line())
    result = run_under(sys.executable, ["-c", code, echo.port, *names], conf=path).ok()
    assert result.out.count("hello") == 30 and sorted(api.asked) == sorted((name, "A") for name in names)


# -- the sources of the settings


def environment(api, proxy):
    return {
        "TAILSCALE_SOCKS5_HOST": "127.0.0.2",
        "TAILSCALE_SOCKS5_PORT": proxy.port,
        "TAILSCALE_SOCKET": api.host,
        "TAILSCALE_SEARCH_DOMAINS": "corp.example",
    }


def test_the_environment_says_it_for_the_proxy_that_it_says(conf, local_api, make_proxy, echo):
    api = local_api({(NAME, "A"): ["127.0.0.1"]})
    own = make_proxy(host="127.0.0.2")
    variables = environment(api, own)
    path = conf([f"socks5 127.0.0.1 {own.port}"], "proxy_dns")
    result = run_under(sys.executable, ["-c", BLOCKING, echo.port, "app"], conf=path, env=variables).ok()
    assert result.out == "hello\n" and own.targets == [("127.0.0.1", echo.port)]
    # Another proxy resolves its names itself.
    other = make_proxy(names={"app": ("127.0.0.1", None)})
    path = conf([other], "proxy_dns")
    result = run_under(sys.executable, ["-c", BLOCKING, echo.port, "app"], conf=path, env=variables).ok()
    assert result.out == "hello\n" and other.targets == [("app", echo.port)] and len(api.asked) == 1


def command(*words, **options):
    return run_under(paths.COMMAND, words, via="bare", **options)


def test_explain_names_what_is_asked(conf, local_api, proxy):
    api = local_api()
    path = conf([proxy], "proxy_dns", api.line(), "tailscale_search corp.example")
    lines = command("explain", "-f", path, NAME, "80").ok().out.splitlines()
    assert any(str(api.host) in line and "tailscale_socket" in line for line in lines), lines
    assert not any("tailscale_socket" in line for line in command("explain", "-f", path, "10.0.0.1", "80").out.split())
    assert command("check", path).ok()


@pytest.mark.parametrize(
    "answer, said",
    [
        (["100.100.100.100"], "ok       tailscaled's socket"),
        ("403 Forbidden", "PROBLEM  tailscaled's socket"),
    ],
)
def test_doctor_tries_to_ask(conf, local_api, proxy, answer, said):
    api = local_api({("magicdns.localhost-tailscale-daemon", "A"): answer})
    path = conf([proxy], "proxy_dns", api.line())
    out = command("doctor", "-f", path, need("curl")).out
    assert any(line.startswith(said) and str(api.host) in line for line in out.splitlines()), out
    assert len(api.asked) == 1
