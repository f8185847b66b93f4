"""uvicorn_app.py PORT DATABASE_PORT COUNT: serves on PORT, on uvloop.

/alive answers at once; /start begins to fill a pool of COUNT connections; /backends waits for the pool, and says how
many backends answered.
"""

import asyncio
import sys

import asyncpg
import uvicorn

port, database, count = map(int, sys.argv[1:])
pools = []


async def fill():
    options = {"host": "127.0.0.1", "port": database, "user": "postgres", "timeout": 90, "ssl": False}
    return await asyncpg.create_pool(min_size=count, max_size=count, **options)


async def backends():
    pool = await pools[0]
    held = [await pool.acquire() for _ in range(count)]
    found = await asyncio.gather(*(one.fetchval("select pg_backend_pid()") for one in held))
    for one in held:
        await pool.release(one)
    return str(len(set(found)))


async def answer(path):
    if path == "/start":
        pools.append(asyncio.ensure_future(fill()))
        return "started"
    return await backends() if path == "/backends" else "alive"


async def app(scope, receive, send):
    assert scope["type"] == "http"
    body = (await answer(scope["path"])).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


uvicorn.run(app, host="127.0.0.1", port=port, loop="uvloop", log_level="warning", lifespan="off")
