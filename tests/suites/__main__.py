"""`python -m suites` in tests/: runs suites bare and proxied, and compares both with expected.toml."""

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from support import paths

from . import aiohttp, asyncpg, compare, cpython, execute, expected, gevent, node, redis_py

SUITES = {"cpython": cpython, "node": node, "gevent": gevent, "aiohttp": aiohttp, "asyncpg": asyncpg, "redis": redis_py}
# A test that differs is repeated alone, bare and proxied.
TRIES = 3
# How many of the listed tests must pass bare to show that a suite did run.
ENOUGH = 0.9


def arguments(words=None):
    parser = argparse.ArgumentParser(prog="suites", description=__doc__)
    parser.add_argument("suites", nargs="*", choices=[[], *SUITES], help="which; all when none is named")
    parser.add_argument("--short", action="store_true", help="the part that belongs to `make test`")
    parser.add_argument("--unit", action="append", help="only this unit; may be repeated")
    parser.add_argument("--jobs", type=int, default=2, help="units at a time")
    parser.add_argument("--results", type=Path, default=paths.TARGET / "suites" / "results.json")
    return parser.parse_args(words)


def both_ways(unit, listed, base):
    """(test id -> Test, number of connections through the proxy)"""
    bare, proxied = _pair(unit, base, ())
    tests = compare.first(bare.results, proxied.results)
    for _ in range(TRIES):
        wanted = {test for test, seen in tests.items() if not seen.is_settled(listed.get(unit.shown(test)))}
        if not wanted:
            break
        again = list(_pair(unit, base, wanted))
        for test in wanted:
            tests[test].add(*(way.results.get(test) for way in again))
    return tests, proxied.connections


def _pair(unit, base, wanted):
    """Bare and proxied."""
    for way in ("bare", "proxied"):
        with tempfile.TemporaryDirectory(prefix="", dir=base) as directory:
            yield execute.run(unit, way, Path(directory), wanted)


def run(suite, listed, options, base):
    """Runs a suite; returns a dict from its tests' displayed names to Test."""
    units = [unit for unit in SUITES[suite].units(options.short) if not options.unit or unit.name in options.unit]
    tests = {}

    def one(unit):
        began = time.monotonic()
        return unit, *both_ways(unit, listed, base), time.monotonic() - began

    with ThreadPoolExecutor(options.jobs) as pool:
        for unit, found, connections, seconds in pool.map(one, units):
            tests.update({unit.shown(test): seen for test, seen in found.items()})
            keep(options.results, suite, tests)
            print(f"{suite} {unit.name}: {summary(found)}; {connections} connections, {seconds:.0f} s", flush=True)
    return tests


def keep(file, suite, tests):
    """After each unit, all differences are written to a file, with the tests' output."""
    results = json.loads(file.read_text()) if file.exists() else {}
    results[suite] = {test: {**vars(seen), "verdict": seen.verdict} for test, seen in tests.items() if notable(seen)}
    file.write_text(json.dumps(results, indent=1))


def notable(seen):
    return seen.verdict != "same" or seen.bare[0] in ("failed", compare.ABSENT)


def summary(tests):
    verdicts = Counter(seen.verdict for seen in tests.values())
    bare, proxied = passing(tests)
    extra = [f"{count} {verdict}" for verdict, count in verdicts.items() if verdict != "same"]
    return ", ".join([f"{bare} of {len(tests)} pass bare, {proxied} proxied", *extra])


def passing(tests):
    return tuple(sum(outcomes[0] == "passed" for outcomes in way) for way in _ways(tests))


def _ways(tests):
    return [[getattr(seen, way) for seen in tests.values()] for way in ("bare", "proxied")]


def report(suite, tests, judged, partial):
    for test in judged.unexpected:
        seen = tests[test]
        print(f"\nDIFFERENT {suite} {test}\n  bare {seen.bare}, proxied {seen.proxied}\n{indented(seen.text)}")
    for test in judged.stale:
        print(f"\nNO LONGER DIFFERENT {suite} {test}: take it off expected.toml")
    for test, verdict in judged.flaky.items():
        print(f"{verdict}: {suite} {test} bare {tests[test].bare}, proxied {tests[test].proxied}")
    bare, proxied = passing(tests)
    least = 0 if partial else int(expected.passes(suite)[0] * ENOUGH)
    if bare < least:
        print(f"{suite}: only {bare} tests pass bare, {expected.passes(suite)[0]} are listed: it did not run")
    print(f"{suite}: {bare} of {len(tests)} tests pass bare, {proxied} proxied; {len(judged.unexpected)} not listed")
    return judged.good and bare >= least


def indented(text):
    return "\n".join(f"    {line}" for line in text.splitlines()[-15:])


def main():
    options = arguments()
    good = True
    options.results.parent.mkdir(parents=True, exist_ok=True)
    options.results.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="suites-") as base:
        for suite in options.suites or SUITES:
            SUITES[suite].fetch()
            listed = expected.differences(suite)
            tests = run(suite, listed, options, base)
            partial = bool(options.short or options.unit)
            if partial:
                listed = {test: when for test, when in listed.items() if test in tests}
            good &= report(suite, tests, compare.judge(tests, listed), partial)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
