"""A network of its own for a program: only loopback, with a DNS server on port 53 that records its queries (and does
not answer those below `silent`), and with an /etc/hosts and an /etc/resolv.conf of the test."""

import subprocess
import sys
from pathlib import Path

import pytest

from .run import command_line, run_under

NAMESPACES = ["unshare", "--map-root-user", "--net", "--mount"]
MAIN = Path(__file__).with_name("island_main.py")


class Island:
    def __init__(self, directory, hosts="127.0.0.1 localhost\n"):
        tried = subprocess.run([*NAMESPACES, "true"], capture_output=True, text=True)
        if tried.returncode:
            pytest.skip(f"no namespaces can be made here: {tried.stderr.strip()}")
        self.directory = directory
        (directory / "hosts").write_text(hosts)
        (directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:5 attempts:1\n")
        (directory / "queries").write_text("")

    def run(self, program, args=(), conf=None, via="launcher", env=None):
        words, environment = command_line(program, args, via, conf)
        if "LD_PRELOAD" in environment:
            environment["ISLAND_PRELOAD"] = environment.pop("LD_PRELOAD")
        island = [*NAMESPACES[1:], sys.executable, MAIN, self.directory, *words]
        return run_under(NAMESPACES[0], island, via="bare", env={**environment, **(env or {})})

    @property
    def queries(self):
        """The queries of all runs so far, e.g. `A db.ts.net`; `TCP` for a connection."""
        return (self.directory / "queries").read_text().splitlines()
