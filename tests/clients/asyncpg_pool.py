"""asyncpg_pool.py PORT COUNT: a pool that opens COUNT connections at once; prints how many backends answered."""

import asyncio
import sys

import asyncpg


async def main(port, count):
    options = {"host": "127.0.0.1", "port": port, "user": "postgres", "timeout": 90, "ssl": False}
    async with asyncpg.create_pool(min_size=count, max_size=count, **options) as pool:
        held = [await pool.acquire() for _ in range(count)]
        backends = await asyncio.gather(*(one.fetchval("select pg_backend_pid()") for one in held))
        print(len(set(backends)))
        for one in held:
            await pool.release(one)


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
