"""run_unittest.py RESULTS WANTED [KIND:]MODULE[,MODULE…]: the unittest tests of modules, each with a time limit."""

import faulthandler
import os
import runpy
import sys
import traceback
import unittest

from results import Results

# Timeout of one test, in seconds; then the process ends, with the threads' stacks on stderr.
LIMIT = 90


class Recorder(unittest.TestResult):
    def __init__(self, results):
        super().__init__()
        self.results = results
        self.outcome, self.text = None, ""

    def startTest(self, test):
        super().startTest(test)
        self.outcome, self.text = "passed", ""
        self.results.started(test.id())
        faulthandler.dump_traceback_later(LIMIT, exit=True)

    def stopTest(self, test):
        super().stopTest(test)
        if os.getpid() != self.results.pid:
            os._exit(1)  # a forked child that left its test
        faulthandler.cancel_dump_traceback_later()
        self.results.ended(test.id(), self.outcome, self.text)
        self.outcome = None

    def put(self, test, outcome, text):
        if self.outcome is None:
            # The set-up of a class or a module, which is not a test.
            self.results.ended(test.id(), outcome, text)
        elif self.outcome != "failed":
            self.outcome, self.text = outcome, text

    def addError(self, test, err):
        self.put(test, "failed", "".join(traceback.format_exception(*err)))

    addFailure = addError

    def addSubTest(self, test, subtest, err):
        if err is not None:
            self.addError(test, err)

    def addSkip(self, test, reason):
        self.put(test, "skipped", reason)

    def addExpectedFailure(self, test, err):
        pass

    def addUnexpectedSuccess(self, test):
        self.put(test, "failed", "unexpected success")


def tests_of(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests_of(test)
        else:
            yield test


def configure_cpython(*resources):
    """What regrtest does before it loads a module."""
    from test import support

    support.use_resources = ["subprocess", "cpu", *resources]
    support.LOOPBACK_TIMEOUT = 15.0
    support.verbose = 0


def as_program(results, start):
    """Run a module whose last line is `unittest.main()`, as `python -m` would, but with this result class."""
    mains = []

    def main(*_, **__):
        mains.append(main)
        chosen(results, unittest.defaultTestLoader.loadTestsFromModule(sys.modules["__main__"]))

    unittest.main = main
    start()
    return bool(mains)


def chosen(results, loaded):
    unittest.TestSuite(test for test in tests_of(loaded) if results.wants(test.id())).run(Recorder(results))


def run_main(results, module):
    """A module of gevent's tests, which patches the process when it is the main program."""
    if not as_program(results, lambda: runpy.run_module(module, run_name="__main__", alter_sys=True)):
        # A script: it ran to its end.
        results.ended(module, "passed")


def run_green(results, file):
    """A module of CPython's tests, patched by gevent."""
    sys.argv[1:] = [file]
    run_main(results, "gevent.testing.monkey_test")


def run_plain(results, module):
    configure_cpython()
    chosen(results, unittest.defaultTestLoader.loadTestsFromNames(module.split(",")))


def run_with_network(results, module):
    configure_cpython("network")
    chosen(results, unittest.defaultTestLoader.loadTestsFromNames(module.split(",")))


KINDS = {"": run_plain, "network": run_with_network, "main": run_main, "green": run_green}


def run(path, wanted, what):
    kind, _, module = what.rpartition(":")
    results = Results(path, wanted)
    faulthandler.enable()
    try:
        KINDS[kind](results, module)
    except unittest.SkipTest as reason:
        results.ended(module, "skipped", str(reason))
    except BaseException:
        results.ended(module, "failed", traceback.format_exc())
    results.complete()
    sys.stderr.flush()
    # Threads that a test left behind would keep the process alive.
    os._exit(0)


if __name__ == "__main__":
    run(*sys.argv[1:])
