"""The client. Moods of `up`: `accept`, `refuse` (a bad key), `browser` (asks for a login), `hang`, `approve`
(the login is fine, the machine waits for approval)."""

import json
import os
import stat
import sys
import time
from pathlib import Path

from record import ARGUMENTS, STATE, common, mood, option, record


def status():
    state = STATE.read_text() if STATE.exists() else "NoState"
    own = {"DNSName": "app.tail.test."}
    print(json.dumps({"BackendState": state, "Self": own, "TailscaleIPs": ["100.64.0.7"], "Health": []}))


def up():
    path = Path(option("auth-key").removeprefix("file:"))
    key = path.read_text()
    record("up", **common(key=key, key_path=str(path), key_mode=stat.S_IMODE(os.stat(path).st_mode)))
    match mood()["up"]:
        case "accept":
            STATE.write_text("Running")
        case "refuse":
            sys.exit(f"backend error: invalid key: unable to validate API key {key}")
        case "browser":
            print("\nTo authenticate, visit:\n\n\thttps://login.example/a/1\n", flush=True)
            time.sleep(3600)
        case "approve":
            STATE.write_text("NeedsMachineAuth")
            time.sleep(3600)
        case "hang":
            time.sleep(3600)


{"status": status, "up": up}[next(word for word in ARGUMENTS if not word.startswith("--"))]()
