"""Real servers as child processes: on loopback, each in its own directory, killed when pytest ends."""

import os
import pwd
import socket
import subprocess
import time
from contextlib import contextmanager

from .need import need
from .ports import free_port
from .run import clean_environment

UNPRIVILEGED = "nobody"


def drop_privileges():
    """setpriv options that make root an ordinary user, for servers that refuse to run as root."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam(UNPRIVILEGED)
    return [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]


def give_away(directory):
    """Give the unprivileged user access to a directory."""
    if os.geteuid() == 0:
        user = pwd.getpwnam(UNPRIVILEGED)
        os.chown(directory, user.pw_uid, user.pw_gid)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


@contextmanager
def daemon(command, directory, unprivileged=False, patience=60):
    """Run `command(port)` until it accepts TCP on that port; return the port. If another process took the port
    meanwhile, another one is tried."""
    options = drop_privileges() if unprivileged else []
    log_path = directory / "log"
    for _ in range(3):
        port = free_port()
        with open(log_path, "ab") as output:
            process = subprocess.Popen(
                # PDEATHSIG: the daemon dies with pytest, however pytest ends.
                [need("setpriv"), "--pdeathsig=KILL", *options, *map(str, command(port))],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=directory,
                env=clean_environment({"LC_ALL": "C"}),
            )
        deadline = time.monotonic() + patience
        while process.poll() is None and time.monotonic() < deadline:
            if answers(port):
                break
            time.sleep(0.05)
        else:
            process.kill()
            process.wait()
            continue
        try:
            yield port
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return
    raise RuntimeError(f"{command(0)[0]} did not start; its log:\n{log_path.read_text(errors='replace')}")
