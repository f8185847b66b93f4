"""Everything at once under one supervisor: processes that connect at random, signals that interrupt every call, a proxy
that goes away, and a process that is killed.

TAILCHAIN_STORM_SECONDS says how long: 3 by default, 60 for some 30,000 connects."""

import os
import random
import subprocess
import time
from pathlib import Path

from support.probe import probe
from support.processes import supervisor_of
from support.proxy import Misbehaved, Proxy
from support.run import finish, start

SECONDS = int(os.environ.get("TAILCHAIN_STORM_SECONDS", "3"))
SEED = int(os.environ.get("TAILCHAIN_STORM_SEED", "15"))
# The answerer's.
SOCKETS = 4
FAULTLESS = "hung 0 wrong_bytes 0 lied 0 stolen 0 threads 1 descriptors +0 grown_much 0"

# Nothing answers there but by way of the proxy: a connect that bypassed it would not succeed.
HOST = "192.0.2.1"

SHELL = """
read line
for i in 1 2 3; do "$@" storm & done
"$@" storm >/dev/null & victim=$!
sleep 1.5
kill -KILL $victim
wait
echo done
read line
"""


class Erratic(Proxy):
    """Answers at once, soon, or goes away instead."""

    def hesitate(self):
        time.sleep(random.choice([0, 0, 0.001, 0.005, 0.03]))
        if random.random() < 0.03:
            raise Misbehaved


def sockets_of(process):
    """Where it comes to, for what is over is looked for now and then."""
    deadline = time.monotonic() + 10
    while True:
        fds = [os.readlink(fd) for fd in Path(f"/proc/{process}/fd").iterdir()]
        sockets = [fd for fd in fds if fd.startswith("socket:")]
        if len(sockets) <= SOCKETS or time.monotonic() > deadline:
            return sockets
        time.sleep(0.1)


def test_no_connect_is_lost_and_nothing_is_left_over(conf, make_echo, refusing):
    random.seed(SEED)
    echo = make_echo(keep=False)
    with Erratic(names={HOST: ("127.0.0.1", None)}) as proxy:
        config = conf([proxy], "tcp_read_time_out 60000")
        words = [probe("stress", "-static"), HOST, echo.port, refusing, SECONDS, 6]
        process = start(
            "env", ["-u", "LD_PRELOAD", "sh", "-c", SHELL, "sh", *words], conf=config, via="supervised", options=["-q"],
            stdin=subprocess.PIPE,
        )  # fmt: skip
        process.stdin.write(b"go\n")
        process.stdin.flush()
        lines = [line.decode().strip() for line in iter(process.stdout.readline, b"done\n")]
        left = sockets_of(supervisor_of(process))
        finish(process, input=b"end\n").ok()
    happened, mistakes = lines[::2], lines[1::2]
    print(*happened, sep="\n")
    assert mistakes == [FAULTLESS] * 3, lines
    assert len(left) <= SOCKETS, left
