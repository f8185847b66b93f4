"""Sequential connects and start-up: bare, under tailchain, and under Debian's proxychains4.

Prints the median of several rounds, in which the contestants take turns. Figures of a busy machine mean little: the
load is printed with them.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import paths  # noqa: E402
from support.config import config_text  # noqa: E402
from support.daemons import microsocks  # noqa: E402
from support.run import clean_environment  # noqa: E402
from support.server import Server  # noqa: E402

ROUNDS = 7
STARTS = 200
CONNECTS = 1000


def timed(argv, times=1):
    environment = clean_environment()
    began = time.perf_counter()
    for _ in range(times):
        subprocess.run(argv, check=True, env=environment, stdout=subprocess.DEVNULL)
    return (time.perf_counter() - began) / times


def compiled(name, folder):
    source = paths.PROBE_SOURCES / f"{name}.c"
    subprocess.run(["cc", "-O2", "-pthread", str(source), "-o", str(folder / name)], check=True)
    return str(folder / name)


def measure(label, unit, contestants, run):
    """`run(argv prefix)` gives one figure; contestants take turns, so that a slow minute hits all of them."""
    figures = {name: [] for name in contestants}
    for _ in range(ROUNDS):
        for name, prefix in contestants.items():
            figures[name].append(run(prefix))
    for name, values in figures.items():
        print(f"{label:24} {name:28} {statistics.median(values):9.2f} {unit}  (least {min(values):.2f})")


def main():
    print(f"load {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores; median of {ROUNDS} rounds")
    with tempfile.TemporaryDirectory() as name, proxy_and_server() as (proxy_port, server_port):
        folder = Path(name)
        config = folder / "proxychains.conf"
        config.write_text(config_text([f"socks5 127.0.0.1 {proxy_port}"]))
        contestants = {"bare": [], "tailchain": [str(paths.LAUNCHER), "-q", "-f", str(config)]}
        debian = shutil.which("proxychains4", path="/usr/bin")
        if debian:
            contestants["Debian's proxychains4"] = [debian, "-q", "-f", str(config)]
        measure("start of /bin/true", "ms", contestants, lambda prefix: 1000 * timed([*prefix, "/bin/true"], STARTS))
        connects = compiled("connects", folder)
        words = [connects, "127.0.0.1", str(server_port), str(CONNECTS)]
        measure("one blocking connect", "µs", contestants, lambda prefix: reported([*prefix, *words]))


def reported(argv):
    """The figure that the probe itself prints: start-up is not in it."""
    return float(subprocess.run(argv, check=True, env=clean_environment(), capture_output=True, text=True).stdout)


class Closing(Server):
    """Accepts, and closes at once."""

    def handle(self, connection):
        pass


@contextmanager
def proxy_and_server():
    """microsocks, which is nobody's own of the contestants, and a server; gives their ports."""
    with tempfile.TemporaryDirectory() as folder, Closing() as server, microsocks(Path(folder)) as proxy:
        yield proxy.port, server.port


if __name__ == "__main__":
    main()
