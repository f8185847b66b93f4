"""Proxies that know names which nothing else resolves: each leads to loopback. Context managers, like daemons.py."""

import os
import re
from contextlib import contextmanager

from . import daemons, paths
from .daemon import daemon
from .daemons import RealProxy
from .need import need


class NamingProxy(RealProxy):
    def saw_name(self, name, port):
        """Whether its log shows a request for `name` and `port`."""
        return f"{name}:{port}" in self.log.read_text(errors="replace")


class Danted(NamingProxy):
    """Logs the address that it found for the name."""

    def saw_name(self, name, port):
        return re.search(rf"127\.0\.0\.1[.:]{port}\b", self.log.read_text(errors="replace")) is not None


@contextmanager
def embedded(directory, names):
    """`tailchain proxy`."""
    options = [f"--name={name}=127.0.0.1" for name in names]
    with daemon(
        lambda port: [paths.COMMAND, "proxy", "--log", f"--listen=127.0.0.1:{port}", *options], directory
    ) as port:
        yield NamingProxy("tailchain proxy", port, directory / "log")


@contextmanager
def microsocks(directory, names):
    program = need("microsocks")
    with daemon(lambda port: with_hosts(directory, names, [program, "-i", "127.0.0.1", "-p", port]), directory) as port:
        yield NamingProxy("microsocks", port, directory / "log")


@contextmanager
def danted(directory, names):
    with daemons.danted(directory, wrap=lambda words: with_hosts(directory, names, words)) as proxy:
        yield Danted(proxy.name, proxy.port, proxy.log)


def with_hosts(directory, names, words):
    """The command that runs `words` with its own /etc/hosts: the programs that use the proxy must not see it."""
    hosts = directory / "hosts"
    hosts.write_text("127.0.0.1 localhost " + " ".join(names) + "\n")
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = f"mount --bind '{hosts}' /etc/hosts && exec \"$@\""
    return [need("unshare"), *user, "--mount", "sh", "-c", script, "sh", *words]
