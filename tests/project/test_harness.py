"""The test harness: a missing tool is a skip with its reason, and a failure where nothing may be skipped."""

import os
import subprocess
import sys

import pytest

from support import paths

TEST = """
from support import paths
from support.need import need

def test_something():
    need("no-such-tool")
"""


@pytest.mark.parametrize("no_skip, outcome", [("1", "1 failed"), ("0", "1 skipped")])
def test_a_missing_tool(tmp_path, no_skip, outcome):
    here = paths.ROOT / "tests"
    (tmp_path / "test_needy.py").write_text(TEST)
    (tmp_path / "conftest.py").write_text((here / "conftest.py").read_text())
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", here / "pytest.ini", "--rootdir", tmp_path, tmp_path],
        env={**os.environ, "TAILCHAIN_NO_SKIP": no_skip, "PYTHONPATH": str(here)},
        capture_output=True,
        text=True,
    )
    assert outcome in result.stdout
    assert "`no-such-tool` is not installed" in result.stdout
