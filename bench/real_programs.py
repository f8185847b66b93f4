"""Row group 4: a database client that connects for each transaction, and one long transfer."""

import re
import sys
from pathlib import Path

from support import daemons
from support.need import find

from .contenders import HAND_WRITTEN, Setting
from .harness import CannotDo, Row, alternate_one, numbers, run

DRIVERS = Path(__file__).with_name("programs") / "drivers.py"
RATE = re.compile(r"^tps = ([0-9.]+)", re.M)


def rows(ground):
    with ground.microsocks() as proxy:
        setting = Setting((proxy,))
        yield from transactions(ground, setting)
        with daemons.redis(ground.own_directory(), addresses=["127.0.0.1", ground.target]) as port:
            yield drivers(ground, setting, "redis", port)
        yield from transfer(ground, setting)


def transactions(ground, setting):
    directory = ground.own_directory()
    script = ground.directory / "select.sql"
    script.write_text("SELECT 1;\n")
    script.chmod(0o644)
    amount = ground.choose(200, 10)

    def pgbench(contender):
        # -C: a new connection for each transaction; -n: there are no tables to vacuum.
        words = [find("pgbench"), "-C", "-n", "-t", amount, "-f", script, "-h", ground.target, "-p", port]
        environment = contender.environment(setting, ground.own_directory())
        told = run([*words, "-U", "postgres", "postgres"], {**environment, "LC_ALL": "C", "PGSSLMODE": "disable"})
        found = RATE.search(told)
        if not found:
            raise CannotDo(f"pgbench tells no rate: {told.strip()[-80:]}")
        return float(found[1])

    with daemons.postgres(directory, addresses=["127.0.0.1", ground.target]) as port:
        cells = alternate_one(ground.without(HAND_WRITTEN), ground.choose(5, 1), pgbench)
        yield Row("pgbench", "pgbench -C, SELECT 1", "1/s", cells, more_is_better=True)
        for name in ["psycopg", "asyncpg"]:
            yield drivers(ground, setting, name, port)


def drivers(ground, setting, name, port):
    count = ground.choose(500, 10)

    def connect(contender):
        environment = contender.environment(setting, ground.own_directory())
        return numbers(run([sys.executable, DRIVERS, name, ground.target, port, count], environment))[0]

    cells = alternate_one(ground.without(HAND_WRITTEN), ground.choose(5, 1), connect)
    return Row(f"driver_{name}", f"{name}, connects one after the other", "1/s", cells, more_is_better=True)


def transfer(ground, setting):
    mebibytes = ground.choose(1024, 32)
    amount = mebibytes << 20

    def receive(contender):
        words = [ground.program("transfer"), ground.target, server, amount]
        return numbers(run(words, contender.environment(setting, ground.own_directory())))[0]

    with ground.server("send", amount) as server:
        cells = alternate_one(ground.contenders, ground.choose(3, 1), receive)
    yield Row("transfer", f"transfer of {mebibytes:,} MiB", "MiB/s", cells, more_is_better=True)
