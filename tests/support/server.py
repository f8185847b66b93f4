"""A multi-threaded TCP server inside pytest: one handler for each connection."""

import socket
import threading
import time
from contextlib import suppress


class Server:
    """Listens on loopback, on a port that the kernel picks, or on a unix socket (`host` is its path). Subclasses write
    `handle`."""

    QUEUE = 1024

    def __init__(self, host="127.0.0.1", port=0):
        if host.startswith("/"):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(host)
            self.host, self.port = host, None
        else:
            self.listener = self._bound(host, port)
            self.host, self.port = self.listener.getsockname()[:2]
        self.listener.listen(self.QUEUE)
        self.lock = threading.Lock()
        self.open = set()
        self.closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @staticmethod
    def _bound(host, port):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((host, port))
        return listener

    def handle(self, connection):
        raise NotImplementedError

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                if self.closing:
                    connection.close()
                    return
                self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        # A client that disconnects is not an error here: tests check what the client saw.
        with connection, suppress(OSError):
            self.handle(connection)
        with self.lock:
            self.open.discard(connection)

    def close(self):
        with self.lock:
            self.closing = True
            still_open = list(self.open)
        # shutdown wakes a thread that sleeps in accept or recv; close alone does not.
        for sock in [self.listener, *still_open]:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class EchoServer(Server):
    """Sends `banner` (after `delay` seconds), then echoes, and keeps what it received in `received`, one entry for each
    connection (or nothing, if `keep` is false: for many connections)."""

    def __init__(self, banner=b"", delay=0, keep=True, **where):
        self.banner = banner
        self.delay = delay
        self.keep = keep
        self.received = []
        self.peers = []
        super().__init__(**where)

    def handle(self, connection):
        record = bytearray()
        if self.keep:
            with self.lock:
                self.received.append(record)
                self.peers.append(connection.getpeername()[:2])
        if self.banner:
            time.sleep(self.delay)
            connection.sendall(self.banner)
        while data := connection.recv(65536):
            if self.keep:
                record += data
            connection.sendall(data)


class SlowServer(EchoServer):
    """Answers no SYN before its gate is open, then echoes. A client retransmits its SYN after a second (RFC 6298)."""

    QUEUE = 0

    def __init__(self, gate, **options):
        self.gate = gate
        super().__init__(**options)
        # A backlog of 0 holds one connection; later ones stay in SYN-SENT.
        self.fillers = [socket.socket() for _ in range(4)]
        for filler in self.fillers:
            filler.setblocking(False)
            filler.connect_ex((self.host, self.port))

    def _accept(self):
        self.gate.wait()
        with self.lock:
            if self.closing:
                return
            self.listener.listen(1024)
        for filler in self.fillers:
            filler.close()
        super()._accept()


class GoingServer(SlowServer):
    """Answers no SYN before its gate is open; then it is closed, and they are refused."""

    def _accept(self):
        self.gate.wait()
        self.close()
