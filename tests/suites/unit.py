"""A suite consists of units, each of which is run once bare and once through the launcher."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


def names(text):
    """Words, several per line."""
    return text.split()


# In a command line: the words of the launcher, none in a bare run.
LAUNCHER = "{launcher}"


@dataclass(frozen=True)
class Unit:
    """One process, as a rule one test module."""

    suite: str
    # Several may have the same name: parts of one.
    name: str
    # (file for the results, file with the wanted test ids) -> the words of a command line, LAUNCHER among them.
    # The command adds its results to the first file and leaves out every test that has one there.
    words: Callable[[Path, Path], list]
    # The common prefix of its test ids, which is not displayed.
    prefix: str = ""
    directory: Path | None = None
    environment: dict = field(default_factory=dict)
    # Names of ground.SERVICES.
    services: tuple = ()
    # A unit without a new result for this many seconds hangs.
    patience: int = 150

    def shown(self, test):
        return f"{self.name}: {test.removeprefix(self.prefix)}"
