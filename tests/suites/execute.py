"""Runs a unit in one way, and returns the outcome of each of its tests."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from support import paths
from support.run import clean_environment

from . import ground

TESTS = paths.ROOT / "tests"
# How often a unit is restarted after a test ended its process or hung.
RESTARTS = 25


@dataclass
class Run:
    # test id -> (outcome, text): passed, skipped, failed, hung (without a result in time), died
    results: dict
    # Number of connections through the proxy.
    connections: int


def run(unit, way, directory, wanted=()):
    results, selection, log = (directory / name for name in ("results", "wanted", "log"))
    selection.write_text("".join(f"{test}\n" for test in sorted(wanted)))
    connections = 0
    for _ in range(RESTARTS):
        before = _lines(results)
        hung, asked = _start(unit, way, directory, results, selection, log)
        connections += asked
        lines = _lines(results)
        _close(results, lines, "hung" if hung else "died", log)
        if lines and lines[-1].get("outcome") == "complete" or len(lines) == len(before):
            break
    ended = [line for line in _lines(results) if line["id"] and "outcome" in line]
    found = {line["id"]: (line["outcome"], line["text"]) for line in ended}
    if not found and not wanted:
        found["everything"] = "failed", log.read_text(errors="replace")[-4000:]
    return Run(found, connections)


def _lines(results):
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def _close(results, lines, outcome, log):
    """The outcome of a test that ended its process, or was killed with it."""
    ended = {line["id"] for line in lines if "outcome" in line}
    with open(results, "a") as file:
        for test in {line["id"] for line in lines} - ended:
            text = log.read_text(errors="replace")[-4000:]
            file.write(json.dumps({"id": test, "outcome": outcome, "text": text}) + "\n")


def _start(unit, way, directory, results, selection, log):
    """Runs one process to its end. Returns whether it hung, and the number of connections through the proxy."""
    with tempfile.TemporaryDirectory(prefix="", dir=directory) as place:
        place = Path(place)
        (place / "work").mkdir()
        environment = {
            "PYTHONPATH": TESTS,
            "XDG_RUNTIME_DIR": place,
            "HOME": place,
            "TMPDIR": place / "work",
            "LC_ALL": "C.UTF-8",
            # Colours and progress bars are for people.
            "TERM": "dumb",
            **unit.environment,
        }
        words = [*ground.namespaces(), sys.executable, "-m", "suites.ground", place, way, ",".join(unit.services)]
        words += unit.words(results, selection)
        with open(log, "ab") as output:
            process = subprocess.Popen(
                list(map(str, words)),
                env=clean_environment(environment),
                cwd=unit.directory or place / "work",
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                hung = _hangs(process, results, unit.patience)
            finally:
                _end(process)
        return hung, ground.connections(place)


def _hangs(process, results, patience):
    size, changed = -1, time.monotonic()
    while process.poll() is None:
        now = results.stat().st_size if results.exists() else 0
        if now != size:
            size, changed = now, time.monotonic()
        if time.monotonic() - changed > patience:
            return True
        time.sleep(0.05)
    return False


def _end(process):
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdin.close()
