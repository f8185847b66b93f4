"""tailchain's goals, and whether this run met them."""

from dataclasses import dataclass

from .contenders import BARE, HAND_WRITTEN, PROXYCHAINS, TAILCHAIN

SMALL_NAMES = ["1_1", "100_1", "1000_1", "10000_1", "100000_1"]


@dataclass
class Goal:
    text: str
    reached: str  # the figure of this run
    met: bool

    def as_json(self):
        return {"goal": self.text, "reached": self.reached, "met": self.met}


def judge(rows):
    """The goals whose rows were measured."""
    rows = {row.key: row for row in rows}
    found = []

    def measured(text, key):
        """Whether there is a figure. If tailchain could not do the job, the goal is missed, not omitted."""
        cell = rows[key].cells.get(TAILCHAIN) if key in rows else None
        if cell and cell.reason:
            found.append(Goal(text, cell.reason, met=False))
        return bool(cell and cell.values)

    def figure(text, key, unit, good):
        if measured(text, key):
            value = rows[key].median(TAILCHAIN)
            found.append(Goal(text, f"{value:.4g} {unit}".strip(), good(value)))

    def beside(text, key, other, good):
        if measured(text, key):
            ratio = rows[key].ratio(TAILCHAIN, other)
            if ratio is not None:
                found.append(Goal(text, f"{ratio:.2f} of {other}", good(ratio)))

    figure("at most 14 system calls for a connect", "system_calls", "", lambda calls: calls <= 14)
    beside(
        "sequential connects at least 0.97 of the hand-written client",
        "sequential",
        HAND_WRITTEN,
        lambda ratio: ratio >= 0.97,
    )
    figure(
        "at most 45 system calls for a lone non-blocking connect", "nonblocking_calls", "", lambda calls: calls <= 45
    )
    text = "a lone non-blocking connect in at most 1.25 of a blocking one"
    figure(text, "nonblocking_ratio", "times", lambda ratio: ratio <= 1.25)
    beside("lone non-blocking connects as fast as proxychains-ng's", "nonblocking", PROXYCHAINS, lambda r: r >= 1)
    beside("pgbench -C at least 1.05 of proxychains-ng's", "pgbench", PROXYCHAINS, lambda ratio: ratio >= 1.05)
    for name in ["psycopg", "asyncpg", "redis"]:
        beside(
            f"{name}'s connects as fast as proxychains-ng's", f"driver_{name}", PROXYCHAINS, lambda ratio: ratio >= 1
        )
    beside(
        "the first connect in at most 1.1 of the hand-written client",
        "first_connect",
        HAND_WRITTEN,
        lambda ratio: ratio <= 1.1,
    )
    beside("memory after 20 names no more than proxychains-ng's", "memory_names", PROXYCHAINS, lambda ratio: ratio <= 1)
    beside(
        "64 concurrent connects in at most 1.2 of the hand-written client",
        "concurrent_64",
        HAND_WRITTEN,
        lambda r: r <= 1.2,
    )
    figure("1,000 concurrent connects in less than three delays", "concurrent_1000", "ms", lambda took: took < 150)
    for count in [64, 1000]:
        text = f"no longer stall than the hand-written client, {count:,} connects"
        beside(text, f"stall_{count}", HAND_WRITTEN, lambda ratio: ratio <= 1)
    for suffix, remark in [("", ""), ("_dns", ", proxy_dns")]:
        for key, what in [("launch", "start by the launcher"), ("preload", "start, preloaded"), ("memory", "memory")]:
            beside(f"{what} below proxychains-ng's{remark}", key + suffix, PROXYCHAINS, lambda ratio: ratio < 1)
    for key in SMALL_NAMES:
        count = int(key.partition("_")[0])
        figure(f"a remote name in under 5 µs, {count:,} known", f"name_again_{key}", "µs", lambda took: took < 5)
    figure("1,000 dials of a Go program, proxy of 200 ms, in 450 ms", "go_1000", "ms", lambda took: took <= 450)
    text = "a supervised blocking connect in 60 µs more than a preloaded one"
    figure(text, "supervised_blocking_more", "µs", lambda more: more <= 60)
    text = "a supervised non-blocking connect in 1.5 times a preloaded one"
    figure(text, "supervised_nonblocking_ratio", "times", lambda ratio: ratio <= 1.5)
    text = "a byte sent and received under the filter in at most 1.02 of bare"
    beside(text, "supervised_bytes", BARE, lambda ratio: ratio <= 1.02)
    text = "an empty system call under the filter in 8 ns more than bare"
    if measured(text, "supervised_empty"):
        row = rows["supervised_empty"]
        more = row.median(TAILCHAIN) - row.median(BARE)
        found.append(Goal(text, f"{more:.1f} ns", more <= 8))
    for key in ["connect", "close", "epoll_ctl", "getsockopt"]:
        text = f"{key} within the noise of bare"
        if measured(text, f"unproxied_{key}"):
            row = rows[f"unproxied_{key}"]
            # Noise: the spread of the bare program's own runs. A quarter of them are slower than the upper quartile.
            own, bare = row.median(TAILCHAIN), row.cells[BARE]
            reached = f"{own:.4g} {row.unit}; bare {bare.median:.4g}, upper quartile {bare.upper_quartile:.4g}"
            found.append(Goal(text, reached, own <= bare.upper_quartile))
    return found
