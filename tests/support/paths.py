"""Where the things under test are.

TAILCHAIN_LAUNCHER and TAILCHAIN_LIBRARY point the tests at another build, or at another program that claims
to do the same. For a build for another machine or libc, TAILCHAIN_PROBE_CC compiles the probes, and TAILCHAIN_EMULATOR,
a command line of qemu-user, runs them: only the probes, so what needs the launcher is skipped then.
"""

import os
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
RELEASE = TARGET / "release"
LAUNCHER = Path(os.environ.get("TAILCHAIN_LAUNCHER", RELEASE / "proxychains4"))
LIBRARY = Path(os.environ.get("TAILCHAIN_LIBRARY", RELEASE / "libtailchain.so"))
COMMAND = RELEASE / "tailchain"
PROBE_SOURCES = ROOT / "tests" / "probes"
PROBE_CC = os.environ.get("TAILCHAIN_PROBE_CC", "cc")
EMULATOR = shlex.split(os.environ.get("TAILCHAIN_EMULATOR", ""))
MUSL = "musl" in PROBE_CC
PROBES = TARGET / ("probes" if PROBE_CC == "cc" else f"probes-{PROBE_CC}")
