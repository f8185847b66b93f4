"""httpx_get.py URL COUNT: COUNT requests at once, each on a connection of its own; prints each status and length."""

import asyncio
import sys

import httpx


async def main(url, count):
    limits = httpx.Limits(max_connections=count, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits, timeout=90, trust_env=False) as client:
        for response in await asyncio.gather(*(client.get(url) for _ in range(count))):
            print(response.status_code, len(response.content))


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
