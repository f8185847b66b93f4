"""asyncio_echo.py LOOP PORT COUNT: COUNT streams at once on the event loop LOOP (asyncio or uvloop); prints how many
got their own bytes back."""

import asyncio
import sys

import uvloop


async def one(port, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = f"this is client {number}\n".encode()
    writer.write(said)
    answer = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return answer == said


async def main(port, count):
    print(sum(await asyncio.gather(*(one(port, number) for number in range(count)))))


run = uvloop.run if sys.argv[1] == "uvloop" else asyncio.run
run(main(int(sys.argv[2]), int(sys.argv[3])))
