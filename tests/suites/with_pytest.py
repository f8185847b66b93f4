"""Units of suites that use pytest: one test file each."""

from pathlib import Path

from . import execute
from . import fetch as get
from .unit import LAUNCHER, Unit

AGENTS = Path(__file__).with_name("agents")


def unit(suite, directory, file, options=(), environment=None, services=()):
    """`file` is relative to `directory`, which has the tests and no part of the package itself."""
    # Without the project's configuration, which requires coverage, parallel runs and the like.
    always = ["-q", "-p", "pytest_results", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov", "--timeout=60"]

    def words(results, wanted):
        # Not by Unit.environment, which is the same for every run.
        variables = ["env", f"SUITE_RESULTS={results}", f"SUITE_WANTED={wanted}"]
        return [*variables, LAUNCHER, get.python(), "-m", "pytest", *always, *options, file]

    name = file.removeprefix("tests/").removesuffix(".py")
    environment = {"PYTHONPATH": f"{AGENTS}:{execute.TESTS}", **(environment or {})}
    return Unit(suite, name, words, f"{file}::", directory, environment, services=services)
