"""The result of `make packages`. Only `make test-packages` runs these tests, see pytest.ini."""

import platform

import pytest

from support import paths
from support.roots import Root

MACHINE = platform.machine()


@pytest.fixture(scope="session")
def package():
    """package(pattern): the one file of the release that matches, for this machine."""

    def find(pattern):
        found = sorted((paths.TARGET / "packages").glob(pattern))
        if not found:
            pytest.skip(f"target/packages has no {pattern}: `make packages` makes it")
        [file] = found
        return file

    return find


@pytest.fixture
def make_root(tmp_path):
    return lambda release: Root(release, tmp_path)
