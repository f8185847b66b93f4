"""Non-blocking connects of an asyncio program: bare, under tailchain, and under Debian's proxychains4.

Prints a table, and writes all of it to target/bench/event_loops.json. Debian's proxychains4 makes one connect after the
other, each as long as the proxy takes: it gets fewer of them, and the table says how many. Figures of a busy machine
mean little: the load is printed with them.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from support import paths  # noqa: E402
from support.config import config_text  # noqa: E402
from support.embedded_proxy import embedded_proxy  # noqa: E402
from support.ports import deaf_port, refusing_port  # noqa: E402
from support.run import clean_environment  # noqa: E402
from support.server import Server  # noqa: E402

# (name, mode of tests/clients/connect_storm.py, delay of the proxy in ms, connects, connects for proxychains-ng)
RUNS = [
    ("100 at a time, seen from inside", "inside", 300, 1000, 20),
    ("all at once", "together", 100, 1000, 20),
    ("half refused, some cancelled or timing out", "mixed", 100, 1000, 20),
]
LIMIT = 2.0
STORM = paths.ROOT / "tests" / "clients" / "connect_storm.py"


class Holding(Server):
    """Accepts, and holds the connection until the client ends it."""

    def handle(self, connection):
        while connection.recv(4096):
            pass


def storm(prefix, mode, port, count, environment):
    words = [*prefix, sys.executable, str(STORM), mode, "127.0.0.1", str(port), str(count)]
    done = subprocess.run(words, env=clean_environment(environment), capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} exited with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout)


def spread(seconds):
    """Median, 99th percentile and worst, in milliseconds."""
    if not seconds:
        return None
    values = sorted(1000 * value for value in seconds)
    return {"median": statistics.median(values), "p99": values[len(values) * 99 // 100], "worst": values[-1]}


def shown(spread_of):
    return "{median:9.3f} {p99:9.3f} {worst:9.3f}".format(**spread_of) if spread_of else f"{'-':>9} {'-':>9} {'-':>9}"


def main():
    load = os.getloadavg()[0]
    print(f"load {load:.2f} on {os.cpu_count()} cores; milliseconds: median, 99th percentile, worst")
    results = []
    with tempfile.TemporaryDirectory() as name, Holding() as server, refusing_port() as refusing, deaf_port() as deaf:
        environment = {"REFUSING": refusing, "DEAF": deaf, "LIMIT": LIMIT}
        for title, mode, delay, count, few in RUNS:
            print(f"\n{title}; proxy with a delay of {delay} ms")
            for contestant, prefix, scaled in contestants(Path(name) / "proxychains.conf", count, few):
                with embedded_proxy(Path(name), delay) as proxy:
                    (Path(name) / "proxychains.conf").write_text(config_text([proxy]))
                    told = storm(prefix, mode, server.port, scaled, environment)
                result = {
                    "run": title,
                    "delay": delay,
                    "contestant": contestant,
                    "connects": scaled,
                    "seconds": told["seconds"],
                    "inside of connect": spread(told.get("inside")),
                    "heartbeat late": spread(told["late"]),
                    "ends": told["ends"],
                    "files left": told["files left"],
                    "threads left": told["threads left"],
                }
                results.append(result)
                report(result)
    target = paths.TARGET / "bench" / "event_loops.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"load": load, "cores": os.cpu_count(), "results": results}, indent=1) + "\n")


def contestants(config, count, few):
    """(name, words before the command line, connects)"""
    yield "bare, no proxy", [], count
    yield "tailchain", [str(paths.LAUNCHER), "-q", "-f", str(config)], count
    debian = shutil.which("proxychains4", path="/usr/bin")
    if debian:
        yield "Debian's proxychains4", [debian, "-q", "-f", str(config)], few


def report(result):
    ends = ", ".join(f"{count} {end}" for end, count in result["ends"].items())
    print(f"  {result['contestant']}: {result['connects']} connects in {result['seconds']:.2f} s: {ends}")
    print(f"    inside of connect   {shown(result['inside of connect'])}")
    print(f"    heartbeat late by   {shown(result['heartbeat late'])}")
    print(f"    left over: {result['files left']} files, {result['threads left']} threads", flush=True)


if __name__ == "__main__":
    main()
