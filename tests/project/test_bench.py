"""The benchmark itself: each group of rows yields figures, and they are processed correctly. Their values depend on the
machine and are not checked here."""

import json
import math
import subprocess
import sys

import pytest

from bench import goals, isolation, table
from bench.__main__ import GROUPS
from bench.contenders import BARE, HAND_WRITTEN, PROXYCHAINS, TAILCHAIN
from bench.harness import CannotDo, Cell, Row, alternate
from support import paths
from support.need import need
from support.run import clean_environment

TOOLS = {
    "connects": ["microsocks", "strace", "valgrind"],
    "real_programs": ["microsocks", "initdb", "postgres", "pgbench", "redis-server"],
    "startup": ["readelf"],
    "supervised": ["microsocks", "go"],
}
ALWAYS = ["cc", "unshare", "setpriv", "proxychains4", "torsocks", "socksify"]


class Named:
    def __init__(self, name):
        self.name = name


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_yields_figures(group, tmp_path):
    for tool in [*ALWAYS, *TOOLS.get(group, [])]:
        need(tool)
    tried = subprocess.run([*isolation.command(), "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no network of its own can be made here: {tried.stderr.strip()}")
    results = tmp_path / "results.json"
    words = [sys.executable, "-m", "bench", "--quick", "--only", group, "--results", results]
    environment = clean_environment({"PYTHONPATH": paths.ROOT / "tests"})
    done = subprocess.run(words, cwd=paths.ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads(results.read_text())["rows"]
    assert rows
    for row in rows:
        for name, cell in row["cells"].items():
            assert bool(cell["values"]) != bool(cell["reason"]), (row["title"], name)
            # The difference between two programs may be negative on a busy machine.
            least = -math.inf if "beyond that of" in row["title"] else 0
            assert all(math.isfinite(value) and value >= least for value in cell["values"]), (row["title"], name)
        own = row["cells"][TAILCHAIN]
        assert own["values"] or own["reason"].startswith("this build has no"), (row["title"], own["reason"])


def test_contenders_take_turns_and_one_that_cannot_is_not_asked_again():
    asked = []

    def run(contender):
        asked.append(contender.name)
        if contender.name == "lame":
            raise CannotDo("has one leg")
        return {"figure": len(asked)}

    cells = alternate([Named("one"), Named("lame"), Named("other")], 3, run)["figure"]
    assert asked == ["one", "lame", "other", "other", "one", "one", "other"]
    assert (cells["one"].values, cells["other"].values) == ([1, 5, 6], [3, 4, 7])
    assert (cells["one"].median, cells["one"].least, cells["one"].most) == (5, 1, 6)
    assert (cells["lame"].reason, cells["lame"].median) == ("has one leg", None)


def test_runs_of_one_round_are_compared():
    cells = {TAILCHAIN: Cell(values=[2, 30, 4]), HAND_WRITTEN: Cell(values=[1, 10, 1])}
    assert Row("key", "title", "", cells).ratio(TAILCHAIN, HAND_WRITTEN) == 3
    cells[TAILCHAIN].values.append(5)
    assert Row("key", "title", "", cells).ratio(TAILCHAIN, HAND_WRITTEN) == 4.5
    assert Row("key", "title", "", {TAILCHAIN: Cell(values=[1])}).ratio(TAILCHAIN, HAND_WRITTEN) is None


def test_a_row_without_figures_has_reasons():
    def run(contender):
        raise CannotDo("too hard")

    assert alternate([Named("one")], 2, run)["anything"] == {"one": Cell(reason="too hard")}


def row(key, **medians):
    names = {"bare": BARE, "hand_written": HAND_WRITTEN, "tailchain": TAILCHAIN, "proxychains": PROXYCHAINS}
    return Row(key, key, "µs", {names[name]: Cell(values=[value]) for name, value in medians.items()})


@pytest.mark.parametrize(
    "measured, met",
    [
        (row("system_calls", tailchain=14), True),
        (row("system_calls", tailchain=15), False),
        (row("sequential", hand_written=1000, tailchain=970), True),
        (row("sequential", hand_written=1000, tailchain=960), False),
        (row("concurrent_64", hand_written=100, tailchain=121), False),
        (row("stall_1000", hand_written=2.0, tailchain=2.1), False),
        (row("launch", proxychains=10, tailchain=9), True),
        (row("memory_dns", proxychains=10, tailchain=10), False),
        (row("name_again_100000_1", tailchain=4.9), True),
        (row("unproxied_close", bare=100, tailchain=101), False),
        (row("unproxied_close", bare=100, tailchain=100), True),
    ],
)
def test_a_goal_is_judged(measured, met):
    (goal,) = goals.judge([measured])
    assert goal.met == met


@pytest.mark.parametrize("key", ["stall_1000", "memory", "unproxied_close"])
def test_a_goal_whose_row_could_not_be_measured_is_missed(key):
    broken = row(key, bare=100, proxychains=100)
    broken.cells[TAILCHAIN] = Cell(reason="dies of SIGSEGV")
    (goal,) = goals.judge([broken])
    assert (goal.reached, goal.met) == ("dies of SIGSEGV", False)


def test_the_table_tells_medians_ratios_and_reasons():
    measured = row("connect", hand_written=100.0, tailchain=150.0)
    measured.cells[PROXYCHAINS] = Cell(reason="walks a list")
    first, second, *rest = table.lines([measured], [HAND_WRITTEN, TAILCHAIN, PROXYCHAINS])
    assert first.split() == ["hand-written", "client", TAILCHAIN, PROXYCHAINS]
    assert second.split() == ["connect", "µs", "100", "150", "(x1.50)", "[1]"]
    assert "[1] walks a list" in rest


def test_the_picture_is_drawn_from_the_results(tmp_path):
    pytest.importorskip("matplotlib")
    from bench import plot

    keys = ["system_calls", "sequential", "preload", "concurrent_1", "stall_1", "name_again_1_1"]
    results = {"machine": "2 cores", "rows": [row(key, bare=1, hand_written=2, tailchain=3).as_json() for key in keys]}
    plot.draw(results, tmp_path / "bench.svg")
    text = (tmp_path / "bench.svg").read_text()
    assert text.count(f">{TAILCHAIN}<") == 4  # the legend and three plots of bars
    assert "2 cores" in text
