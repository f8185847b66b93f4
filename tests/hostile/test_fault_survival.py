"""What PostgreSQL confirmed is stored, and failures are reported: clients write through a proxy that is killed, with
all its connections, and restarted.

TAILCHAIN_KILLS says how often: 100 by default.
"""

import json
import os
import random
import subprocess
import time
from collections import Counter

from support import clients
from support.killable import KillableProxy
from support.need import need
from support.run import clean_environment, finish, start

KILLS = int(os.environ.get("TAILCHAIN_KILLS", "100"))
THREADS, TASKS = 4, 4


def sql(port, statement):
    words = [need("psql"), "-X", "-A", "-t", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-c", statement]
    return subprocess.run(words, check=True, capture_output=True, text=True, env=clean_environment()).stdout


def test_what_was_acknowledged_is_there_once_and_what_failed_is_not(postgres, conf, record_property):
    sql(postgres, "create table numbered (number bigint, client text)")
    with KillableProxy() as proxy:
        program, *words = clients.python("numbered_rows", postgres, THREADS, TASKS)
        process = start(program, words, conf=conf([proxy]), options=["-q"], stdin=subprocess.PIPE)
        try:
            while proxy.kills < KILLS and process.poll() is None:
                time.sleep(random.uniform(0.03, 0.25))
                proxy.kill()
                time.sleep(random.choice([0, 0, 0.02, 0.1]))
                proxy.start()
            # A hang, e.g. of a connect that lost its proxy, ends here.
            result = finish(process, input=b"").ok()
        finally:
            process.kill()
    told = json.loads(result.out)
    rows = Counter(map(int, sql(postgres, "select number from numbered").split()))
    figures = {name: len(told[name]) for name in ("acknowledged", "failed", "ambiguous")}
    figures |= {"kills": proxy.kills, "ambiguous and there": sum(rows[number] for number in told["ambiguous"])}
    record_property("figures", figures)
    print(figures, told["errors"])

    assert sum(figures[name] for name in ("acknowledged", "failed", "ambiguous")) == told["used"]
    assert [number for number in told["acknowledged"] if rows[number] != 1] == []
    assert [number for number in told["failed"] if rows[number] != 0] == []
    assert [number for number in told["ambiguous"] if rows[number] > 1] == []
    # Proof that it went through the proxy: each kill broke a connection.
    assert figures["acknowledged"] > KILLS and figures["failed"] + figures["ambiguous"] > KILLS
