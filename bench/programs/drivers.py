"""drivers.py DRIVER HOST PORT COUNT: COUNT connections of a database driver, one after the other, each closed before
the next. Prints how many it made in a second."""

import asyncio
import sys
import time


def psycopg(host, port, count):
    import psycopg

    for _ in range(count):
        psycopg.connect(host=host, port=port, user="postgres", dbname="postgres", sslmode="disable").close()


def asyncpg(host, port, count):
    import asyncpg

    async def connect():
        for _ in range(count):
            one = await asyncpg.connect(host=host, port=port, user="postgres", database="postgres", ssl=False)
            await one.close()

    asyncio.run(connect())


def redis(host, port, count):
    import redis

    for _ in range(count):
        with redis.Redis(host=host, port=port, single_connection_client=True) as one:
            one.ping()


driver, host, port, count = sys.argv[1:]
connect = {"psycopg": psycopg, "asyncpg": asyncpg, "redis": redis}[driver]
connect(host, int(port), 1)
began = time.perf_counter()
connect(host, int(port), int(count))
print(int(count) / (time.perf_counter() - began))
