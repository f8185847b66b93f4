"""The test suites of other projects, bare and through the launcher (tests/suites): the part that takes half a minute,
and the harness itself. The rest is `make suites`."""

import subprocess
import sys
import tempfile

import pytest

from suites import compare, cpython, execute, expected, ground
from suites.__main__ import SUITES
from suites.unit import LAUNCHER, Unit
from support import paths
from support.need import need
from support.run import clean_environment


@pytest.fixture(scope="module", autouse=True)
def tools():
    need("unshare")
    need("setpriv")
    tried = subprocess.run([*ground.namespaces(), "true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no namespaces can be made here: {tried.stderr.strip()}")


def test_cpythons_own_tests_differ_only_where_it_is_listed(tmp_path):
    try:
        cpython.fetch()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    words = [sys.executable, "-m", "suites", "cpython", "--short", "--results", tmp_path / "results.json"]
    environment = clean_environment({"PYTHONPATH": paths.ROOT / "tests"})
    result = subprocess.run(list(map(str, words)), env=environment, capture_output=True, text=True, timeout=280)
    print(result.stdout, result.stderr)
    assert result.returncode == 0


# Outcomes bare, outcomes proxied, whether it is listed: the verdict, and what is wrong with it.
CASES = [
    (["passed"], ["passed"], None, "same", None),
    (["failed"], ["hung"], None, "same", None),
    (["passed"], ["passed"], "always", "same", "stale"),
    (["passed"], ["passed"], "sometimes", "same", None),
    (["passed", "passed"], ["failed", "failed"], None, "different", "unexpected"),
    (["passed", "passed"], ["failed", "died"], "always", "different", None),
    (["passed", "passed"], ["skipped", "skipped"], None, "different", "unexpected"),
    (["passed", "passed"], ["failed", "passed"], None, "flaky proxied", None),
    (["passed", "failed"], ["failed", "failed"], None, "flaky bare", None),
    (["passed", "passed"], [None, None], None, "different", "unexpected"),
]


@pytest.mark.parametrize("bare, proxied, listed, verdict, wrong", CASES)
def test_a_difference_must_be_listed_and_a_listed_one_must_exist(bare, proxied, listed, verdict, wrong):
    seen = compare.Test()
    for pair in zip(bare, proxied, strict=True):
        seen.add(*(outcome and (outcome, "") for outcome in pair))
    assert seen.verdict == verdict
    judged = compare.judge({"a": seen}, {"a": listed} if listed else {})
    assert (judged.unexpected, judged.stale) == (["a"] * (wrong == "unexpected"), ["a"] * (wrong == "stale"))
    assert judged.good == (wrong is None)


def test_a_listed_test_that_is_gone_is_stale():
    assert compare.judge({}, {"a": "always"}).stale == ["a"]


def test_each_listed_difference_has_a_reason_and_a_suite():
    assert set(expected.load()) <= set(SUITES)
    for suite in SUITES:
        expected.differences(suite)


SAMPLE = """
import os, socket, threading, time, unittest

class Sample(unittest.TestCase):
    def test_a_passes(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname()).close()
    def test_b_fails(self):
        self.fail("on purpose")
    def test_c_is_skipped(self):
        self.skipTest("on purpose")
    def test_d_dies(self):
        os._exit(7)
    def test_e_hangs(self):
        time.sleep(600)
    def test_f_sees_the_clients_port(self):
        with socket.create_server(("127.0.0.1", 0)) as server:
            client = socket.create_connection(server.getsockname())
            with client, server.accept()[0] as accepted:
                self.assertEqual(accepted.getpeername(), client.getsockname())
    def test_g_has_no_network(self):
        with self.assertRaises(OSError):
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 9))
"""


@pytest.mark.parametrize("way, last", [("bare", "passed"), ("proxied", "failed")])
def test_each_kind_of_outcome_is_seen(way, last, tmp_path):
    (tmp_path / "sample.py").write_text(SAMPLE)

    def words(results, wanted):
        program = [sys.executable, cpython.AGENT, results, wanted, "sample"]
        return ["env", f"PYTHONPATH={tmp_path}", LAUNCHER, *program]

    unit = Unit("sample", "sample", words, patience=5)
    with tempfile.TemporaryDirectory(dir=tmp_path) as directory:
        run = execute.run(unit, way, type(tmp_path)(directory))
    found = {name.rpartition(".")[2].partition("_")[2][0]: outcome for name, (outcome, _) in run.results.items()}
    expect = {"a": "passed", "b": "failed", "c": "skipped", "d": "died", "e": "hung", "f": last, "g": "passed"}
    assert found == expect
    assert run.connections == (2 if way == "proxied" else 0)
