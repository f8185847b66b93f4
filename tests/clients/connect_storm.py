"""connect_storm.py MODE HOST PORT COUNT: COUNT non-blocking connects, seen from inside of the program. Prints JSON.

`inside`: at most 100 pending at a time; also tells how long each connect(2) itself took.
`together`: all at once.
`mixed`: all at once. By its number modulo 10, a connect has a target that refuses (0 to 4: port REFUSING), is cancelled
(5), has a target that never answers and a limit of LIMIT seconds (6: port DEAF), or is to succeed (7 to 9).

LOOP=uvloop chooses that loop. Meanwhile it keeps a heart beating. In the end it is counted what is left over of
descriptors and threads.
"""

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import time

BEAT = 0.005


def open_files():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))


async def heart(gaps):
    """Note by how much each beat was late."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(BEAT)
        gaps.append(time.perf_counter() - before - BEAT)


async def dial(address, spent):
    """Connect a non-blocking socket, and note the time inside of connect(2)."""
    with socket.socket() as one:
        one.setblocking(False)
        began = time.perf_counter()
        try:
            one.connect(address)
        except BlockingIOError:
            pass
        finally:
            spent.append(time.perf_counter() - began)
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_writer(one, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_writer(one)
        error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))


async def inside(host, port, count):
    gaps, spent = [], []
    beating = asyncio.create_task(heart(gaps))
    await asyncio.sleep(10 * BEAT)
    gaps.clear()
    turns = asyncio.Semaphore(100)

    async def one():
        async with turns:
            await dial((host, port), spent)

    ends = await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
    beating.cancel()
    return {"inside": spent, "late": gaps, "ends": tally(ends)}


async def attempt(host, port, number, mixed):
    kind = number % 10 if mixed else 9
    target = int(os.environ["REFUSING"]) if kind < 5 else int(os.environ["DEAF"]) if kind == 6 else port
    connecting = asyncio.ensure_future(dial((host, target), []))
    if kind == 5:
        # It has begun by then, and the loop has not yet looked whether it ended.
        await asyncio.sleep(0)
        connecting.cancel()
    limit = float(os.environ["LIMIT"]) if kind == 6 else 300
    return await asyncio.wait_for(connecting, limit)


async def together(host, port, count, mixed):
    gaps = []
    beating = asyncio.create_task(heart(gaps))
    tasks = (attempt(host, port, number, mixed) for number in range(count))
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    beating.cancel()
    return {"late": gaps, "ends": tally(ends)}


def tally(ends):
    """How often each end occurred: `connected`, or the name of the exception."""
    names = ["connected" if end is None else type(end).__name__ for end in ends]
    return {name: names.count(name) for name in sorted(set(names))}


async def settled(before):
    """Wait until what is finished is gone; a helper may be ending."""
    for _ in range(500):
        gc.collect()
        if (open_files(), threads()) == before:
            break
        await asyncio.sleep(0.01)
    return {"files left": open_files() - before[0], "threads left": threads() - before[1]}


async def main(mode, host, port, count):
    before = open_files(), threads()
    began = time.perf_counter()
    if mode == "inside":
        result = await inside(host, port, count)
    else:
        result = await together(host, port, count, mode == "mixed")
    result["seconds"] = time.perf_counter() - began
    return {**result, **await settled(before)}


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
if os.environ.get("LOOP") == "uvloop":
    import uvloop as chosen
else:
    import asyncio as chosen
print(json.dumps(chosen.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))))
