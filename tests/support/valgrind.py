"""Run a program under one of valgrind's tools, with the library or bare, and parse its report on each process."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from . import paths
from .need import need
from .probe import FLAGS
from .run import command_line, finish, start

SUPPRESSIONS = paths.ROOT / "tests" / "valgrind.supp"

OPTIONS = {
    # Leaks count as errors: blocks without any pointer to them, or with only a pointer to their interior.
    "memcheck": ["--leak-check=full", "--show-leak-kinds=definite,possible", "--track-fds=yes", "--num-callers=30"],
    "helgrind": ["--num-callers=30"],
}

# An empty line separates two reports; helgrind's have several such parts, and a line of dashes between them.
ENDS = {"memcheck": r"\n\s*\n", "helgrind": r"\n-{60,}\n"}
STACK = re.compile(r"^ +(?:at|by) 0x[0-9A-F]+: (.*)$", re.M)
OPEN_FILE = re.compile(r"^Open .*\n(?! +<inherited from parent>)", re.M)


@dataclass(frozen=True)
class Report:
    """An error."""

    text: str

    @property
    def ours(self):
        """Whether the library is involved."""
        return any(f"/{paths.LIBRARY.name})" in frame for frame in STACK.findall(self.text))

    @property
    def is_published(self):
        """Whether a race is about memory that was allocated inside a OnceBox. It returns a reference only after it has
        stored its pointer (release) and loaded it again (acquire), which helgrind takes for ordinary accesses on
        x86-64; and through a shared reference only atomics can be modified. The compiler ensures both."""
        made = re.search(r"^ Address .* alloc'd\n(( +(at|by) 0x.*\n)+)", self.text, re.M)
        return made is not None and "once_box::OnceBox" in made[1]

    @property
    def is_leak(self):
        return re.search(r" blocks are (definitely|possibly) lost ", self.text) is not None

    @property
    def place(self):
        """What is the same in every run: the kind of error, and the functions without their addresses."""
        kind = re.sub(r"0x[0-9A-Fa-f]+|\d[\d,]*", "N", self.text.splitlines()[0])
        return kind, *(re.sub(r" \(.*", "", frame) for frame in STACK.findall(self.text))


@dataclass
class Log:
    """What valgrind reported about one process."""

    text: str
    tool: str
    notes: list  # about itself, e.g. a system call that it does not know

    @property
    def reports(self):
        blocks = (block.strip("\n") for block in re.split(ENDS[self.tool], self.text))
        # A thread is announced when a report is about it; a list of open files is not an error.
        skipped = re.compile(r"(FILE DESCRIPTORS.*\n)?Open |Helgrind, a thread error detector|-*Thread-Announcement")
        reports = [Report(block) for block in blocks if STACK.search(block) and not skipped.match(block)]
        errors = re.search(r"ERROR SUMMARY: \d+ errors from (\d+) contexts", self.text)
        assert errors, f"the process did not come to its end:\n{self.text}"
        # Newer versions of valgrind count an open fd as an error.
        counted = (len(reports), len(reports) + self.left_open)
        assert int(errors.group(1)) in counted, f"not understood:\n{self.text}"
        return [report for report in reports if not report.is_published]

    @property
    def left_open(self):
        """The number of open fds, apart from those inherited."""
        return len(OPEN_FILE.findall(self.text))

    @property
    def in_use(self):
        """(bytes, blocks) of the heap when the process ended."""
        found = re.search(r"in use at exit: ([\d,]+) bytes in ([\d,]+) blocks", self.text)
        return found and tuple(int(number.replace(",", "")) for number in found.groups())


@dataclass
class Run:
    """A program and its children."""

    out: str
    own: Log
    children: list


def interpreters(tool):
    """Libraries that tell a tool what it cannot see itself, for LD_PRELOAD."""
    names = ["valgrind_heap", *(["helgrind_lock"] if tool == "helgrind" else [])]
    return [interpreter(name) for name in names]


def interpreter(name):
    source, built = paths.PROBE_SOURCES / f"{name}.c", paths.PROBES / f"{name}.so"
    if not Path("/usr/include/valgrind/helgrind.h").exists():
        pytest.skip("valgrind's headers are not installed: tests/install-tools installs them")
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        paths.PROBES.mkdir(parents=True, exist_ok=True)
        subprocess.run([need("cc"), *FLAGS, "-shared", "-fPIC", str(source), "-o", str(built)], check=True)
    return built


def run_valgrind(tool, program, args, directory, conf=None, via="preload", env=None, timeout=110):
    """`directory` is for the logs, one for each process."""
    options = [
        f"--tool={tool}",
        *OPTIONS[tool],
        f"--suppressions={SUPPRESSIONS}",
        "--trace-children=yes",
        f"--log-file={directory}/%p",
    ]
    _, environment = command_line(program, args, via, conf, ["-q"])
    if via == "preload":
        environment["LD_PRELOAD"] = ":".join(map(str, [environment["LD_PRELOAD"], *interpreters(tool)]))
    environment |= env or {}
    directory.mkdir()
    process = start(need("valgrind"), [*options, program, *args], via="bare", env=environment)
    result = finish(process, timeout).ok()
    logs = {int(file.name): _log(file.read_text(), tool) for file in directory.iterdir()}
    return Run(result.out, logs.pop(process.pid), list(logs.values()))


def _log(text, tool):
    """The lines `==PID== …` and `--PID-- …`, without that prefix."""
    lines = re.findall(r"^==\d+==(?: (.*)|)$", text, re.M)
    return Log("\n".join(lines), tool, notes=re.findall(r"^--\d+-- (.*)$", text, re.M))
