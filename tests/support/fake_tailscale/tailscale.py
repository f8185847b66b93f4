"""The client. Moods of `up`: `accept`, `refuse` (a bad key; `said`: the control server's message), `browser` (requires
a login), `hang` (`health`: what `status` reports meanwhile), `approve` (the machine waits for approval), `busy` (the
control server delays the first login), `api down` (for the first `times` logins)."""

import sys
import time
from pathlib import Path

from record import ARGUMENTS, DIRECTORY, STATE, common, mood, option, record, status

BUSY = DIRECTORY / "busy"


def tried():
    lines = (DIRECTORY / "record").read_text().splitlines()
    return [line for line in lines if line.startswith("up ")]


def up():
    named = option("auth-key") or option("client-secret") or option("id-token")
    path = Path(named.removeprefix("file:"))
    key = path.read_text()
    record("up", **common(key=key, key_path=str(path)))
    match mood()["up"]:
        case "accept":
            STATE.write_text("Running")
        case "api down" if len(tried()) <= mood()["times"]:
            url = "https://api.example/api/v2"
            sys.exit(f'Post "{url}/tailnet/-/keys": Post "{url}/oauth/token": dial tcp: connect: connection refused')
        case "api down":
            STATE.write_text("Running")
        case "refuse" if "bare" in mood():
            sys.exit(mood()["bare"])
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


def set_exit_node():
    record("set", **common())
    tries = (DIRECTORY / "record").read_text().count("\nset ")
    if tries < mood().get("exit_node_after", 0):
        sys.exit(f'invalid value "{option("exit-node")}" for --exit-node; must be IP or unique node name')


{"status": lambda: print(status()), "up": up, "set": set_exit_node}[
    next(word for word in ARGUMENTS if not word.startswith("--"))
]()
