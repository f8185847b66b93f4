"""Row group 5: getaddrinfo of names that the proxy resolves."""

from .contenders import BARE, DANTE, HAND_WRITTEN, PROXYCHAINS, Setting
from .harness import CannotDo, Row, alternate, numbers, run

SAMPLE = 200
# proxychains-ng searches a list of all names at each lookup, so 10,000 would take minutes; dante has addresses for only
# 254 names.
MOST = {PROXYCHAINS: (1000, "walks a list: minutes"), DANTE: (100, "has 254 addresses")}


def rows(ground):
    # (names, threads)
    usual = [(1, 1), (100, 1), (1000, 1), (10_000, 1), (100_000, 1), (1000, 4), (1000, 16), (100_000, 16)]
    contenders = ground.without(BARE, HAND_WRITTEN)
    for count, threads in ground.choose(usual, [(100, 1), (1000, 4)]):

        def lookups(contender, count=count, threads=threads):
            most, reason = MOST.get(contender.name, (count, ""))
            if count > most:
                raise CannotDo(reason)
            environment = contender.environment(Setting((1,), names=True), ground.own_directory())
            first, again = numbers(run([ground.program("lookups"), count, SAMPLE, threads], environment))
            return {"first": first, "again": again}

        rounds = ground.choose(5 if count <= 1000 else 3, 1)
        figures = alternate(contenders, rounds, lookups)
        by = f", {threads} threads" if threads > 1 else ""
        key = f"{count}_{threads}"
        names = f"{count:,} names" if count > 1 else "1 name"
        yield Row(f"name_first_{key}", f"getaddrinfo, {names}{by}: first", "µs", figures["first"])
        yield Row(f"name_again_{key}", f"getaddrinfo, {names}{by}: again", "µs", figures["again"])
