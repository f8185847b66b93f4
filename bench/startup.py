"""Row group 3: what it costs to have the library in a process that makes no connection."""

import os
import re
from pathlib import Path

from .contenders import BARE, HAND_WRITTEN, Setting
from .harness import CannotDo, Row, alternate, alternate_one, numbers, run

PROGRAM = "/bin/true"
NO_PROXY_NEEDED = (1,)  # no connection is made: any port will do


def rows(ground):
    # Pages of a file that has just been written, and is not on the disk yet, count as dirty pages of the process.
    os.sync()
    contenders = ground.without(HAND_WRITTEN)
    times, rounds = ground.choose(150, 10), ground.choose(7, 1)
    for names in [False, True]:
        setting = Setting(NO_PROXY_NEEDED, names=names)
        suffix, remark = ("_dns", ", proxy_dns") if names else ("", "")

        def launched(contender, setting=setting):
            variables = contender.variables(setting, ground.own_directory())
            words = [*assignments(variables), *contender.start(), PROGRAM]
            return numbers(run([ground.program("starts"), times, *words], {}))[0]

        def preloaded(contender, setting=setting):
            environment = contender.environment(setting, ground.own_directory())
            words = [*assignments(environment), PROGRAM]
            took, faults = numbers(run([ground.program("starts"), times, *words], {}))
            return {"took": took, "faults": faults}

        def footprint(contender, setting=setting):
            environment = contender.environment(setting, ground.own_directory())
            dirty, clean, files = numbers(run([ground.program("footprint")], environment))
            return {"dirty": dirty, "clean": clean, "files": files}

        cells = alternate_one(contenders, rounds, launched)
        yield Row(f"launch{suffix}", f"start of {PROGRAM} by the launcher{remark}", "µs", cells)
        figures = alternate(contenders, rounds, preloaded)
        yield Row(f"preload{suffix}", f"start of {PROGRAM}, preloaded{remark}", "µs", figures["took"])
        yield Row(f"faults{suffix}", f"  page faults of it{remark}", "", figures["faults"])
        figures = alternate(contenders, rounds, footprint)
        yield Row(f"memory{suffix}", f"private memory, written to{remark}", "KiB", figures["dirty"])
        yield Row(f"clean{suffix}", f"  pages of files, alone on the machine{remark}", "KiB", figures["clean"])
        if not names:
            yield Row("files", "files of code in the process", "", figures["files"])
    yield used_names(ground)
    yield Row("size", "size of the library", "KiB", _of_library(contenders, size))
    yield Row("relocations", "relocations of the library", "", _of_library(contenders, relocations))


def used_names(ground):
    """The dirty memory of a program that has looked up some names and connected to them."""
    names = 20
    with ground.server("busy") as proxy:
        setting = Setting((proxy,), names=True)

        def footprint(contender):
            environment = contender.environment(setting, ground.own_directory())
            dirty, _, _ = numbers(run([ground.program("footprint"), names], environment))
            return dirty

        cells = alternate_one(ground.without(BARE, HAND_WRITTEN), ground.choose(7, 1), footprint)
    return Row("memory_names", f"private memory after {names} names and connects, proxy_dns", "KiB", cells)


def assignments(variables):
    return [f"{name}={value}" for name, value in variables.items()]


def _of_library(contenders, measure):
    def one(contender):
        if contender.name == BARE:
            raise CannotDo("no library")
        return measure(contender.library)

    return alternate_one(contenders, 1, one)


def size(library):
    return Path(library).resolve().stat().st_size / 1024


def relocations(library):
    """The number of relocations: the counts that `readelf --relocs` prints for each section."""
    told = run(["readelf", "--wide", "--relocs", library], {"LC_ALL": "C"})
    return sum(int(count) for count in re.findall(r"^Relocation section .* contains (\d+) entr", told, re.M))
