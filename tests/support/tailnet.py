"""A real tailnet on loopback: tests/tailnet is its control server and relay, the nodes are Tailscale's own tailscaled
in userspace mode, where connections to a node's tailnet address arrive at its 127.0.0.1."""

import json
import subprocess
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import paths
from .daemon import daemon
from .ports import free_port
from .run import clean_environment

BINARIES = paths.TARGET / "tailnet" / "bin"
DOMAIN = "example.ts.net"
KEY = "tskey-auth-tests"
# tailscaled writes this when it has updated the control server, which does not inform the other nodes in these tests.
LOGGED_OUT = "logged out ephemeral node on shutdown"
# Only against hangs: a node is up in a moment.
PATIENCE = 60


def binary(name):
    path = BINARIES / name
    if not path.exists():
        pytest.skip(f"{path} does not exist: tests/tailnet/build makes it, with Go")
    return path


@dataclass
class Node:
    """A machine of the tailnet."""

    name: str
    directory: Path
    socks_port: int
    http_port: int

    @property
    def dns_name(self):
        return f"{self.name}.{DOMAIN}"

    @property
    def ipv4(self):
        return self.tailscale("ip", "-4").stdout.strip()

    @property
    def ipv6(self):
        return self.tailscale("ip", "-6").stdout.strip()

    def tailscale(self, *words):
        """Run the command `tailscale` on this node."""
        return subprocess.run(
            [binary("tailscale"), f"--socket={self.directory}/socket", *words],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=True,
            env=clean_environment(),
        )


class Tailnet:
    def __init__(self, process, make_directory):
        self.process = process
        self.control = json.loads(process.stdout.readline())["control"]  # URL, as for --login-server
        self.key = KEY  # the auth key that lets nodes in
        self.make_directory = make_directory

    def command(self, *words):
        """An admin's action on the machines of a name (see `command` of tests/tailnet); returns how many there are."""
        self.process.stdin.write(" ".join(words).encode() + b"\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    @contextmanager
    def node(self, name):
        """A machine that has joined, for as long as the context lasts."""
        directory = self.make_directory(name)
        http_port = free_port()

        def command(port):
            return [
                binary("tailscaled"),
                "--tun=userspace-networking",
                "--no-logs-no-support",
                "--state=mem:",
                f"--statedir={directory}",
                f"--socket={directory}/socket",
                f"--socks5-server=127.0.0.1:{port}",
                f"--outbound-http-proxy-listen=127.0.0.1:{http_port}",
            ]

        with daemon(command, directory) as port:
            node = Node(name, directory, port, http_port)
            node.tailscale("up", f"--login-server={self.control}", f"--auth-key={self.key}", f"--hostname={name}")
            yield node


@contextmanager
def tailnet(make_directory):
    """`make_directory(name)` creates a directory for each node."""
    process = subprocess.Popen(
        [binary("tailnet"), f"-auth-key={KEY}", f"-domain={DOMAIN}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    with process:
        yield Tailnet(process, make_directory)
        process.stdin.close()


@dataclass
class AppAndDatabase:
    """For the tests of programs: the program runs on node `app`, its servers on node `db`."""

    net: Tailnet
    app: Node
    db: Node


@contextmanager
def app_and_database(make_directory):
    with ExitStack() as stack:
        net = stack.enter_context(tailnet(make_directory))
        app = stack.enter_context(net.node("app"))
        db = stack.enter_context(net.node("db"))
        yield AppAndDatabase(net, app, db)
