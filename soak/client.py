"""client.py asyncpg|psycopg|redis PORT: for each number that it reads from stdin, works for that many seconds, closes
everything, and prints a line of JSON: how many queries succeeded, were answered wrongly, and failed."""

import asyncio
import gc
import json
import sys
import threading
import time

WORKERS = 8
PAUSE = 0.005
LIMIT = 30
# The pool pauses for a second after a failed connect.
POOL_LIMIT = 5


class Counts:
    def __init__(self):
        self.lock = threading.Lock()
        self.good = self.wrong = self.failed = 0

    def add(self, answer, expected):
        with self.lock:
            self.good += answer == expected
            self.wrong += answer != expected

    def fail(self):
        with self.lock:
            self.failed += 1


async def asyncpg_round(port, until, counts):
    import asyncpg

    async def worker(pool, number):
        while time.monotonic() < until:
            try:
                async with asyncio.timeout(LIMIT), pool.acquire() as connection:
                    counts.add(await connection.fetchval("select $1::int + 1", number), number + 1)
                    if number % 3 == 0:
                        await connection.close()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
                counts.fail()
                await asyncio.sleep(PAUSE)
            number += 1

    where = {"host": "127.0.0.1", "port": port, "user": "postgres", "ssl": False, "timeout": LIMIT}
    pool = asyncpg.create_pool(min_size=0, max_size=WORKERS, **where)
    async with pool:
        await asyncio.gather(*(worker(pool, 1000 * each) for each in range(WORKERS)))


def in_threads(work):
    threads = [threading.Thread(target=work, args=[1000 * each]) for each in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def psycopg_round(port, until, counts):
    import psycopg
    from psycopg_pool import ConnectionPool, PoolTimeout

    where = f"host=127.0.0.1 port={port} user=postgres sslmode=disable connect_timeout={LIMIT}"
    with ConnectionPool(where, min_size=0, max_size=WORKERS, timeout=POOL_LIMIT) as pool:

        def work(number):
            while time.monotonic() < until:
                try:
                    with pool.connection() as connection:
                        counts.add(connection.execute("select %s::int + 1", [number]).fetchone()[0], number + 1)
                        if number % 3 == 0:
                            connection.close()
                except (psycopg.Error, PoolTimeout):
                    counts.fail()
                    time.sleep(PAUSE)
                number += 1

        in_threads(work)


def redis_round(port, until, counts):
    import redis

    def work(number):
        client = redis.Redis(port=port, socket_timeout=LIMIT, socket_connect_timeout=LIMIT)
        while time.monotonic() < until:
            try:
                counts.add(client.echo(str(number)), str(number).encode())
                if number % 3 == 0:
                    client.connection_pool.disconnect()
            except redis.RedisError:
                counts.fail()
                time.sleep(PAUSE)
            number += 1
        client.close()

    in_threads(work)


def main(kind, port):
    for line in sys.stdin:
        counts, until = Counts(), time.monotonic() + float(line)
        if kind == "asyncpg":
            asyncio.run(asyncpg_round(port, until, counts))
        else:
            {"psycopg": psycopg_round, "redis": redis_round}[kind](port, until, counts)
        gc.collect()
        print(json.dumps({"good": counts.good, "wrong": counts.wrong, "failed": counts.failed}), flush=True)


main(sys.argv[1], int(sys.argv[2]))
