"""Row group 8: static and Go programs under the supervisor, compared with the same programs preloaded, or bare."""

import re
from dataclasses import dataclass
from pathlib import Path

from support import clients
from support.need import find
from support.ports import refusing_port

from .contenders import BARE, TAILCHAIN, Contender, Setting, Tailchain
from .harness import CannotDo, Cell, Row, alternate, numbers, run

# A Go program makes this many dials at once, through a proxy that takes this long for each.
DIALS, DELAY = 1000, 200
SPENT = re.compile(r"^milliseconds: (\d+)$", re.M)
FIGURES = {"empty": "an empty system call", "bytes": "sending and receiving a byte"}


@dataclass(frozen=True)
class Supervised(Contender):
    """The launcher, which supervises a static program."""

    name: str = "supervised"

    def start(self):
        return [Tailchain.launcher, "-q"]


def rows(ground):
    check_that_it_is_proxied(ground)
    yield from connects(ground)
    yield from dials(ground)
    yield from calls(ground)


def check_that_it_is_proxied(ground):
    """As `Ground.check_that_all_are_proxied`."""
    with refusing_port() as refusing, ground.server("busy") as proxy:
        words = [*Supervised().start(), static_program("connects", ground), ground.target, refusing, 1]
        try:
            run(words, Tailchain().variables(Setting((proxy,)), ground.own_directory()))
        except CannotDo as reason:
            raise SystemExit(f"a supervised program does not connect through the proxy: {reason}") from None


def connects(ground):
    """Each one separately, blocking or not: programs/connects.c, linked statically or preloaded."""
    static, times = static_program("connects", ground), ground.choose(500, 50)
    preloaded, supervised = Tailchain(), Supervised()
    with ground.server("discard") as server, ground.microsocks() as proxy:
        for mode in [[], ["nonblocking"]]:

            def microseconds(contender, mode=mode):
                directory = ground.own_directory()
                arguments = [ground.target, server, times, *mode]
                if contender is preloaded:
                    words = [ground.program("connects"), *arguments]
                    environment = preloaded.environment(Setting((proxy,)), directory)
                else:
                    words = [*supervised.start(), static, *arguments]
                    environment = preloaded.variables(Setting((proxy,)), directory)
                return {"took": 1e6 / numbers(run(words, environment))[0]}

            cells = alternate([preloaded, supervised], ground.choose(11, 1), microseconds)["took"]
            key = "_".join(["supervised", *(mode or ["blocking"])])
            what = "non-blocking" if mode else "blocking"
            own, beside = cells[supervised.name], cells[preloaded.name]
            yield Row(key, f"a supervised {what} connect", "µs", {TAILCHAIN: own})
            more = [one - other for one, other in zip(own.values, beside.values, strict=False)]
            yield Row(f"{key}_more", "  beyond that of a preloaded program", "µs", {TAILCHAIN: cell(more, own, beside)})
            ratio = [one / other for one, other in zip(own.values, beside.values, strict=False)]
            yield Row(f"{key}_ratio", "  times that of a preloaded program", "", {TAILCHAIN: cell(ratio, own, beside)})


def cell(values, *of):
    return Cell(values) if values else Cell(reason="; ".join(one.reason for one in of if one.reason) or "no figure")


def dials(ground):
    def milliseconds(contender):
        program = go_program()
        words = [*contender.start(), program, "dial", f"{ground.target}:{server}", count]
        variables = Tailchain().variables(Setting((proxy,)), ground.own_directory())
        return {"took": float(SPENT.search(run(["sh", "-c", 'exec "$@" 2>&1', "sh", *words], variables))[1])}

    count = ground.choose(DIALS, 20)
    with ground.server("discard") as server, ground.server("busy", DELAY) as proxy:
        cells = alternate([Supervised()], ground.choose(5, 1), milliseconds)["took"]
    title = f"{count:,} dials of a Go program at once, proxy of {DELAY} ms"
    yield Row(f"go_{count}", title, "ms", {TAILCHAIN: cells[Supervised().name]})


def go_program():
    if find("go") is None:
        raise CannotDo("there is no Go here")
    return clients.go("go_dial")


def calls(ground):
    static, batches = static_program("calls", ground), ground.choose(300, 10)
    bare, supervised = ground.only(BARE)[0], Supervised()

    def nanoseconds(contender):
        start = supervised.start() if contender is supervised else []
        setting = Setting((1,), direct="127.0.0.0/8")
        told = run([*start, static, batches], Tailchain().variables(setting, ground.own_directory()))
        return dict(zip(FIGURES, numbers(told), strict=True))

    figures = alternate([bare, supervised], ground.choose(11, 1), nanoseconds)
    for figure, title in FIGURES.items():
        cells = {BARE: figures[figure][BARE], TAILCHAIN: figures[figure][supervised.name]}
        yield Row(f"supervised_{figure}", f"{title}, under the filter", "ns", cells)


def static_program(name, ground):
    """programs/NAME.c, linked statically."""
    return Path(ground.program(name, static=True))
