"""A proxy with a personality: speaks SOCKS5, SOCKS4(a) and HTTP CONNECT on one port, records what it is asked,
really dials (or is told what to answer instead), and misbehaves on request.

Formats: SOCKS5 is RFC 1928 and RFC 1929, HTTP CONNECT is RFC 9110 section 9.3.6; SOCKS4 and 4a have no RFC.
"""

import base64
import selectors
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field

from .server import Server

CLOSE = "close"
RESET = "reset"
SILENCE = "silence"


@dataclass
class Mood:
    """How the proxy behaves. By default it has no faults and admits all clients."""

    users: dict = field(default_factory=dict)  # user -> password; asked for when not empty
    method: int = None  # the SOCKS5 method to choose, whatever was offered
    auth_version: int = 1  # of the SOCKS5 user/password reply
    reply: object = None  # answer this SOCKS code or HTTP status line instead of dialling
    headers: tuple = ()  # further lines of an HTTP answer
    delay: float = 0  # seconds before the answer to the request
    gate: object = None  # a Gate to wait for before the answer to the request
    bound: str = "ipv4"  # type of the bound address in a SOCKS5 reply: ipv4, ipv6, name
    drip: bool = False  # answers go out one byte at a time
    glue: bytes = b""  # follows a good answer in the same segment, as if the server had spoken first
    # "greeting", "auth", "request" -> CLOSE, RESET, SILENCE or bytes that are sent in place of the answer
    instead: dict = field(default_factory=dict)


@dataclass
class Request:
    """A client's request."""

    kind: str  # socks5, socks4, http
    host: str = None
    port: int = None
    user: str = None
    password: str = None
    methods: bytes = b""
    early: bytes = b""  # what came with the SOCKS5 greeting, before a method was chosen
    head: str = ""  # the HTTP request as it came
    dialled: bool = False

    @property
    def target(self):
        return (self.host, self.port)


class Misbehaved(Exception):
    """The mood's `instead` was executed; the conversation is over."""


class Proxy(Server):
    """`names` is this proxy's DNS: name -> (address, port or None to keep the port)."""

    def __init__(self, mood=None, names=None, kind="socks5", credentials=None, **where):
        self.mood = mood or Mood()
        self.names = names or {}
        self.kind = kind
        self.credentials = credentials
        self.requests = []
        super().__init__(**where)

    def line(self):
        """The proxy's line in a config."""
        credentials = " ".join(self.credentials or ())
        if self.port is None:
            return f"{self.kind} unix:{self.host} {credentials}".rstrip()
        return f"{self.kind} {self.host} {self.port} {credentials}".rstrip()

    @property
    def address(self):
        return f"unix:{self.host}" if self.port is None else f"{self.host}:{self.port}"

    @property
    def targets(self):
        return [request.target for request in self.requests]

    def handle(self, connection):
        if self.port is not None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        first = connection.recv(1, socket.MSG_PEEK)
        speak = {b"\x05": _socks5, b"\x04": _socks4}.get(first, _http)
        if not first:
            return
        try:
            server = speak(self, connection)
        except Misbehaved:
            return
        if server:
            with server:
                relay(connection, server)

    # -- shared by the protocols

    def record(self, request):
        with self.lock:
            self.requests.append(request)
        return request

    def hesitate(self):
        """The exchange before the reply to a request."""
        time.sleep(self.mood.delay)
        if self.mood.gate:
            self.mood.gate.wait()

    def dial(self, request):
        """(socket, None) or (None, error)."""
        host, port = request.target
        if host in self.names:
            host, other = self.names[host]
            port = other or port
        try:
            server = socket.create_connection((host, port), timeout=10)
            server.settimeout(None)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            return None, error
        request.dialled = True
        return server, None

    def answer(self, connection, stage, data):
        """Send `data`, or do what the mood has instead."""
        instead = self.mood.instead.get(stage)
        if instead is None:
            return self.send(connection, data)
        if instead == RESET:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif instead == SILENCE:
            connection.recv(1)
        elif instead != CLOSE:
            self.send(connection, instead)
            connection.settimeout(10)
            while connection.recv(4096):
                pass
        raise Misbehaved

    def send(self, connection, data):
        if not self.mood.drip:
            return connection.sendall(data)
        for byte in data:
            connection.sendall(bytes([byte]))
            time.sleep(0.001)


def _exactly(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise ConnectionError("the client closed in the middle of a message")
        data += more
    return data


def _until(connection, end):
    data = b""
    while not data.endswith(end):
        data += _exactly(connection, 1)
    return data


def _socks5(proxy, connection):
    request = Request("socks5")
    mood = proxy.mood
    request.methods = _exactly(connection, _exactly(connection, 2)[1])
    with suppress(BlockingIOError):
        request.early = connection.recv(4096, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    method = mood.method
    if method is None:
        wanted = 2 if mood.users else 0
        method = wanted if wanted in request.methods else 0xFF
    proxy.answer(connection, "greeting", bytes([5, method]))
    if method == 2:
        _exactly(connection, 1)
        request.user = _exactly(connection, _exactly(connection, 1)[0]).decode()
        request.password = _exactly(connection, _exactly(connection, 1)[0]).decode()
        good = mood.users.get(request.user) == request.password
        proxy.answer(connection, "auth", bytes([mood.auth_version, 0 if good else 1]))
        if not good:
            return None
    elif method == 0xFF:
        return None
    _, command, _, kind = _exactly(connection, 4)
    if kind == 1:
        request.host = socket.inet_ntop(socket.AF_INET, _exactly(connection, 4))
    elif kind == 4:
        request.host = socket.inet_ntop(socket.AF_INET6, _exactly(connection, 16))
    elif kind == 3:
        request.host = _exactly(connection, _exactly(connection, 1)[0]).decode()
    request.port = int.from_bytes(_exactly(connection, 2), "big")
    assert command == 1, f"SOCKS5 command {command}: only CONNECT is expected"
    proxy.record(request)
    proxy.hesitate()
    code, server = mood.reply, None
    if code is None:
        server, error = proxy.dial(request)
        code = 0 if server else 5 if isinstance(error, ConnectionRefusedError) else 4
    bound = {
        "ipv4": b"\x01" + socket.inet_aton("10.1.2.3"),
        "ipv6": b"\x04" + socket.inet_pton(socket.AF_INET6, "2001:db8::1"),
        "name": b"\x03\x0bexit.ts.net",
    }[mood.bound]
    reply = bytes([5, code, 0]) + bound + b"\x12\x34"
    proxy.answer(connection, "request", reply + (mood.glue if server else b""))
    return server


def _socks4(proxy, connection):
    request = Request("socks4")
    mood = proxy.mood
    _, _, request.port, address = struct.unpack("!BBH4s", _exactly(connection, 8))
    request.user = _until(connection, b"\0")[:-1].decode()
    request.host = socket.inet_ntoa(address)
    if address[:3] == b"\0\0\0" and address[3]:
        request.host = _until(connection, b"\0")[:-1].decode()
    proxy.record(request)
    proxy.hesitate()
    code, server = mood.reply, None
    if code is None:
        server, _ = proxy.dial(request)
        code = 90 if server else 91
    reply = struct.pack("!BBH4s", 0, code, request.port, address)
    proxy.answer(connection, "request", reply + (mood.glue if server else b""))
    return server


def _http(proxy, connection):
    request = Request("http")
    mood = proxy.mood
    request.head = _until(connection, b"\r\n\r\n").decode()
    method, authority, _ = request.head.split(" ", 2)
    assert method == "CONNECT", f"HTTP method {method}: only CONNECT is expected"
    host, _, port = authority.rpartition(":")
    request.host, request.port = host.strip("[]"), int(port)
    for line in request.head.split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "proxy-authorization":
            secret = base64.b64decode(value.removeprefix("Basic ")).decode()
            request.user, _, request.password = secret.partition(":")
    proxy.record(request)
    proxy.hesitate()
    status, server = mood.reply, None
    if mood.users and mood.users.get(request.user) != request.password:
        status = "407 Proxy Authentication Required"
    elif status is None or status.startswith("2"):
        server, _ = proxy.dial(request)
        status = (status or "200 OK") if server else "502 Bad Gateway"
    head = "\r\n".join([f"HTTP/1.1 {status}", *mood.headers, "", ""]).encode()
    proxy.answer(connection, "request", head + (mood.glue if server else b""))
    return server


def relay(one, other):
    """Copy both ways until both sides have ended; a half-close is forwarded as such."""
    with selectors.DefaultSelector() as ready:
        ready.register(one, selectors.EVENT_READ, other)
        ready.register(other, selectors.EVENT_READ, one)
        while ready.get_map():
            for key, _ in ready.select():
                data = key.fileobj.recv(65536)
                if data:
                    key.data.sendall(data)
                else:
                    ready.unregister(key.fileobj)
                    key.data.shutdown(socket.SHUT_WR)


class RawRelay(Server):
    """The target of a `raw` proxy line: forwards every connection to one address, and counts them."""

    kind = "raw"

    def __init__(self, target):
        self.target = target
        self.connections = 0
        super().__init__()

    def line(self):
        return f"raw {self.host} {self.port}"

    def handle(self, connection):
        with self.lock:
            self.connections += 1
        with socket.create_connection(self.target) as server:
            relay(connection, server)
