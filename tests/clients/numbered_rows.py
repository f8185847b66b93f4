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


def broken(error, number, sent):
    """No number: between two transactions, most often in connect. It counts as one that was to be inserted."""
    outcome = "ambiguous" if sent and number is not None else "failed"
    outcomes[outcome].append(next(numbers) if number is None else number)
    name = f"{type(error).__module__}.{type(error).__name__}"
    errors[name] = errors.get(name, 0) + 1


def with_psycopg(port):
    while not over.is_set():
        sent, number = False, None
        try:
            with psycopg.connect(f"host=127.0.0.1 port={port} user=postgres sslmode=disable") as connection:
                for _ in range(EACH):
                    sent, number = False, next(numbers)
                    connection.execute(INSERT + "(%s, 'psycopg')", [number])
                    sent = True
                    connection.commit()
                    outcomes["acknowledged"].append(number)
                    number = None
        except (psycopg.Error, OSError) as error:
            broken(error, number, sent)
            time.sleep(PAUSE)


async def with_asyncpg(port):
    while not over.is_set():
        sent, number, connection = False, None, None
        try:
            connection = await asyncpg.connect(host="127.0.0.1", port=port, user="postgres", ssl=False)
            for _ in range(EACH):
                sent, number = False, next(numbers)
                transaction = connection.transaction()
                await transaction.start()
                await connection.execute(INSERT + "($1, 'asyncpg')", number)
                sent = True
                await transaction.commit()
                outcomes["acknowledged"].append(number)
                number = None
            await connection.close()
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            broken(error, number, sent)
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
