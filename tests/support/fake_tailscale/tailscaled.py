"""The daemon. Moods: `crash` (exits at once), `deaf` (no SOCKS proxy), `stubborn` (ignores SIGINT), `log` (a line that
it writes)."""

import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from record import STATE, common, mood, option, record, status  # noqa: E402

from support.proxy import Proxy  # noqa: E402


def end(number, _frame):
    record(signal.Signals(number).name)
    if mood().get("stubborn"):
        return
    STATE.unlink(missing_ok=True)
    os._exit(0)


STATE.write_text("NeedsLogin")
# As Go does, even if the signal was ignored before.
for number in [signal.SIGTERM, signal.SIGINT]:
    signal.signal(number, end)
record("started", **common(pid=os.getpid(), parent=os.getppid()))
if mood().get("crash"):
    sys.exit("tailscaled: the machine is on fire")
host, port = option("socks5-server").split(":")
if not mood().get("deaf"):
    Proxy(names={"db.tail.test": ("127.0.0.1", None)}, host=host, port=int(port)).__enter__()
listener = socket.socket(socket.AF_UNIX)
Path(option("socket")).unlink(missing_ok=True)
listener.bind(option("socket"))
listener.listen()


def accept():
    while True:
        with listener.accept()[0] as client:
            # A connection that only checks for a listener sends no request.
            asked = client.recv(4096)
            if asked.startswith(b"POST /localapi/v0/serve-config"):
                record("serve-config", body=asked.split(b"\r\n\r\n", 1)[1].decode())
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
            if asked.startswith(b"GET /localapi/v0/status"):
                record("asked")
                client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + status().encode())


threading.Thread(target=accept, daemon=True).start()
said = None
while True:
    time.sleep(0.1)
    line = mood().get("log")
    if line and line != said:
        print(line, file=sys.stderr, flush=True)
    said = line
