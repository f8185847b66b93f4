"""Programs that a test needs; `make test` installs them.

A missing one is a skip with its reason. Under TAILCHAIN_NO_SKIP=1 conftest.py turns every skip into a failure.
"""

import glob
import os
import shutil

import pytest

# Debian keeps daemons out of a user's PATH, and PostgreSQL's server out of every PATH.
EXTRA_DIRECTORIES = ["/usr/sbin", "/sbin"]


def find(command):
    """The path of a command, or None."""
    postgres = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    return shutil.which(command) or shutil.which(command, path=os.pathsep.join(postgres + EXTRA_DIRECTORIES))


def need(command):
    """The path of a command; without it the test is skipped."""
    path = find(command)
    if path is None:
        pytest.skip(f"`{command}` is not installed: tests/install-tools installs it")
    return path
