"""What the two commands share: their mood, the record of their actions, the node's state."""

import json
import os
import sys
from pathlib import Path

DIRECTORY = Path(sys.argv[1])
ARGUMENTS = sys.argv[2:]
STATE = DIRECTORY / "node-state"


def mood():
    return json.loads((DIRECTORY / "mood").read_text())


def record(event, **details):
    with open(DIRECTORY / "record", "a") as file:
        file.write(f"{event} {json.dumps(details)}\n")


def option(name):
    """The value of `--name=value`, or None."""
    found = [word.split("=", 1)[1] for word in ARGUMENTS if word.startswith(f"--{name}=")]
    return found[0] if found else None


def status():
    """The node's state, as in `tailscale status --json` and the LocalAPI."""
    state = STATE.read_text() if STATE.exists() else "NoState"
    own = {"DNSName": "app.tail.test.", **mood().get("own", {})}
    return json.dumps(
        {"BackendState": state, "Self": own, "TailscaleIPs": ["100.64.0.7"], "Health": mood().get("health", [])}
    )


def common(**details):
    return {"arguments": ARGUMENTS, "environment": sorted(os.environ), **details}
