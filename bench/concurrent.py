"""Row group 2: many concurrent connects of an asyncio program, through a proxy that takes 50 ms for each."""

import json
import sys
from pathlib import Path

from .contenders import DANTE, PROXYCHAINS, TORSOCKS, Setting
from .harness import CannotDo, Row, alternate, run

CLIENT = Path(__file__).with_name("programs") / "storm.py"
DELAY = 50
# A contender that connects sequentially makes no more than this: each connect takes as long as the proxy.
SERIAL_MOST = 64
SERIAL = [PROXYCHAINS, TORSOCKS]


def rows(ground):
    counts = ground.choose([1, 10, 64, 100, 1000], [1, 64])
    with ground.server("discard") as server, ground.server("busy", DELAY) as proxy:
        for count in counts:

            def storm(contender, count=count):
                if contender.name in SERIAL and count > SERIAL_MOST:
                    raise CannotDo(f"one at a time: {count * DELAY / 1000:g} s")
                environment = contender.environment(Setting((proxy,)), ground.own_directory())
                told = json.loads(run([sys.executable, CLIENT, ground.target, server, count], environment))
                return {name: 1000 * told[name] for name in ["took", "stall", "inside"]}

            slow = ground.only(*SERIAL, DANTE)
            figures = alternate([one for one in ground.contenders if one not in slow], ground.choose(5, 1), storm)
            for figure, cells in alternate(slow, ground.choose(2, 1) if count < 64 else 1, storm).items():
                figures[figure].update(cells)
            many = f"{count:,} asyncio connects at once" if count > 1 else "1 asyncio connect"
            yield Row(f"concurrent_{count}", f"{many}, proxy of {DELAY} ms", "ms", figures["took"])
            yield Row(f"stall_{count}", "  longest stall of the event loop", "ms", figures["stall"])
            yield Row(f"inside_{count}", "  longest time inside of one connect", "ms", figures["inside"])
