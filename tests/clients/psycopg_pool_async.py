"""psycopg_pool_async.py PORT COUNT: a pool that opens COUNT connections at once; prints how many backends answered."""

import asyncio
import sys

from psycopg_pool import AsyncConnectionPool


async def main(port, count):
    address = f"host=127.0.0.1 port={port} user=postgres sslmode=disable connect_timeout=90"
    # As many workers as connections: psycopg_pool dials with 3 otherwise.
    pool = AsyncConnectionPool(address, min_size=count, max_size=count, num_workers=count, open=False)
    await pool.open(wait=True, timeout=90)
    held = [await pool.getconn() for _ in range(count)]

    async def backend(connection):
        return (await (await connection.execute("select pg_backend_pid()")).fetchone())[0]

    print(len(set(await asyncio.gather(*map(backend, held)))))
    for one in held:
        await pool.putconn(one)
    await pool.close()


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
