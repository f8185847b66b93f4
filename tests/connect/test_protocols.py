"""What is sent to each type of proxy, and that exactly its reply is read."""

import socket
import struct
import time

import pytest

from support.probe import script
from support.proxy import Mood
from support.run import run_under
from support.server import Server

KINDS = ["socks5", "socks4", "http"]
ANN = {"ann": "s3cret-password"}
BANNER = b"220 mail.example.org ESMTP ready"


def talk(config, port, *more):
    return script("socket inet stream", f"connect 127.0.0.1 {port}", "send hello", "recv 5", *more, conf=config)


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection(conf, make_proxy, echo, kind):
    proxy = make_proxy(kind=kind)
    assert talk(conf([proxy]), echo.port)[1:] == ["0", "5", "5 hello"]
    [request] = proxy.requests
    assert (request.kind, request.target) == (kind, ("127.0.0.1", echo.port))


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_comes_byte_by_byte(conf, make_proxy, echo, kind):
    proxy = make_proxy(Mood(drip=True), kind=kind)
    assert talk(conf([proxy]), echo.port)[1:] == ["0", "5", "5 hello"]


@pytest.mark.parametrize("bound", ["ipv4", "ipv6", "name"])
def test_a_bound_address_of_any_type_is_read_to_its_end(conf, make_proxy, echo, bound):
    """One byte too few or too many would show in the data that follows."""
    proxy = make_proxy(Mood(bound=bound))
    assert talk(conf([proxy]), echo.port)[1:] == ["0", "5", "5 hello"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bound", ["ipv4", "name"])
def test_a_banner_in_the_segment_of_the_answer_loses_no_byte(conf, make_proxy, echo, kind, bound):
    """SMTP, SSH and others: the server sends first, and the proxy forwards that along with its reply."""
    proxy = make_proxy(Mood(glue=BANNER, bound=bound), kind=kind)
    answers = script(
        "socket inet stream",
        f"connect 127.0.0.1 {echo.port}",
        f"recv {len(BANNER)}",
        "send hello",
        "recv 5",
        conf=conf([proxy]),
    )
    assert answers[1:] == ["0", f"{len(BANNER)} {BANNER.decode()}", "5", "5 hello"]


def test_without_credentials_only_no_authentication_is_offered(conf, proxy, echo):
    talk(conf([proxy]), echo.port)
    assert proxy.requests[0].methods == b"\x00"


def test_socks5_with_user_and_password(conf, make_proxy, echo):
    proxy = make_proxy(Mood(users=ANN), credentials=("ann", ANN["ann"]))
    assert talk(conf([proxy]), echo.port)[1:] == ["0", "5", "5 hello"]
    assert 2 in proxy.requests[0].methods
    assert (proxy.requests[0].user, proxy.requests[0].password) == ("ann", ANN["ann"])


def test_a_password_reply_of_version_5_is_accepted(conf, make_proxy, echo):
    proxy = make_proxy(Mood(users=ANN, auth_version=5), credentials=("ann", ANN["ann"]))
    assert talk(conf([proxy]), echo.port)[1] == "0"


def test_credentials_of_255_bytes(conf, make_proxy, echo):
    user, password = "u" * 255, "p" * 255
    proxy = make_proxy(Mood(users={user: password}), credentials=(user, password))
    assert talk(conf([proxy]), echo.port)[1] == "0"


def test_socks4_sends_the_user(conf, make_proxy, echo):
    proxy = make_proxy(kind="socks4", credentials=("ann",))
    assert talk(conf([proxy]), echo.port)[1] == "0"
    assert proxy.requests[0].user == "ann"


def test_http_with_user_and_password(conf, make_proxy, echo):
    proxy = make_proxy(Mood(users=ANN), kind="http", credentials=("ann", ANN["ann"]))
    assert talk(conf([proxy]), echo.port)[1:] == ["0", "5", "5 hello"]


def test_http_request_line_and_host(conf, make_proxy, echo):
    proxy = make_proxy(kind="http")
    talk(conf([proxy]), echo.port)
    lines = proxy.requests[0].head.split("\r\n")
    assert lines[0] == f"CONNECT 127.0.0.1:{echo.port} HTTP/1.0"
    assert f"Host: 127.0.0.1:{echo.port}" in lines


def test_http_puts_ipv6_in_brackets(conf, make_proxy, make_echo):
    proxy, target = make_proxy(kind="http"), make_echo(host="::1")
    script("socket inet6 stream", f"connect ::1 {target.port}", conf=conf([proxy]))
    assert proxy.requests[0].head.startswith(f"CONNECT [::1]:{target.port} HTTP/1.0\r\n")


@pytest.mark.parametrize("status", ["200 Connection established", "201 Created", "204 No Content"])
def test_any_http_answer_of_200_to_299_is_good(conf, make_proxy, echo, status):
    proxy = make_proxy(Mood(reply=status, headers=("Via: 1.1 tailnet", "X-Empty:")), kind="http")
    assert talk(conf([proxy]), echo.port)[1:] == ["0", "5", "5 hello"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_name_reaches_the_proxy_as_a_name(conf, make_proxy, echo, kind):
    proxy = make_proxy(names={"db.example": ("127.0.0.1", echo.port)}, kind=kind)
    code = "import socket; s = socket.create_connection(('db.example', 5432)); s.sendall(b'hello'); print(s.recv(5))"
    result = run_under("python3", ["-c", code], conf=conf([proxy], "proxy_dns")).ok()
    assert result.out == "b'hello'\n"
    assert proxy.targets == [("db.example", 5432)]


def test_urls_name_proxies_too(conf, make_proxy, echo):
    proxy = make_proxy(Mood(users={"ann": "secret"}))
    config = conf([f"socks5://ann:secret@{proxy.address}"])
    assert talk(config, echo.port)[1] == "0"
    assert proxy.requests[0].user == "ann"


def test_the_request_waits_for_the_method(conf, proxy, echo):
    talk(conf([proxy]), echo.port)
    assert proxy.requests[0].early == b""


def test_proxy_pipeline_sends_greeting_and_request_in_one_segment(conf, proxy, echo):
    assert talk(conf([proxy], "proxy_pipeline"), echo.port)[1:] == ["0", "5", "5 hello"]
    assert proxy.requests[0].early == b"\x05\x01\x00\x01\x7f\x00\x00\x01" + echo.port.to_bytes(2, "big")


@pytest.mark.parametrize("mood", [{"drip": True}, {"glue": BANNER}, {"bound": "name", "glue": BANNER}])
def test_proxy_pipeline_reads_to_the_exact_byte(conf, make_proxy, echo, mood):
    """Through two hops, each of which sends its method selection and its reply."""
    first, second = make_proxy(), make_proxy(Mood(**mood))
    parts = [part for part in (mood.get("glue", b""), b"hello") if part]
    answers = script(
        "socket inet stream",
        f"connect 127.0.0.1 {echo.port}",
        "send hello",
        *[f"recv {len(part)}" for part in parts],
        conf=conf([first, second], "proxy_pipeline"),
    )
    assert answers[1:] == ["0", "5", *[f"{len(part)} {part.decode()}" for part in parts]]


def test_proxy_pipeline_leaves_a_greeting_that_offers_a_user_alone(conf, make_proxy, echo):
    proxy = make_proxy(Mood(users=ANN), credentials=("ann", ANN["ann"]))
    assert talk(conf([proxy], "proxy_pipeline"), echo.port)[1:] == ["0", "5", "5 hello"]
    assert proxy.requests[0].early == b""


class TwoWrites(Server):
    """Plays both hops itself, on one connection. At each it sends the method selection, waits until that is
    acknowledged, as Nagle's algorithm does, and then sends the reply to the request."""

    def __init__(self):
        self.waits = []  # seconds, at the second hop
        super().__init__()

    def line(self):
        return f"socks5 {self.host} {self.port}"

    def handle(self, connection):
        for hop in [1, 2]:
            connection.recv(13, socket.MSG_WAITALL)
            began = time.monotonic()
            connection.sendall(b"\x05\x00")
            while unacknowledged(connection):
                time.sleep(0.001)
            wait = time.monotonic() - began
            if hop == 2:
                self.waits.append(wait)
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
        connection.recv(1)


def unacknowledged(connection):
    """tcpi_unacked of struct tcp_info (linux/tcp.h): the number of unacknowledged segments."""
    OFFSET = 24
    information = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, OFFSET + 4)
    return struct.unpack_from("=I", information, OFFSET)[0]


def test_proxy_pipeline_acknowledges_the_first_of_two_answers_at_once(conf):
    """At the first hop the kernel does so itself; at later hops it takes 40 ms or more. A busy machine can make a wait
    longer but never shorter, so one short wait is proof."""
    with TwoWrites() as proxy:
        config = conf([proxy, proxy], "proxy_pipeline")
        for _ in range(20):
            assert script("socket inet stream", "connect 192.0.2.1 80", conf=config)[1] == "0"
            if min(proxy.waits) < 0.02:
                return
    raise AssertionError(f"seconds without an ACK: {proxy.waits}")


@pytest.mark.parametrize("reply, errno", [(2, "EACCES"), (4, "EHOSTUNREACH")])
def test_proxy_pipeline_reports_the_reply_of_the_proxy(conf, make_proxy, echo, reply, errno):
    proxy = make_proxy(Mood(reply=reply))
    assert talk(conf([proxy], "proxy_pipeline"), echo.port)[1] == f"-1 {errno}"


def test_proxy_pipeline_reports_that_no_method_is_accepted(conf, make_proxy, echo):
    proxy = make_proxy(Mood(method=0xFF))
    assert talk(conf([proxy], "proxy_pipeline"), echo.port)[1] == "-1 EACCES"
