"""A TCP server of threads inside of pytest: one handler for each connection."""

import socket
import threading
from contextlib import suppress


class Server:
    """Listens on loopback, on a port that the kernel picks, or on a unix socket (`host` is its path). Subclasses write
    `handle`."""

    def __init__(self, host="127.0.0.1", port=0):
        if host.startswith("/"):
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(host)
            self.host, self.port = host, None
        else:
            self.listener = self._bound(host, port)
            self.host, self.port = self.listener.getsockname()[:2]
        self.listener.listen(1024)
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
        # A client that goes away is no error of ours: tests look at what the client saw.
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
    """Sends `banner`, then gives back what it gets, and keeps it in `received`, one entry for each connection."""

    def __init__(self, banner=b"", **where):
        self.banner = banner
        self.received = []
        self.peers = []
        super().__init__(**where)

    def handle(self, connection):
        record = bytearray()
        with self.lock:
            self.received.append(record)
            self.peers.append(connection.getpeername()[:2])
        if self.banner:
            connection.sendall(self.banner)
        while data := connection.recv(65536):
            record += data
            connection.sendall(data)
