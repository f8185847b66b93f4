"""asyncpg's tests, from its sdist. They start their own PostgreSQL, and connect over TCP instead of a unix socket."""

from pathlib import Path

from support.need import need

from . import fetch as get
from .with_pytest import unit


def fetch():
    get.sdist("asyncpg", "tests")


def units(short=False):
    directory = get.sdist("asyncpg")
    environment = {"PGINSTALLATION": Path(need("postgres")).resolve().parent}
    for file in sorted((directory / "tests").glob("test_*.py")):
        yield unit("asyncpg", directory, f"tests/{file.name}", ["-p", "asyncpg_by_tcp"], environment)
