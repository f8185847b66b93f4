"""How long getaddrinfo takes for a name that the proxy is to resolve, the first time and again, with few and with many
names known. Debian's proxychains4 keeps a list that it walks: it is not asked for the largest number.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from run import compiled  # noqa: E402

from support import paths  # noqa: E402
from support.config import config_text  # noqa: E402
from support.run import clean_environment  # noqa: E402

ROUNDS = 5
SAMPLE = 200
COUNTS = [1, 1000, 100_000]
DEBIAN_MOST = 1000


def main():
    results = []
    print(f"\ngetaddrinfo of a remote name, µs, median of {ROUNDS} rounds; load {os.getloadavg()[0]:.2f}")
    print(f"{'names':>8} {'':24}{'first':>10}{'again':>10}")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        program = compiled("lookups", folder)
        config = folder / "proxychains.conf"
        config.write_text(config_text(["socks5 127.0.0.1 1"], "proxy_dns"))
        for count in COUNTS:
            figures = {}
            for launcher in contestants(count):
                figures[launcher] = []
            for number in range(ROUNDS):
                for launcher in figures:
                    # A table of its own for each run: no name is known before.
                    own = folder / f"{count}-{number}"
                    own.mkdir(exist_ok=True)
                    argv = [launcher, "-q", "-f", str(config), program, str(count), str(SAMPLE)]
                    environment = clean_environment({"XDG_RUNTIME_DIR": own})
                    done = subprocess.run(argv, check=True, env=environment, capture_output=True, text=True)
                    figures[launcher].append([float(word) for word in done.stdout.split()])
            for launcher, rounds in figures.items():
                first, again = (statistics.median(column) for column in zip(*rounds, strict=True))
                name = "tailchain" if launcher == str(paths.LAUNCHER) else "Debian's proxychains4"
                print(f"{count:>8} {name:24}{first:>10.2f}{again:>10.2f}")
                results.append({"names": count, "who": name, "first_us": first, "again_us": again})
    target = paths.TARGET / "bench" / "names.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"results": results}, indent=1) + "\n")


def contestants(count):
    yield str(paths.LAUNCHER)
    debian = shutil.which("proxychains4", path="/usr/bin")
    if debian and count <= DEBIAN_MOST:
        yield debian


if __name__ == "__main__":
    main()
