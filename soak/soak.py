"""soak.py SECONDS: real clients for a long time, through proxies that are killed or misbehave. On request: `make soak`.

Programs that stay (pools of asyncpg and psycopg, redis-py, Node.js) work in rounds. After each round they close
everything, and are looked at: their memory, descriptors and threads must stay where they were. Beside them psql and
curl are started again and again. Prints a line for each round, and at last a summary as JSON; exit status 1 if anything
grew, hung, or got a wrong byte.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from support import daemons, web
from support.config import Configs
from support.killable import KillableProxy
from support.need import find, need
from support.proxy import Misbehaved, Proxy
from support.run import clean_environment, command_line

CLIENTS = Path(__file__).parent
ROUNDS = 24
# How much longer than requested a round may take: operations in progress have their own limits of 30 s.
PATIENCE = 120
# A long-running process may grow by this much after its first third; interpreters' memory is never quite constant.
GROWTH_KIB = 3072
GROWTH_SHARE = 0.05


class ErraticProxy(Proxy):
    """Replies at once or late, or closes before its reply."""

    def hesitate(self):
        time.sleep(random.choice([0, 0, 0, 0.002, 0.02, 0.1]))
        if random.random() < 0.05:
            raise Misbehaved

    def record(self, request):
        """Keeps no record of hours of requests."""
        return request


def started(words, config, **options):
    argv, environment = command_line(words[0], words[1:], "preload", config, ["-q"])
    return subprocess.Popen(argv, env=clean_environment(environment), text=True, **options)


@dataclass
class Stayer:
    """A program that works in rounds."""

    name: str
    process: subprocess.Popen
    samples: list = field(default_factory=list)
    counts: Counter = field(default_factory=Counter)
    seconds: float = 0

    def begin(self, seconds):
        self.seconds = seconds
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()

    def end(self):
        """Read the line that it prints at the end of a round, and measure it."""
        guard = threading.Timer(self.seconds + PATIENCE, self.process.kill)
        guard.start()
        line = self.process.stdout.readline()
        guard.cancel()
        if not line:
            raise RuntimeError(f"{self.name} ended or hung (exit status {self.process.wait()})")
        self.counts.update(json.loads(line))
        self.samples.append(self.sample())

    def sample(self):
        """After its threads have ended, which takes a moment: the library's live while connects are pending."""
        directory = Path("/proc", str(self.process.pid))
        fewest = self.samples[0]["threads"] if self.samples else 0
        for _ in range(100):
            status = dict(
                line.split(":\t", 1) for line in (directory / "status").read_text().splitlines() if ":\t" in line
            )
            if int(status["Threads"]) <= fewest:
                break
            time.sleep(0.02)
        return {
            "rss_kib": int(status["VmRSS"].split()[0]),
            "threads": int(status["Threads"]),
            "descriptors": len(os.listdir(directory / "fd")),
        }

    def verdict(self):
        """A text about what grew."""
        early, late = thirds(self.samples)
        for name in ("threads", "descriptors"):
            before, after = (min(sample[name] for sample in part) for part in (early, late))
            if after > before:
                yield f"{self.name}: {name} grew from {before} to {after}"
        before, after = (statistics.median(sample["rss_kib"] for sample in part) for part in (early, late))
        if after - before > max(GROWTH_KIB, GROWTH_SHARE * before):
            yield f"{self.name}: memory grew from {before} to {after} KiB"
        if self.counts["wrong"]:
            yield f"{self.name}: {self.counts['wrong']} wrong answers"
        if not self.counts["good"]:
            yield f"{self.name}: nothing was answered"


def thirds(samples):
    """The second and the last third: the first is for warming up."""
    third = max(1, len(samples) // 3)
    return samples[third : 2 * third] or samples[:1], samples[-third:]


class Passers(threading.Thread):
    """A program that is started repeatedly."""

    def __init__(self, name, words, answer, config):
        super().__init__(daemon=True)
        self.name, self.words, self.answer, self.config = name, words, answer, config
        self.over = threading.Event()
        self.counts = Counter()
        self.start()

    def run(self):
        while not self.over.is_set():
            process = started(self.words, self.config, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                out = process.communicate(timeout=PATIENCE)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                self.counts["hung"] += 1
                continue
            self.counts["failed" if process.returncode else "good" if out == self.answer else "wrong"] += 1

    def verdict(self):
        for name in ("hung", "wrong"):
            if self.counts[name]:
                yield f"{self.name}: {self.counts[name]} {name}"
        if not self.counts["good"]:
            yield f"{self.name}: nothing was answered"


def kill_now_and_then(proxy, over):
    while not over.wait(random.uniform(0.5, 3)):
        proxy.kill()
        over.wait(random.choice([0, 0.05, 0.3]))
        proxy.start()


def soak(seconds, stack):
    base = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tailchain-soak-")))
    base.chmod(0o755)
    os.environ["XDG_RUNTIME_DIR"] = str(base)

    def make_directory(name):
        path = base / name
        path.mkdir(mode=0o755)
        return path

    postgres = stack.enter_context(daemons.postgres(make_directory("postgres")))
    redis = stack.enter_context(daemons.redis(make_directory("redis")))
    site = make_directory("web")
    (site / "page").write_text("a page\n")
    page = stack.enter_context(web.web_server(site))
    mortal, erratic = stack.enter_context(KillableProxy()), stack.enter_context(ErraticProxy())
    configs = Configs(base)
    through = {"mortal": configs([mortal]), "erratic": configs([erratic]), "both": configs([erratic, mortal])}

    def stayer(name, words, way):
        process = started(words, through[way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        stack.callback(process.kill)
        return Stayer(name, process)

    stayers = [
        stayer("asyncpg", [sys.executable, CLIENTS / "client.py", "asyncpg", postgres], "both"),
        stayer("psycopg", [sys.executable, CLIENTS / "client.py", "psycopg", postgres], "mortal"),
        stayer("redis-py", [sys.executable, CLIENTS / "client.py", "redis", redis], "erratic"),
    ]
    if node := find("node"):
        stayers.append(stayer("node", [node, CLIENTS / "client.js", redis], "both"))
    psql = [need("psql"), "-XAtc", "select 6 * 7", f"postgresql://postgres@127.0.0.1:{postgres}/?sslmode=disable"]
    curl = [need("curl"), "-sSf", "--max-time", "60", f"http://127.0.0.1:{page}/page"]
    passers = [Passers("psql", psql, "42\n", through["both"]), Passers("curl", curl, "a page\n", through["mortal"])]

    over = threading.Event()
    killer = threading.Thread(target=kill_now_and_then, args=[mortal, over])
    killer.start()
    try:
        for number in range(1, ROUNDS + 1):
            for one in stayers:
                one.begin(seconds / ROUNDS)
            for one in stayers:
                one.end()
            print(f"round {number} of {ROUNDS}:", {one.name: one.samples[-1] for one in stayers}, flush=True)
    finally:
        for event in [over, *(one.over for one in passers)]:
            event.set()
        killer.join()
        for one in passers:
            one.join(PATIENCE)
    mistakes = [mistake for one in [*stayers, *passers] for mistake in one.verdict()]
    summary = {
        "seconds": seconds,
        "kills": mortal.kills,
        "clients": {one.name: dict(one.counts) for one in [*stayers, *passers]},
        "first and last": {one.name: [one.samples[0], one.samples[-1]] for one in stayers},
        "mistakes": mistakes,
    }
    print(json.dumps(summary, indent=2))
    return not mistakes


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isdigit():
        sys.exit("usage: soak.py SECONDS")
    with ExitStack() as everything:
        good = soak(int(sys.argv[1]), everything)
    sys.exit(0 if good else 1)
