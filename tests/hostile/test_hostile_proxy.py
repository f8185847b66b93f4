"""A proxy that turns hostile at any reply, as the only hop, the first or the last of two, for blocking and non-blocking
sockets. Expected: the errno of docs/errors.md, soon; no byte lost or invented; no fd and no thread left behind.

Each test runs its cases side by side and compares all of them at once.
"""

import errno
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from support.config import Configs
from support.hostile import HALF_CLOSE, HostileProxy, changed, cut, endless, half_closed, in_pieces, instead
from support.probe import probe, script
from support.proxy import CLOSE, RESET, SILENCE, Mood, Proxy
from support.server import EchoServer

KINDS = ["socks5", "socks5 with a password", "socks4", "http"]
STAGES = {
    "socks5": ["greeting", "request"],
    "socks5 with a password": ["greeting", "auth", "request"],
    "socks4": ["request"],
    "http": ["request"],
}
PLACES = ["only hop", "first of two", "last of two"]
SOCKETS = ["blocking", "non-blocking"]

# For cases that end with a timeout; long enough for honest hops on a busy machine to reply.
SHORT = ("tcp_read_time_out 1500",)
LONG = ("tcp_read_time_out 60000",)

LOST = "ECONNRESET"
LATE = "ETIMEDOUT"


@dataclass
class Case:
    """One connect. `acts` as for HostileProxy; `expected` is the name of an errno, or None for a connection that works,
    on which the server's first bytes are `first`."""

    name: str
    kind: str
    acts: dict
    expected: str = None
    first: bytes = b""
    echoes: bool = True
    times: tuple = LONG

    def proxy(self):
        word, _, secret = self.kind.partition(" ")
        users = {"ann": "secret"} if secret else {}
        return HostileProxy(
            self.acts, mood=Mood(users=users), kind=word, credentials=("ann", "secret") if secret else None
        )


def operations(case, socket, port):
    """The probe's operations, and their expected results."""
    late = socket == "non-blocking"
    steps = [("left", None), (f"socket inet stream 0 {'nonblock' if late else ''}", "3")]
    connect = f"connect 127.0.0.1 {port}"
    if late:
        number = getattr(errno, case.expected) if case.expected else 0
        steps += [
            (connect, "-1 EINPROGRESS"),
            ("wait 60000", "1"),
            ("get SOL_SOCKET SO_ERROR", str(number)),
            ("nonblock 0", "0"),
        ]
    else:
        steps += [(connect, f"-1 {case.expected}" if case.expected else "0")]
    if not case.expected:
        if case.first:
            steps += [(f"recv {len(case.first)}", f"{len(case.first)} {case.first.decode()}")]
        steps += [("send hello", "5")]
        steps += [("recv 5", "5 hello"), ("shutdown 1", "0")] if case.echoes else []
        steps += [("recv 4096", "0 ")]
    return [*steps, ("close", "0"), ("left", None)]


def play(case, place, socket, directory):
    """The actual and the expected results, each operation with its result."""
    directory.mkdir()
    with case.proxy() as hostile, Proxy() as honest, EchoServer() as server:
        chain = {"only hop": [hostile], "first of two": [hostile, honest], "last of two": [honest, hostile]}[place]
        steps = operations(case, socket, server.port)
        answers = script(*(step for step, _ in steps), conf=Configs(directory)(chain, *case.times), options=["-q"])
        seen = dict(zip([step for step, _ in steps[1:]], answers[1:], strict=True))
        # Threads and fds at the end are those of the beginning.
        wanted = dict(steps[1:-1]) | {"left": answers[0]}
        wanted["server"] = b"" if case.expected else b"hello"
        seen["server"] = received(server, wanted["server"])
    return seen, wanted


def received(server, wanted, patience=20):
    """All that the server received, on any connection, as soon as it is what is expected or time is over."""
    until = time.monotonic() + patience
    while b"".join(server.received) != wanted and time.monotonic() < until:
        time.sleep(0.01)
    return b"".join(server.received)


@pytest.fixture
def all_as_expected(tmp_path):
    """all_as_expected(cases, places): runs each case at each place with each kind of socket."""
    probe("socket_script")
    directories = (tmp_path / str(number) for number in itertools.count())

    def check(cases, places=PLACES):
        todo = list(itertools.product(cases, places, SOCKETS))
        # Most of them wait for a timeout, so many can run on each CPU.
        with ThreadPoolExecutor(8 * os.cpu_count()) as pool:
            results = list(pool.map(lambda one, directory: play(*one, directory), todo, directories))
        wrong = {
            f"{case.name}, {place}, {socket}": {
                step: (seen[step], wanted[step]) for step in wanted if seen[step] != wanted[step]
            }
            for (case, place, socket), (seen, wanted) in zip(todo, results, strict=True)
            if seen != wanted
        }
        assert todo and not wrong

    return check


# The lengths at which a reply is truncated: all of SOCKS, the interesting ones of HTTP.
CUTS = {
    ("socks5", "greeting"): range(2),
    ("socks5", "request"): range(10),
    ("socks5 with a password", "greeting"): range(2),
    ("socks5 with a password", "auth"): range(2),
    ("socks5 with a password", "request"): range(0, 10, 3),
    ("socks4", "request"): range(8),
    ("http", "request"): [0, 1, 5, 9, 12, 15, 17, 18],
}


@pytest.mark.parametrize("how", [CLOSE, RESET, HALF_CLOSE, SILENCE])
@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_that_ends_anywhere(all_as_expected, kind, how):
    late = how == SILENCE
    all_as_expected(
        Case(
            f"{stage} cut after {length}",
            kind,
            {stage: cut(length, how)},
            LATE if late else LOST,
            times=SHORT if late else LONG,
        )
        for stage in STAGES[kind]
        for length in CUTS[kind, stage]
    )


GARBAGE = bytes(range(255, -1, -1)) * 16


@pytest.mark.parametrize("kind", KINDS)
def test_nonsense(all_as_expected, kind):
    """Whether the proxy then closes or waits does not matter: an invalid reply is recognized at once."""
    cases = [
        Case(f"{what} at the {stage}, {how}", kind, {stage: instead(data, how)}, LOST)
        for stage in STAGES[kind]
        for how in (CLOSE, SILENCE)
        for what, data in {
            "garbage": GARBAGE,
            "an SSH banner": b"SSH-2.0-OpenSSH_9.2\r\n",
            "a TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
        }.items()
    ]
    all_as_expected(cases)


def of_version(version):
    return changed(lambda answer: bytes([version]) + answer[1:])


ADDRESS_TYPES = [0, 2, 5, 255]
SLIGHTLY_WRONG = {
    "socks5": [
        *(Case(f"greeting of version {v}", "socks5", {"greeting": of_version(v)}, LOST) for v in (0, 4, 255)),
        *(Case(f"reply of version {v}", "socks5", {"request": of_version(v)}, LOST) for v in (0, 4, 255)),
        *(
            Case(
                f"bound address of type {t}",
                "socks5",
                {"request": changed(lambda answer, t=t: answer[:3] + bytes([t]) + answer[4:])},
                LOST,
            )
            for t in ADDRESS_TYPES
        ),
        Case("a method nobody offered", "socks5", {"greeting": instead(b"\x05\x02", SILENCE)}, LOST),
        Case("surplus after the greeting", "socks5", {"greeting": changed(lambda answer: answer + b"\xff" * 64)}, LOST),
    ],
    "socks4": [Case(f"reply of version {v}", "socks4", {"request": of_version(v)}, LOST) for v in (1, 5, 255)],
    "http": [
        Case("no status", "http", {"request": instead(b"HTTP/1.1\r\n\r\n", SILENCE)}, LOST),
        Case("a status of two digits", "http", {"request": instead(b"HTTP/1.1 20 OK\r\n\r\n", SILENCE)}, LOST),
        Case("a status of four digits", "http", {"request": instead(b"HTTP/1.1 2000 OK\r\n\r\n", SILENCE)}, LOST),
    ],
}


@pytest.mark.parametrize("kind", SLIGHTLY_WRONG)
def test_an_answer_with_one_wrong_field(all_as_expected, kind):
    all_as_expected(SLIGHTLY_WRONG[kind])


HEADER_LIMIT = 64 * 1024


def padded(length):
    """A valid HTTP reply, made this long by a header line."""

    def pad(answer):
        head = answer.removesuffix(b"\r\n") + b"X: "
        return head + b"x" * (length - len(head) - 4) + b"\r\n\r\n"

    return changed(pad)


ENDLESS = {
    "a header line without end": ("http", "request", b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096, 0, LOST),
    "header lines without end": ("http", "request", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500, 0, LOST),
    "a header that drips": ("http", "request", b"HTTP/1.1 200 OK\r\nX: ", b"x", 0.02, LATE),
    "a bound name that drips": ("socks5", "request", b"\x05\x00\x00\x03\xff", b"x", 0.02, LATE),
}


def test_an_answer_without_end(all_as_expected):
    """Neither much data nor a little now and then extends connect beyond its timeouts."""
    cases = [
        Case(name, kind, {stage: endless(first, more, pause)}, expected, times=SHORT if expected == LATE else LONG)
        for name, (kind, stage, first, more, pause, expected) in ENDLESS.items()
    ]
    cases.append(Case("a header of one byte too many", "http", {"request": padded(HEADER_LIMIT + 1)}, LOST))
    all_as_expected(cases)


@pytest.mark.parametrize("kind", KINDS)
def test_unusual_but_valid_replies_are_accepted(all_as_expected, kind):
    stages = STAGES[kind]
    cases = [
        Case("byte by byte", kind, dict.fromkeys(stages, in_pieces(1, 0.002))),
        Case("three bytes at a time", kind, dict.fromkeys(stages, in_pieces(3, 0.01))),
        Case(
            "late",
            kind,
            dict.fromkeys(stages, lambda connection, answer: (time.sleep(0.3), connection.sendall(answer))),
        ),
    ]
    if kind == "http":
        cases += [
            Case("a header of just 64 KiB", kind, {"request": padded(HEADER_LIMIT)}),
            Case("lines that end without CR", kind, {"request": changed(lambda answer: answer.replace(b"\r", b""))}),
        ]
    if kind == "socks5":
        reply = b"\x05\x00\x00\x01\x0a\x00\x00\x01\x00\x50"
        early = {"greeting": changed(lambda answer: answer + reply), "request": changed(lambda answer: b"")}
        cases += [
            Case("the reply before the request", kind, early),
            Case(
                "a bound name of 255 bytes",
                kind,
                {"request": changed(lambda answer: answer[:3] + b"\x03\xff" + b"n" * 255 + answer[-2:])},
            ),
        ]
    all_as_expected(cases)


# Every position in it is recognizable: a lost, duplicated or moved byte shows.
FIRST = "".join(f"{number:04d}" for number in range(1000)).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_reply_glued_to_the_servers_first_data_loses_no_byte(all_as_expected, kind):
    def split(connection, answer):
        """The border between two segments is within the last bytes of the reply and the first data."""
        together = answer + FIRST
        connection.sendall(together[: len(answer) - 1])
        time.sleep(0.05)
        connection.sendall(together[len(answer) - 1 :])

    cases = [
        Case("in one segment", kind, {"request": changed(lambda answer: answer + FIRST)}, first=FIRST),
        Case("with its last byte", kind, {"request": split}, first=FIRST),
    ]
    all_as_expected(cases, places=["only hop", "last of two"])
    # The first hop's excess data is where the second hop's reply should be.
    all_as_expected(
        [Case("too much", kind, {"request": changed(lambda answer: answer + FIRST)}, LOST)], ["first of two"]
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_proxy_that_closes_its_half_after_the_reply(all_as_expected, kind):
    """To the program it is a connection whose server sends nothing."""
    case = Case("half-closed", kind, {"request": half_closed}, echoes=False)
    all_as_expected([case], places=["only hop", "last of two"])
    case.expected = LOST
    all_as_expected([case], places=["first of two"])
