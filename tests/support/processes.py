"""Processes that a test observes, and an app that records its signals."""

import os
import signal
import time
from pathlib import Path

from support.run import finish

# Records each signal that it gets. After a SIGTERM it waits as many seconds as the third argument says, and exits with
# the status in the second.
APP = """
import json, os, signal, sys, time
record, code, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
def note(event):
    with open(record, "a") as file:
        file.write(event + " {}\\n")
def handle(number, frame):
    note("app-" + signal.Signals(number).name)
    if number == signal.SIGTERM and code != "never" and not ending:
        ending.append(True)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.1)
        note("app-ends")
        sys.exit(int(code))
ending = []
for number in [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGWINCH]:
    signal.signal(number, handle)
note("app-started")
while True:
    time.sleep(3600)
"""


def wait_for(condition, process):
    deadline = time.monotonic() + 60
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"it did not happen: {finish(process)}")
        time.sleep(0.02)


def is_alive(pid):
    """Whether it runs; a zombie that has not been waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def supervisor_of(process):
    """The pid of the supervisor: a child of the program."""
    named = [pid for pid in children(process.pid) if Path(f"/proc/{pid}/comm").read_text() == "tailchain\n"]
    assert len(named) == 1, named
    return named[0]
