"""The real servers and proxies that the tests use. Each is a context manager."""

import getpass
import os
import re
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import paths
from .daemon import daemon, drop_privileges, give_away
from .need import need
from .run import clean_environment


@dataclass
class RealProxy:
    """A proxy program, its config line, and its log, which proves that a connection went through it."""

    name: str
    port: int
    log: Path

    host = "127.0.0.1"

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def line(self):
        return f"socks5 {self.host} {self.port}"

    def witness(self):
        """saw(port): whether, from now on, its log names a connection to `port` of loopback."""
        before = self.log.stat().st_size
        return lambda port: bool(re.search(rf"127\.0\.0\.1[.:]{port}\b".encode(), self.log.read_bytes()[before:]))


@contextmanager
def microsocks(directory):
    program = need("microsocks")
    with daemon(lambda port: [program, "-i", "127.0.0.1", "-p", port], directory) as port:
        yield RealProxy("microsocks", port, directory / "log")


@contextmanager
def embedded(directory):
    """`tailchain proxy`."""
    words = [paths.COMMAND, "proxy", "--log", "--listen"]
    with daemon(lambda port: [*words, f"127.0.0.1:{port}"], directory) as port:
        yield RealProxy("embedded", port, directory / "log")


DANTED = """
logoutput: stdout
internal: 127.0.0.1 port = {port}
external: 127.0.0.1
socksmethod: none
clientmethod: none
user.unprivileged: {user}
client pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 }}
socks pass {{ from: 127.0.0.0/8 to: 127.0.0.0/8 log: connect error }}
"""


@contextmanager
def danted(directory, wrap=lambda words: words):
    """`wrap` changes its command line."""
    program = need("danted")
    user = "nobody" if os.geteuid() == 0 else getpass.getuser()

    def command(port):
        config = directory / "danted.conf"
        config.write_text(DANTED.format(port=port, user=user))
        return wrap([program, "-f", config, "-p", directory / "pid"])

    with daemon(command, directory) as port:
        yield RealProxy("danted", port, directory / "log")


@contextmanager
def postgres(directory, addresses=("127.0.0.1",)):
    """PostgreSQL with a database and a superuser `postgres`, who is trusted on all `addresses`."""
    give_away(directory)
    data = directory / "data"
    subprocess.run(
        [
            "setpriv",
            *drop_privileges(),
            need("initdb"),
            "-D",
            data,
            "-U",
            "postgres",
            "-A",
            "trust",
            "--no-sync",
            "-E",
            "UTF8",
        ],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=directory,
        env=clean_environment({"LC_ALL": "C"}),
    )
    with open(data / "pg_hba.conf", "a") as rules:
        rules.writelines(f"host all all {address}/32 trust\n" for address in addresses)
    program = need("postgres")

    def command(port):
        settings = {"port": port, "unix_socket_directories": "", "fsync": "off"}
        settings["listen_addresses"] = ",".join(addresses)
        # Tests fill pools one after the other; backends of the last pool may still be ending.
        settings["max_connections"] = 400
        return [program, "-D", data, *(f"--{name}={value}" for name, value in settings.items())]

    with daemon(command, directory, unprivileged=True) as port:
        yield port


@contextmanager
def redis(directory, addresses=("127.0.0.1",)):
    # Without a password it serves only loopback addresses, unless configured otherwise.
    words = [need("redis-server"), "--bind", *addresses, "--protected-mode", "no", "--save", "", "--dir", directory]
    with daemon(lambda port: [*words, "--port", port], directory) as port:
        yield port


SSHD = """
ListenAddress 127.0.0.1:{port}
HostKey {directory}/host_key
AuthorizedKeysFile {directory}/key.pub
StrictModes no
UsePAM no
PidFile none
PermitRootLogin yes
PasswordAuthentication no
Subsystem sftp internal-sftp
"""


@dataclass
class Ssh:
    port: int
    options: list  # of the ssh command: key, no host key questions


@contextmanager
def sshd(directory):
    program = need("sshd")
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
    for name in ["host_key", "key"]:
        subprocess.run([need("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", directory / name], check=True)

    def command(port):
        config = directory / "sshd_config"
        config.write_text(SSHD.format(port=port, directory=directory))
        return [program, "-D", "-e", "-f", config]

    with daemon(command, directory) as port:
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes"]
        yield Ssh(port, ["-F", "none", "-i", str(directory / "key"), *(word for o in options for word in ("-o", o))])
