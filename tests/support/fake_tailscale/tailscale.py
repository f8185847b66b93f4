"""The client. Moods of `up`: `accept`, `refuse` (a bad key; `said`: what the control server says of it), `browser`
(asks for a login), `hang` (`health`: what `status` complains about meanwhile), `approve` (the machine waits for
approval), `busy` (the control server lets the first login wait)."""

import json
import os
import stat
import sys
import time
from pathlib import Path

from record import ARGUMENTS, FOLDER, STATE, common, mood, option, record

BUSY = FOLDER / "busy"


def status():
    state = STATE.read_text() if STATE.exists() else "NoState"
    own = {"DNSName": "app.tail.test."}
    print(
        json.dumps(
            {"BackendState": state, "Self": own, "TailscaleIPs": ["100.64.0.7"], "Health": mood().get("health", [])}
        )
    )


def up():
    path = Path(option("auth-key").removeprefix("file:"))
    key = path.read_text()
    record("up", **common(key=key, key_path=str(path), key_mode=stat.S_IMODE(os.stat(path).st_mode)))
    match mood()["up"]:
        case "accept":
            STATE.write_text("Running")
        case "refuse":
            sys.exit("backend error: " + mood().get("said", f"invalid key: unable to validate API key {key}"))
        case "busy" if not BUSY.exists():
            BUSY.touch()
            sys.exit("backend error: node registration rate limited; will retry after 1s")
        case "busy":
            STATE.write_text("Running")
        case "browser":
            print("\nTo authenticate, visit:\n\n\thttps://login.example/a/1\n", flush=True)
            time.sleep(3600)
        case "approve":
            STATE.write_text("NeedsMachineAuth")
            time.sleep(3600)
        case "hang":
            time.sleep(3600)


{"status": status, "up": up}[next(word for word in ARGUMENTS if not word.startswith("--"))]()
