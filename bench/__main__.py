"""`python -m bench` in tests/: measures all row groups, prints the table, writes JSON and a plot."""

import argparse
import json
import os
import platform
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from support import paths

from . import (
    concurrent,
    connects,
    contenders,
    distance,
    goals,
    isolation,
    names,
    real_programs,
    startup,
    supervised,
    table,
    unproxied,
)
from .ground import Ground

GROUPS = {
    "connects": connects,
    "concurrent": concurrent,
    "startup": startup,
    "real_programs": real_programs,
    "names": names,
    "unproxied": unproxied,
    "distance": distance,
    "supervised": supervised,
}


def arguments():
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few runs: shows that all works, not what it costs")
    parser.add_argument("--only", choices=GROUPS, action="append", help="this group of rows; may be repeated")
    parser.add_argument("--results", type=Path, default=paths.TARGET / "bench" / "results.json")
    parser.add_argument("--plot", type=Path, help="write this SVG file")
    return parser.parse_args()


def measured(options, everybody):
    with new_directory(None) as directory, new_directory(in_memory()) as directory_in_memory:
        ground = Ground(directory, directory_in_memory, everybody, options.quick)
        ground.check_that_all_are_proxied()
        for group in options.only or GROUPS:
            began = time.monotonic()
            print(f"{group} …", end="", flush=True)
            yield from GROUPS[group].rows(ground)
            print(f" {time.monotonic() - began:.0f} s", flush=True)


@contextmanager
def new_directory(place):
    with tempfile.TemporaryDirectory(prefix="tailchain-bench-", dir=place) as name:
        directory = Path(name)
        directory.chmod(0o755)  # daemons drop their privileges
        yield directory


def in_memory():
    """A directory in the place of shared memory (shm_open(3)), or else anywhere."""
    place = "/dev/shm"
    return place if os.access(place, os.W_OK) else None


def main():
    isolation.enter("bench")
    options = arguments()
    everybody = contenders.everybody()
    load = os.getloadavg()[0]
    rows = list(measured(options, everybody))
    judged = goals.judge(rows)
    machine = f"{os.cpu_count()} cores, load {load:.2f} before the run, Linux {platform.release()}"
    print(f"\nmedians; {machine}\n")
    names_in_order = [contender.name for contender in everybody]
    print("\n".join([*table.lines(rows, names_in_order), "", *table.goal_lines(judged)]))
    results = {
        "machine": machine,
        "quick": options.quick,
        "rows": [row.as_json() for row in rows],
        "goals": [goal.as_json() for goal in judged],
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.write_text(json.dumps(results, indent=1) + "\n")
    if options.plot:
        from . import plot  # matplotlib takes a second to load

        plot.chain_seed(results, options.plot)


if __name__ == "__main__":
    main()
