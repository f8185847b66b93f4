"""Runs a program where there is nothing but loopback, and serves DNS on port 53 meanwhile: DIRECTORY PROGRAM ARGS…

Started by island.py in new namespaces. DIRECTORY contains the program's /etc/hosts and resolv.conf, optionally its
nsswitch.conf, and the log `queries`, with one line for each query. ISLAND_PRELOAD is LD_PRELOAD for the program alone.
"""

import ctypes
import fcntl
import functools
import os
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

TYPES = {1: "A", 5: "CNAME", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 64: "SVCB", 65: "HTTPS", 255: "ANY"}
# The server's records, for any name: the data of one record.
RECORDS = {
    "A": bytes([192, 0, 2, 53]),
    "AAAA": socket.inet_pton(socket.AF_INET6, "2001:db8::53"),
    "PTR": b"\x08answered\x03dns\x00",
    "MX": b"\x00\x0a\x04mail\x03dns\x00",
    "TXT": b"\x05hello",
}
MS_BIND = 4096


def raise_loopback():
    """As `ip link set lo up`: netdevice(7)."""
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def bind_mount(file, over):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(os.fsencode(file), os.fsencode(over), None, MS_BIND, None) != 0:
        raise OSError(ctypes.get_errno(), f"mount {file} over {over}")


def answer(query, log):
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode())
        at += 1 + query[at]
    end = at + 5
    if labels[-1] == "silent":
        log(f"unanswered {'.'.join(labels)}")
        return None
    kind = TYPES.get(struct.unpack("!H", query[at + 1 : at + 3])[0], "other")
    log(f"{kind} {'.'.join(labels)}")
    data = RECORDS.get(kind)
    header = query[:2] + struct.pack("!5H", 0x8180, 1, 1 if data else 0, 0, 0)
    record = b"\xc0\x0c" + query[at + 1 : end] + struct.pack("!IH", 60, len(data)) + data if data else b""
    return header + query[12:end] + record


def serve(log):
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    datagrams.bind(("127.0.0.1", 53))
    streams.bind(("127.0.0.1", 53))
    streams.listen()

    def answer_datagrams():
        while True:
            query, client = datagrams.recvfrom(4096)
            if reply := answer(query, log):
                datagrams.sendto(reply, client)

    def refuse_streams():
        while True:
            connection, _ = streams.accept()
            log("TCP")
            connection.close()

    for loop in [answer_datagrams, refuse_streams]:
        threading.Thread(target=loop, daemon=True).start()


def note(file, line):
    with open(file, "a") as lines:
        lines.write(line + "\n")


def main(directory, *command):
    directory = Path(directory)
    raise_loopback()
    for name in ["hosts", "resolv.conf", "nsswitch.conf"]:
        if (directory / name).exists():
            bind_mount(directory / name, f"/etc/{name}")
    serve(functools.partial(note, directory / "queries"))
    environment = dict(os.environ)
    preload = environment.pop("ISLAND_PRELOAD", None)
    if preload:
        environment["LD_PRELOAD"] = preload
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
