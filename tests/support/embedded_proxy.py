"""`tailchain proxy` as a proxy of a test."""

import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .run import clean_environment


@dataclass
class EmbeddedProxy:
    port: int
    log: Path

    host = "127.0.0.1"

    def line(self):
        return f"socks5 {self.host} {self.port}"

    def count(self, port):
        """How many connections to `port` of loopback it has accepted."""
        return self.log.read_text().count(f"CONNECT 127.0.0.1:{port} ")


@contextmanager
def embedded_proxy(directory, delay=0, options=()):
    """Runs it until the end of the block; `delay` is in milliseconds, before each reply."""
    words = [paths.COMMAND, "proxy", "--listen", "127.0.0.1:0", "--with-parent", "--delay", delay, *options]
    log = directory / "embedded-proxy.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            [*map(str, words), "--log"], stdout=output, stderr=subprocess.STDOUT, env=clean_environment()
        )
    try:
        while process.poll() is None and b"\n" not in log.read_bytes():
            time.sleep(0.01)
        first = log.read_text().partition("\n")[0]
        assert first.startswith("listening on "), first
        yield EmbeddedProxy(int(first.rpartition(":")[2]), log)
    finally:
        process.kill()
        process.wait()
