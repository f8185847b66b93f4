"""microsocks, which a test can kill and restart on the same port as often as it likes."""

import subprocess
import time

from .daemon import answers
from .need import need
from .ports import free_port


class KillableProxy:
    host = "127.0.0.1"

    def __init__(self):
        self.program = need("microsocks")
        self.port = free_port()
        self.process = None
        self.kills = 0
        self.start()

    def line(self):
        return f"socks5 {self.host} {self.port}"

    def start(self, patience=60):
        """Until it accepts connections."""
        deadline = time.monotonic() + patience
        while not (self.process and answers(self.port)):
            if self.process is None or self.process.poll() is not None:
                words = ["setpriv", "--pdeathsig=KILL", self.program, "-i", self.host, "-p", str(self.port)]
                self.process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if time.monotonic() > deadline:
                raise RuntimeError(f"microsocks does not accept on port {self.port}")
            time.sleep(0.005)

    def kill(self):
        """With all connections through it."""
        self.kills += 1
        self.end()

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()
