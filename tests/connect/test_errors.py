"""A failure at a proxy gives the errno that a kernel would give for it (connect(2))."""

import pytest

from support.probe import run_probe, script
from support.proxy import CLOSE, RESET, SILENCE, Mood

FAST = ("tcp_read_time_out 400", "tcp_connect_time_out 400")
PATIENT = ("tcp_read_time_out 60000", "tcp_connect_time_out 60000")


@pytest.fixture
def outcome(conf, make_proxy, echo):
    """outcome(mood, kind=…, times=…, credentials=…): the result of connect through such a proxy."""

    def run(mood, kind="socks5", times=PATIENT, credentials=None, chain="strict_chain"):
        proxy = make_proxy(mood, kind=kind, credentials=credentials)
        config = conf([proxy], *times, chain=chain)
        return script("socket inet stream", f"connect 127.0.0.1 {echo.port}", "get SOL_SOCKET SO_ERROR", conf=config)[1]

    return run


SOCKS5_REPLIES = {
    1: "ECONNREFUSED",
    2: "EACCES",
    3: "ENETUNREACH",
    4: "EHOSTUNREACH",
    5: "ECONNREFUSED",
    6: "ETIMEDOUT",
    7: "EOPNOTSUPP",
    8: "EAFNOSUPPORT",
}


@pytest.mark.parametrize("code", SOCKS5_REPLIES)
def test_a_socks5_reply_has_its_errno(outcome, code):
    assert outcome(Mood(reply=code)) == f"-1 {SOCKS5_REPLIES[code]}"


@pytest.mark.parametrize("chain", ["dynamic_chain", "random_chain", "round_robin_chain"])
def test_the_errno_is_the_same_in_every_kind_of_chain(outcome, chain):
    assert outcome(Mood(reply=4), chain=chain) == "-1 EHOSTUNREACH"


def test_a_general_failure_after_the_dial_limit_of_tailscaled_is_a_timeout(outcome):
    """tailscaled gives up after 5 seconds, and has one reply code for all failures."""
    assert outcome(Mood(reply=1, delay=5.0)) == "-1 ETIMEDOUT"


HTTP_ANSWERS = {
    "403 Forbidden": "EACCES",
    "407 Proxy Authentication Required": "EACCES",
    "504 Gateway Timeout": "ETIMEDOUT",
    "500 Internal Server Error": "ECONNREFUSED",
    "502 Bad Gateway": "ECONNREFUSED",
    "404 Not Found": "ECONNREFUSED",
    "302 Found": "ECONNREFUSED",
}


@pytest.mark.parametrize("status", HTTP_ANSWERS)
def test_an_http_answer_has_its_errno(outcome, status):
    assert outcome(Mood(reply=status), kind="http") == f"-1 {HTTP_ANSWERS[status]}"


# The texts of Go's net package, as tailscaled forwards them.
TAILSCALE_REASONS = {
    "dial tcp 100.64.0.9:5432: connect: connection refused": "ECONNREFUSED",
    "dial tcp 100.64.0.9:5432: i/o timeout": "ETIMEDOUT",
    "context deadline exceeded": "ETIMEDOUT",
    "dial tcp 100.64.0.9:5432: connect: no route to host": "EHOSTUNREACH",
    "dial tcp 100.64.0.9:5432: connect: network is unreachable": "ENETUNREACH",
}


@pytest.mark.parametrize("reason", TAILSCALE_REASONS)
def test_the_reason_that_tailscaled_gives_has_its_errno(outcome, reason):
    mood = Mood(reply="500 Internal Server Error", headers=(f"Tailscale-Connect-Error: {reason}",))
    assert outcome(mood, kind="http") == f"-1 {TAILSCALE_REASONS[reason]}"


def test_a_socks4_refusal_is_a_refusal(outcome):
    assert outcome(Mood(reply=91), kind="socks4") == "-1 ECONNREFUSED"


@pytest.mark.parametrize("code", [92, 93])
def test_a_socks4_identd_failure_is_a_denial(outcome, code):
    assert outcome(Mood(reply=code), kind="socks4") == "-1 EACCES"


def test_ipv6_through_socks4_is_refused_before_anything_is_asked(conf, make_proxy, make_echo):
    proxy, target = make_proxy(kind="socks4"), make_echo(host="::1")
    answers = script("socket inet6 stream", f"connect ::1 {target.port}", conf=conf([proxy]))
    assert answers[1] == "-1 EAFNOSUPPORT"
    assert proxy.requests == []


AUTHENTICATION = {
    "no acceptable method": (Mood(method=0xFF), None),
    "wrong password": (Mood(users={"ann": "right"}), ("ann", "wrong")),
    "credentials wanted, none given": (Mood(users={"ann": "right"}), None),
}


@pytest.mark.parametrize("name", AUTHENTICATION)
def test_refused_authentication_is_eacces(outcome, name):
    mood, credentials = AUTHENTICATION[name]
    assert outcome(mood, credentials=credentials) == "-1 EACCES"


def test_a_wrong_http_password_is_eacces(outcome):
    assert outcome(Mood(users={"ann": "right"}), kind="http", credentials=("ann", "wrong")) == "-1 EACCES"


ANN = {"users": {"ann": "secret"}}
NONSENSE = {
    "closes at the greeting": ("socks5", Mood(instead={"greeting": CLOSE})),
    "resets at the greeting": ("socks5", Mood(instead={"greeting": RESET})),
    "greets as version 4": ("socks5", Mood(instead={"greeting": b"\x04\x00"})),
    "answers with a banner": ("socks5", Mood(instead={"greeting": b"SSH-2.0-OpenSSH\r\n"})),
    "chooses a method that was not offered": ("socks5", Mood(instead={"greeting": b"\x05\x01"})),
    "closes at the password": ("socks5", Mood(**ANN, instead={"auth": CLOSE})),
    "password reply of version 9": ("socks5", Mood(**ANN, instead={"auth": b"\x09\x00"})),
    "closes at the request": ("socks5", Mood(instead={"request": CLOSE})),
    "resets at the request": ("socks5", Mood(instead={"request": RESET})),
    "replies as version 1": ("socks5", Mood(instead={"request": b"\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"})),
    "bound address of an unknown type": (
        "socks5",
        Mood(instead={"request": b"\x05\x00\x00\x07\x00\x00\x00\x00\x00\x00"}),
    ),
    "socks4 closes": ("socks4", Mood(instead={"request": CLOSE})),
    "socks4 replies as version 5": ("socks4", Mood(instead={"request": b"\x05\x5a\x00\x00\x00\x00\x00\x00"})),
    "http closes": ("http", Mood(instead={"request": CLOSE})),
    "http is no http": ("http", Mood(instead={"request": b"220 mail.example ESMTP\r\n\r\n"})),
    "http header without end": ("http", Mood(instead={"request": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000})),
}


@pytest.mark.parametrize("name", NONSENSE)
def test_invalid_replies_and_early_ends_are_econnreset(outcome, name):
    kind, mood = NONSENSE[name]
    credentials = ("ann", "secret") if mood.users else None
    assert outcome(mood, kind=kind, credentials=credentials) == "-1 ECONNRESET"


SILENCES = {
    "at the greeting": ("socks5", Mood(instead={"greeting": SILENCE})),
    "at the password": ("socks5", Mood(**ANN, instead={"auth": SILENCE})),
    "at the request": ("socks5", Mood(instead={"request": SILENCE})),
    "of socks4": ("socks4", Mood(instead={"request": SILENCE})),
    "of http": ("http", Mood(instead={"request": SILENCE})),
}


@pytest.mark.parametrize("name", SILENCES)
def test_a_proxy_that_falls_silent_is_a_timeout(outcome, name):
    kind, mood = SILENCES[name]
    credentials = ("ann", "secret") if mood.users else None
    assert outcome(mood, kind=kind, credentials=credentials, times=FAST) == "-1 ETIMEDOUT"


def test_a_proxy_that_stops_in_the_middle_of_its_reply_is_a_timeout(outcome):
    assert outcome(Mood(instead={"request": b"\x05\x00\x00"}), times=FAST) == "-1 ETIMEDOUT"


def test_a_proxy_port_that_refuses(conf, refusing, echo):
    config = conf([f"socks5 127.0.0.1 {refusing}"])
    assert script("socket inet stream", f"connect 127.0.0.1 {echo.port}", conf=config)[1] == "-1 ECONNREFUSED"


def test_a_proxy_port_that_never_answers(conf, deaf, echo):
    config = conf([f"socks5 127.0.0.1 {deaf}"], *FAST)
    assert script("socket inet stream", f"connect 127.0.0.1 {echo.port}", conf=config)[1] == "-1 ETIMEDOUT"


def test_an_unreachable_proxy_gives_the_errno_of_the_kernel(conf, echo):
    bare = script("socket inet stream", "connect 255.255.255.255 1080", via="bare")[1]
    config = conf(["socks5 255.255.255.255 1080"])
    assert script("socket inet stream", f"connect 127.0.0.1 {echo.port}", conf=config)[1] == bare


@pytest.mark.parametrize("stage", ["greeting", "auth", "request"])
@pytest.mark.parametrize("how", [CLOSE, RESET])
def test_a_proxy_that_goes_away_raises_no_sigpipe(outcome, stage, how):
    """The probe keeps SIGPIPE's default action, which would kill it."""
    assert outcome(Mood(**ANN, instead={stage: how}), credentials=("ann", "secret")) == "-1 ECONNRESET"


def test_a_send_time_limit_ends_connect_as_in_the_kernel(conf, make_proxy, echo, deaf):
    """SO_SNDTIMEO limits connect: EINPROGRESS when it expires (socket(7))."""
    bare = script("socket inet stream", "set_time SO_SNDTIMEO 300", f"connect 127.0.0.1 {deaf}", via="bare")
    proxy = make_proxy(Mood(instead={"request": SILENCE}))
    proxied = script(
        "socket inet stream", "set_time SO_SNDTIMEO 300", f"connect 127.0.0.1 {echo.port}", conf=conf([proxy], *PATIENT)
    )
    assert proxied == bare


def test_a_signal_interrupts_connect_and_it_can_be_made_again(conf, make_proxy, echo):
    proxy = make_proxy(Mood(delay=2))
    result = run_probe("interrupted", "127.0.0.1", echo.port, 300, "plain", conf=conf([proxy], *PATIENT)).ok()
    assert result.out.splitlines() == ["connect -1 EINTR handled 1", "again connected echo 1"]


def test_a_signal_with_sa_restart_does_not_interrupt_connect(conf, make_proxy, echo):
    proxy = make_proxy(Mood(delay=1))
    result = run_probe("interrupted", "127.0.0.1", echo.port, 300, "restart", conf=conf([proxy], *PATIENT)).ok()
    assert result.out.splitlines() == ["connect 0  handled 1", "echo 1"]


def test_the_next_connect_on_a_failed_socket_starts_afresh(conf, make_proxy, echo):
    """Through a proxy that rejects once; nothing of the first tunnel may be left on the socket."""
    proxy = make_proxy(Mood(reply=2))
    operations = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", f"connect 127.0.0.1 {echo.port}"]
    assert script(*operations, conf=conf([proxy]))[1:] == ["-1 EACCES", "-1 EACCES"]
    assert len(proxy.requests) == 2


def test_a_signal_interrupts_connect_while_the_proxy_does_not_answer_the_syn(conf, deaf):
    config = conf([f"socks5 127.0.0.1 {deaf}"], "tcp_connect_time_out 3000")
    result = run_probe("interrupted", "127.0.0.1", 9, 300, "plain", conf=config).ok()
    assert result.out.splitlines()[0] == "connect -1 EINTR handled 1"
