"""Row group 1: what one blocking connect through a proxy costs."""

import os
import re
from contextlib import contextmanager

from .contenders import TAILCHAIN, Setting
from .harness import Cell, Row, alternate, alternate_one, numbers, run

SYSTEM_CALLS_TOTAL = re.compile(r"^\S+\s+\S+\s+\S+\s+(\d+)\s+(?:\d+\s+)?total$", re.M)
INSTRUCTIONS = re.compile(r"^(?:summary|totals): (\d+)", re.M)


def rows(ground):
    counted = ground.choose(50, 10)
    with ground.server("discard") as server, ground.microsocks() as proxy:
        setting = Setting((proxy,))

        def connects(contender, times, wrap):
            return connects_to(ground, server, setting, contender, times, wrap)

        def each(contender, wrap):
            """The difference between n connects and 2n: without the start-up."""
            return (connects(contender, 2 * counted, wrap) - connects(contender, counted, wrap)) / counted

        calls = alternate_one(ground.contenders, ground.choose(3, 1), lambda one: each(one, system_calls))
        spent = alternate_one(ground.contenders, 1, lambda one: each(one, instructions))
        times = ground.choose(500, 100)
        rounds = ground.choose(15, 1)
        figures = alternate(ground.contenders, rounds, lambda one: speed(connects(one, times, plainly)))
        later = list(nonblocking(ground, server, setting, figures["rate"]))
    yield Row("system_calls", "system calls of socket, connect, close", "", calls)
    yield Row("instructions", "instructions of the same, in user space", "", spent)
    yield Row("sequential", "sequential connects", "1/s", figures["rate"], more_is_better=True)
    yield Row("first_connect", "  the first of a process, which is not among them", "µs", figures["first"])
    yield from later
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        with on_core(cores[1]), ground.server("discard") as server, ground.microsocks() as proxy:
            setting = Setting((proxy,))
            apart = alternate_one(
                ground.contenders,
                rounds,
                lambda one: speed(connects_to(ground, server, setting, one, times, on(cores[0])))["rate"],
            )
        yield Row("sequential_apart", "  the client and the rest on a core each", "1/s", apart, more_is_better=True)


def nonblocking(ground, server, setting, blocking):
    """Each one separately: socket, connect, poll, SO_ERROR, close."""
    counted, times = ground.choose(50, 10), ground.choose(500, 100)

    def connects(contender, times, wrap):
        return connects_to(ground, server, setting, contender, times, wrap, "nonblocking")

    def each(contender):
        return (connects(contender, 2 * counted, system_calls) - connects(contender, counted, system_calls)) / counted

    calls = alternate_one(ground.contenders, ground.choose(3, 1), each)
    yield Row("nonblocking_calls", "system calls of a lone non-blocking connect, all threads", "", calls)
    figures = alternate(ground.contenders, ground.choose(15, 1), lambda one: speed(connects(one, times, plainly)))
    cells = figures["rate"]
    yield Row("nonblocking", "lone non-blocking connects", "1/s", cells, more_is_better=True)
    own, other = (rates.get(TAILCHAIN, Cell()).values for rates in [cells, blocking])
    ratios = [two / one for one, two in zip(own, other, strict=True)]
    cell = Cell(ratios) if ratios else Cell(reason="no figure")
    yield Row("nonblocking_ratio", "  their time, of that of a blocking one", "", {TAILCHAIN: cell})


def connects_to(ground, server, setting, contender, times, wrap, *mode):
    directory = ground.own_directory()
    words = [ground.program("connects"), ground.target, server, times, *mode]
    return wrap(words, contender.environment(setting, directory), directory)


def speed(told):
    """The output of programs/connects.c."""
    return dict(zip(["rate", "first"], numbers(told), strict=True))


def plainly(words, environment, directory):
    return run(words, environment)


@contextmanager
def on_core(core):
    """Processes started meanwhile run on this core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def on(core):
    """As `plainly`, on this core. By default the scheduler often puts a client and its proxy on the same one."""

    def pinned(words, environment, directory):
        with on_core(core):
            return run(words, environment)

    return pinned


def system_calls(words, environment, directory):
    """The number of system calls of the whole program, with all its threads and children."""
    told = directory / "strace"
    variables = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    run(["strace", "-f", "-c", "-o", told, *variables, *words], {})
    return int(SYSTEM_CALLS_TOTAL.search(told.read_text())[1])


def instructions(words, environment, directory):
    """The number of user-space instructions of the whole program."""
    told = directory / "callgrind"
    run(["valgrind", "--quiet", "--tool=callgrind", f"--callgrind-out-file={told}", *words], environment)
    return int(INSTRUCTIONS.search(told.read_text())[1])
