"""A gate that a probe opens (`open PATH`): what waits for it happens after the probe's earlier operations, however slow
the machine is. Its unix socket does not concern the library."""

import socket
import threading
from contextlib import suppress


class Gate:
    def __init__(self, directory):
        self.path = directory / "gate"
        self.path.unlink(missing_ok=True)
        self.opened = threading.Event()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.path))
        self.listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                connection, _ = self.listener.accept()
                self.opened.set()
                connection.close()

    def wait(self):
        self.opened.wait(60)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.opened.set()
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.path.unlink(missing_ok=True)
