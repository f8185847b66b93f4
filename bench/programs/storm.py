"""storm.py HOST PORT COUNT: COUNT connects of asyncio at once, directly, or, with SOCKS_PORT in the environment, by
speaking SOCKS5 to the proxy on that port of loopback.

Prints, as JSON, how many seconds all took, the longest stall of the event loop, and the longest time inside of one
connect(2). Ten are begun in one turn of the loop, as a server does that gets requests one by one: to begin a thousand
in one turn would stall any loop.
"""

import asyncio
import gc
import json
import os
import resource
import socket
import sys
import time

BEAT = 0.001
IN_ONE_TURN = 10
SOCKS_PORT = os.environ.get("SOCKS_PORT")


async def heart(late):
    """Note by how much each beat was late."""
    while True:
        due = time.perf_counter() + BEAT
        await asyncio.sleep(BEAT)
        late.append(time.perf_counter() - due)


async def connected(loop, one, address, inside):
    began = time.perf_counter()
    try:
        one.connect(address)
    except BlockingIOError:
        pass
    finally:
        inside.append(time.perf_counter() - began)
    ready = loop.create_future()
    loop.add_writer(one, lambda: ready.done() or ready.set_result(None))
    try:
        await ready
    finally:
        loop.remove_writer(one)
    error = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))


async def answer(loop, one, length):
    told = b""
    while len(told) < length:
        more = await loop.sock_recv(one, length - len(told))
        if not more:
            raise ConnectionResetError("the proxy hung up")
        told += more
    return told


async def dial(loop, one, target, inside):
    if not SOCKS_PORT:
        return await connected(loop, one, target, inside)
    await connected(loop, one, ("127.0.0.1", int(SOCKS_PORT)), inside)
    await loop.sock_sendall(one, b"\x05\x01\x00")
    await answer(loop, one, 2)
    host, port = target
    await loop.sock_sendall(one, b"\x05\x01\x00\x01" + socket.inet_aton(host) + port.to_bytes(2, "big"))
    told = await answer(loop, one, 10)
    if told[1] != 0:
        raise ConnectionRefusedError(f"the proxy's answer is {told[1]}")


async def main(host, port, count):
    loop = asyncio.get_running_loop()
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.setblocking(False)
    late, inside, dials = [], [], []
    beating = asyncio.create_task(heart(late))
    await asyncio.sleep(20 * BEAT)
    late.clear()
    began = time.perf_counter()
    for number, one in enumerate(sockets, 1):
        dials.append(asyncio.create_task(dial(loop, one, (host, port), inside)))
        if number % IN_ONE_TURN == 0:
            await asyncio.sleep(0)
    await asyncio.gather(*dials)
    took = time.perf_counter() - began
    # One more beat: a stall at the very end is known only then.
    await asyncio.sleep(2 * BEAT)
    beating.cancel()
    for one in sockets:
        one.close()
    return {"took": took, "stall": max(late), "inside": max(inside)}


_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 8192), most))
# A collection in between would be a stall of Python's, not of the connects.
gc.disable()
print(json.dumps(asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
