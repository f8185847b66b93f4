"""A `tailscaled` and a `tailscale` that behave as the test wants: the real ones cannot be made to fail on demand."""

import json
import os
import shlex
import sys
from pathlib import Path

from ..ports import free_port
from ..run import clean_environment

HERE = Path(__file__).parent


class FakeTailscale:
    """Two commands in a directory, and a record of events, in order."""

    def __init__(self, directory):
        self.directory = directory
        self.port = free_port()
        self.record = directory / "record"
        self.record.touch()
        for name in ["tailscaled", "tailscale"]:
            command = directory / name
            script = shlex.join([sys.executable, str(HERE / f"{name}.py"), str(directory)])
            command.write_text(f'#!/bin/sh\nexec {script} "$@"\n')
            command.chmod(0o755)
        self.mood()

    def mood(self, up="accept", **others):
        """How they behave: see the scripts."""
        (self.directory / "mood").write_text(json.dumps({"up": up, **others}))

    def state(self, new=None):
        """The state that tailscaled reports; `new` changes it."""
        path = self.directory / "node-state"
        if new is not None:
            path.write_text(new)
        return path.read_text() if path.exists() else None

    def environment(self, **variables):
        """The environment that makes our commands use them."""
        own = {
            "PATH": f"{self.directory}:{os.environ['PATH']}",
            "TAILSCALE_AUTH_KEY": "tskey-auth-s3cret",
            "TAILSCALE_SOCKS5_PORT": self.port,
            "TAILSCALE_TIMEOUT": "60s",
            "TMPDIR": self.directory,
        }
        return {**own, **variables}

    def whole_environment(self, **variables):
        return clean_environment(self.environment(**variables))

    @property
    def lines(self):
        return self.record.read_text().splitlines()

    def events(self, *names):
        """The names of the events, in order; only `names` if given, else all except queries."""
        happened = [line.split(" ", 1)[0] for line in self.lines]
        return [name for name in happened if (name in names if names else name != "asked")]

    def details(self, name):
        """The details recorded with each event of this name."""
        return [json.loads(line.split(" ", 1)[1]) for line in self.lines if line.startswith(f"{name} ")]

    def pids(self):
        return [detail["pid"] for detail in self.details("started")]
