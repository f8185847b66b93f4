"""A machine of its own for one run: `python -m suites.ground DIRECTORY WAY SERVICES WORDS…`, in new namespaces.

There is nothing but loopback, so a test that wants the internet fails alike bare and proxied, and ports of other runs
are not in the way. The user is not root, and one that exists: PostgreSQL does not run as root. Started by execute.py.
"""

import os
import pwd
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

from support import daemons, paths
from support.config import config_text
from support.embedded_proxy import embedded_proxy
from support.island_main import bind_mount, raise_loopback
from support.run import clean_environment

from .unit import LAUNCHER


def namespaces():
    """The command that creates them. All processes that a test leaves behind end with their first process."""
    user = ["--map-current-user"]
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        user = [f"--map-user={nobody.pw_uid}", f"--map-group={nobody.pw_gid}"]
    return ["unshare", "--user", *user, "--keep-caps", "--net", "--mount", "--pid", "--fork", "--mount-proc"]


# The command that drops the privileges which were needed to create the network.
WITHOUT_RIGHTS = ["setpriv", "--ambient-caps=-all", "--inh-caps=-all"]

HOSTS = "127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback\n"


def prepare(directory):
    raise_loopback()
    (directory / "hosts").write_text(HOSTS.format(name=socket.gethostname()))
    (directory / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    bind_mount(directory / "hosts", "/etc/hosts")
    bind_mount(directory / "resolv.conf", "/etc/resolv.conf")


# Servers of a suite; in its command, {NAME} is replaced by a port.
SERVICES = {"redis": daemons.redis}


def launcher(directory, stack):
    """Everything is proxied: the config excludes no address, and names go to the proxy."""
    proxy = stack.enter_context(embedded_proxy(directory))
    config = directory / "proxychains.conf"
    config.write_text(config_text([proxy], "proxy_dns"))
    return [str(paths.LAUNCHER), "-q", "-f", str(config)]


def connections(directory):
    """The number of requests to the proxy."""
    log = directory / "embedded-proxy.log"
    return log.read_text(errors="replace").count("CONNECT ") if log.exists() else 0


def end_with_parent():
    """stdin is a pipe to which nothing is written; it reaches end of file when the runner ends, in whatever way."""

    def wait():
        os.read(0, 1)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def status(process):
    """Returns its exit status. Meanwhile this is process 1, and reaps orphans."""
    while True:
        ended, code = os.wait()
        if ended == process.pid:
            return os.waitstatus_to_exitcode(code)


def main(directory, way, services, *words):
    directory = Path(directory)
    end_with_parent()
    prepare(directory)
    with ExitStack() as stack:
        for name in filter(None, services.split(",")):
            place = directory / name
            place.mkdir()
            port = stack.enter_context(SERVICES[name](place))
            words = [word.replace(f"{{{name}}}", str(port)) for word in words]
        prefix = launcher(directory, stack) if way == "proxied" else []
        at = words.index(LAUNCHER)
        command = [*WITHOUT_RIGHTS, *words[:at], *prefix, *words[at + 1 :]]
        process = subprocess.Popen(command, env=clean_environment(), stdin=subprocess.DEVNULL)
        return status(process) & 0xFF


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
