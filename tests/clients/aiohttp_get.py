"""aiohttp_get.py URL COUNT: COUNT requests at once, each on a connection of its own; prints each status and length."""

import asyncio
import sys

import aiohttp


async def main(url, count):
    # Where aiodns is installed, aiohttp would ask the name servers itself, past libc.
    resolver = aiohttp.ThreadedResolver()
    connector = aiohttp.TCPConnector(limit=count, force_close=True, resolver=resolver)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one():
            async with session.get(url) as response:
                return response.status, len(await response.read())

        for status, length in await asyncio.gather(*(one() for _ in range(count))):
            print(status, length)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
