"""Everything concurrently, at random, by many threads of one process: all kinds of waits, cancelled connects, reused
fds, dups, forks, blocking and non-blocking connects, through a proxy that misbehaves at random.

TAILCHAIN_STRESS_SECONDS says how long: 60 by default, 3600 for an hour.
"""

import os

from support.erratic import Erratic
from support.probe import run_probe

SECONDS = int(os.environ.get("TAILCHAIN_STRESS_SECONDS", "60"))
THREADS = 16


def test_everything_at_random(conf, make_echo, refusing):
    echo = make_echo(keep=False)
    with Erratic() as proxy:
        config = conf([proxy], "tcp_read_time_out 60000")
        arguments = ["127.0.0.1", echo.port, refusing, SECONDS, THREADS]
        result = run_probe("stress", *arguments, conf=config, options=["-q"], timeout=SECONDS + 200).ok()
    happened, mistakes = result.out.splitlines()
    print(happened)
    assert mistakes == "hung 0 wrong_bytes 0 lied 0 stolen 0 threads 1 descriptors +0 grown_much 0", happened
    words = happened.split()
    assert all(int(number) > 0 for number in words[1:8:2]), happened
