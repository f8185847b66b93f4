"""What the rows need: compiled programs, servers, proxies, and how much to measure."""

import itertools
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support import daemons
from support.daemon import daemon
from support.ports import refusing_port

from .contenders import BARE, Setting
from .harness import CannotDo, run
from .isolation import TARGET

PROGRAMS = Path(__file__).with_name("programs")
FLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]


@dataclass
class Ground:
    directory: Path  # programs are compiled to it
    directory_in_memory: Path  # of everything that one run writes
    contenders: list
    quick: bool = False
    target: str = TARGET
    _numbers: itertools.count = field(default_factory=itertools.count)

    def choose(self, usual, quick):
        """How much: large for meaningful figures, small to check that everything works."""
        return quick if self.quick else usual

    def only(self, *names):
        return [contender for contender in self.contenders if contender.name in names]

    def without(self, *names):
        return [contender for contender in self.contenders if contender.name not in names]

    def own_directory(self):
        """A new directory, which daemons may enter after they drop privileges."""
        path = self.directory_in_memory / str(next(self._numbers))
        path.mkdir(mode=0o755)
        return path

    def program(self, name, static=False):
        """The path of the compiled programs/NAME.c."""
        built = self.directory / (f"{name}_static" if static else name)
        if not built.exists():
            flags = [*FLAGS, "-static"] if static else FLAGS
            subprocess.run(["cc", *flags, str(PROGRAMS / f"{name}.c"), "-o", str(built)], check=True)
        return str(built)

    def check_that_all_are_proxied(self):
        """Check that no contender bypasses the proxy: its figures would be the bare program's. The target refuses
        connections, and the proxy reports success for all: only a proxied connect succeeds."""
        with refusing_port() as refusing, self.server("busy") as proxy:
            for contender in self.without(BARE):
                environment = contender.environment(Setting((proxy,)), self.own_directory())
                try:
                    run([self.program("connects"), self.target, refusing, 1], environment)
                except CannotDo as reason:
                    raise SystemExit(f"{contender.name} does not connect through the proxy: {reason}") from None

    @contextmanager
    def server(self, mode, number=0):
        """programs/server.c in one of its modes; returns its port."""
        program = self.program("server")
        with daemon(lambda port: [program, mode, port, number], self.own_directory()) as port:
            yield port

    @contextmanager
    def microsocks(self):
        """A proxy that no contender provides; returns its port."""
        with daemons.microsocks(self.own_directory()) as proxy:
            yield proxy.port
