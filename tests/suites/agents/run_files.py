"""run_files.py RESULTS WANTED FILES -- WORDS…: each file listed in FILES is a test, which the command WORDS runs."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from results import Results

# Timeout of one test, in seconds.
LIMIT = 40


def ended(words):
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        out, _ = process.communicate(timeout=LIMIT)
        code = process.returncode
    except subprocess.TimeoutExpired as late:
        out, code = late.output or b"", "hung"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return code, out.decode(errors="replace")


def outcome(code, out):
    if code != 0:
        return "failed"
    # TAP, as Node's common.skip() prints it.
    return "skipped" if out.startswith("1..0 # Skipped") else "passed"


def run(path, wanted, files, _, *words):
    results = Results(path, wanted)
    for file in Path(files).read_text().splitlines():
        test = Path(file).name
        if results.wants(test):
            results.started(test)
            code, out = ended([*words, file])
            results.ended(test, outcome(code, out), f"{out}\nexit status: {code}")
    results.complete()


if __name__ == "__main__":
    run(*sys.argv[1:])
