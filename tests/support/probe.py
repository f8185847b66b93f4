"""Compile a probe when its source is newer, and run it."""

import os
import platform
import subprocess
import threading

from . import paths
from .need import need
from .run import run_under

FLAGS = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread"]
LIBRARIES = ["-lresolv"]
if paths.MUSL:
    LIBRARIES = []
    # The kernel's headers, which musl does not include.
    FLAGS += ["-idirafter", "/usr/include", "-idirafter", f"/usr/include/{platform.machine()}-linux-gnu"]

_compiling = threading.Lock()


def probe(name, *flags):
    """The path of the compiled tests/probes/NAME.c; with `-static` among the flags, a separate one."""
    source, built = paths.PROBE_SOURCES / f"{name}.c", paths.PROBES / "".join([name, *flags])
    sources = [source, *paths.PROBE_SOURCES.glob("*.h")]
    with _compiling:
        if not built.exists() or built.stat().st_mtime < max(file.stat().st_mtime for file in sources):
            paths.PROBES.mkdir(parents=True, exist_ok=True)
            # Another pytest worker may be compiling or running it at this moment.
            new = built.with_name(f"{built.name}.{os.getpid()}")
            command = [need(paths.PROBE_CC), *FLAGS, *flags, str(source), "-o", str(new), *LIBRARIES]
            subprocess.run(command, check=True)
            new.replace(built)
    return built


def run_probe(name, *args, conf=None, via="preload", **options):
    """Under a supervisor it is a static program."""
    flags = ["-static"] if via == "supervised" else []
    return run_under(probe(name, *flags), args, conf=conf, via=via, **options)


def script(*operations, conf=None, via="preload", **options):
    """The output of tests/probes/socket_script.c for these operations: one result for each."""
    result = run_probe("socket_script", *operations, conf=conf, via=via, **options).ok()
    lines = result.out.splitlines()
    assert len(lines) == len(operations), result.out
    return [line.split(" -> ", 1)[1] for line in lines]
