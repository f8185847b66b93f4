"""Where the things under test are.

TAILCHAIN_LAUNCHER and TAILCHAIN_LIBRARY point the tests at another build, or at another program that claims
to do the same.
"""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
RELEASE = TARGET / "release"
LAUNCHER = Path(os.environ.get("TAILCHAIN_LAUNCHER", RELEASE / "proxychains4"))
LIBRARY = Path(os.environ.get("TAILCHAIN_LIBRARY", RELEASE / "libtailchain.so"))
COMMAND = RELEASE / "tailchain"
PROBE_SOURCES = ROOT / "tests" / "probes"
PROBES = TARGET / "probes"
