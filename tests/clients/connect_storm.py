"""connect_storm.py HOST PORT COUNT: COUNT non-blocking connects at once. Prints, as JSON, how they ended, and what is
left over of descriptors and threads.

By its number modulo 10, a connect has a target that refuses (0 to 4: port REFUSING), is cancelled (5), has a target
that never answers and a limit of LIMIT seconds (6: port DEAF), or is to succeed (7 to 9). LOOP=uvloop chooses that
loop.
"""

import asyncio
import gc
import json
import os
import resource
import socket
import sys
from contextlib import suppress


def open_files():
    return len(os.listdir("/proc/self/fd"))


def threads():
    return len(os.listdir("/proc/self/task"))


async def dial(address):
    """Connect a non-blocking socket."""
    with socket.socket() as one:
        one.setblocking(False)
        with suppress(BlockingIOError):
            one.connect(address)
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


async def attempt(host, port, number):
    kind = number % 10
    target = int(os.environ["REFUSING"]) if kind < 5 else int(os.environ["DEAF"]) if kind == 6 else port
    connecting = asyncio.ensure_future(dial((host, target)))
    if kind == 5:
        # It has begun by then, and the loop has not yet looked whether it ended.
        await asyncio.sleep(0)
        connecting.cancel()
    limit = float(os.environ["LIMIT"]) if kind == 6 else 300
    return await asyncio.wait_for(connecting, limit)


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


async def main(host, port, count):
    before = open_files(), threads()
    ends = await asyncio.gather(*(attempt(host, port, number) for number in range(count)), return_exceptions=True)
    return {"ends": tally(ends), **await settled(before)}


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
if os.environ.get("LOOP") == "uvloop":
    import uvloop as chosen
else:
    import asyncio as chosen
print(json.dumps(chosen.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
