"""Node's own tests of net, http, https, http2, tls, dns, cluster and dgram: the sources of Debian's package, run by the
node of that version from the npm registry."""

import platform
import sys
from pathlib import Path

from . import fetch as get
from .unit import LAUNCHER, Unit

AGENT = Path(__file__).with_name("agents") / "run_files.py"
UPSTREAM, PACKAGED = "18.20.4", "18.20.4+dfsg-1~deb12u2"
GROUPS = ["net", "http", "https", "http2", "tls", "dns", "cluster", "dgram"]
MACHINES = {"x86_64": "x64", "aarch64": "arm64"}
# The number of files in a unit.
BATCH = 40


def fetch():
    _node()
    _sources()


def _node():
    return get.npm(f"node-linux-{MACHINES[platform.machine()]}", UPSTREAM) / "bin" / "node"


def _sources():
    parts = ["test/common", "test/fixtures", "test/parallel", "test/sequential"]
    return get.debian_source("nodejs", PACKAGED, "18.20.4+dfsg", *parts)


def units(short=False):
    for group in GROUPS:
        files = sorted(
            file
            for directory in ("parallel", "sequential")
            for file in (_sources() / "test" / directory).glob(f"test-{group}-*.*js")
        )
        for start in range(0, len(files), BATCH):
            yield _unit(group, files[start : start + BATCH])


def _unit(name, files):
    def words(results, wanted):
        names = results.with_name("files")
        names.write_text("".join(f"{file}\n" for file in files))
        # Where they write: not beside their sources, which concurrent runs use.
        place = ["env", f"NODE_TEST_DIR={results.parent}"]
        return [sys.executable, AGENT, results, wanted, names, "--", *place, LAUNCHER, _node()]

    return Unit("node", name, words)
