"""A pytest plugin (`-p pytest_results`): SUITE_RESULTS and SUITE_WANTED name the files."""

import os

from results import Results

results = Results(os.environ.pop("SUITE_RESULTS"), os.environ.pop("SUITE_WANTED"))
reports = []


def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if not results.wants(item.nodeid)]
    items[:] = [item for item in items if results.wants(item.nodeid)]
    config.hook.pytest_deselected(items=left_out)


def pytest_collectreport(report):
    if report.outcome != "passed" and results.wants(report.nodeid):
        results.ended(report.nodeid, report.outcome, str(report.longrepr))


def pytest_runtest_logstart(nodeid):
    reports.clear()
    results.started(nodeid)


def pytest_runtest_logreport(report):
    reports.append(report)


def pytest_runtest_logfinish(nodeid):
    for outcome in ("failed", "skipped"):
        texts = [str(report.longrepr) for report in reports if report.outcome == outcome]
        if texts:
            results.ended(nodeid, "passed" if xfailed(reports) else outcome, "\n".join(texts))
            return
    results.ended(nodeid, "passed")


def xfailed(reports):
    return any(report.outcome == "skipped" and hasattr(report, "wasxfail") for report in reports)


def pytest_sessionfinish():
    results.complete()
