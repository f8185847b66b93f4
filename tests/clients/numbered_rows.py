"""numbered_rows.py PORT THREADS TASKS: until its stdin ends, threads with psycopg and tasks with asyncpg insert rows,
each with a number that is used once, in a transaction of its own. At the end the numbers, as JSON:

    acknowledged   COMMIT was confirmed: the row is there
    failed         an error before COMMIT was sent: the row is not there
    ambiguous      an error in place of the confirmation: nobody but the server knows
"""

import asyncio
import itertools
import json
import sys
import threading
import time

import asyncpg
import psycopg

INSERT = "insert into numbered (number, client) values "
# Transactions on one connection: some find it broken, some begin with a connect.
EACH = 5
PAUSE = 0.002

numbers = itertools.count()
outcomes = {"acknowledged": [], "failed": [], "ambiguous": []}
errors = {}
over = threading.Event()


def count(error):
    name = f"{type(error).__module__}.{type(error).__name__}"
    errors[name] = errors.get(name, 0) + 1


def with_psycopg(port):
    while not over.is_set():
        sent, number = False, next(numbers)
        try:
            with psycopg.connect(f"host=127.0.0.1 port={port} user=postgres sslmode=disable") as connection:
                for _ in range(EACH):
                    connection.execute(INSERT + "(%s, 'psycopg')", [number])
                    sent = True
                    connection.commit()
                    outcomes["acknowledged"].append(number)
                    sent, number = False, next(numbers)
                # Asked for, and never tried.
                outcomes["failed"].append(number)
        except (psycopg.Error, OSError) as error:
            count(error)
            outcomes["ambiguous" if sent else "failed"].append(number)
            time.sleep(PAUSE)


async def with_asyncpg(port):
    while not over.is_set():
        sent, number, connection = False, next(numbers), None
        try:
            connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", ssl=False)
            for _ in range(EACH):
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(INSERT + "($1, 'asyncpg')", number)
                sent = True
                await transaction.commit()
                outcomes["acknowledged"].append(number)
                sent, number = False, next(numbers)
            outcomes["failed"].append(number)
            await connection.close()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            count(error)
            outcomes["ambiguous" if sent else "failed"].append(number)
            if connection:
                connection.terminate()
            await asyncio.sleep(PAUSE)


async def main(port, threads, tasks):
    running = [threading.Thread(target=with_psycopg, args=[port]) for _ in range(threads)]
    for thread in running:
        thread.start()
    asyncio.get_running_loop().run_in_executor(None, lambda: (sys.stdin.read(), over.set()))
    await asyncio.gather(*(with_asyncpg(port) for _ in range(tasks)))
    for thread in running:
        thread.join()
    print(json.dumps({"used": next(numbers), "errors": errors, **outcomes}))


asyncio.run(main(*map(int, sys.argv[1:])))
