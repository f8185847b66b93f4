"""The file of results, one JSON object per line, which the process that runs the tests writes.

A test that was started and has no outcome ended its process, or was ended with it.
"""

import json
import os
from pathlib import Path


class Results:
    def __init__(self, path, wanted):
        """`wanted` is a file with one test id per line; if it is empty all are wanted."""
        self.path, self.pid = Path(path), os.getpid()
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        self.known = {json.loads(line)["id"] for line in lines}
        self.wanted = set(Path(wanted).read_text().splitlines())

    def wants(self, test):
        return test not in self.known and (not self.wanted or test in self.wanted)

    def started(self, test):
        self._write({"id": test})

    def ended(self, test, outcome, text=""):
        self._write({"id": test, "outcome": outcome, "text": text[-4000:]})

    def complete(self):
        self._write({"id": "", "outcome": "complete"})

    def _write(self, line):
        # A child forked by a test has its own result, which is not the test's.
        if os.getpid() == self.pid:
            with open(self.path, "a") as file:
                file.write(json.dumps(line) + "\n")
