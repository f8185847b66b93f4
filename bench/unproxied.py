"""Row group 6: what the library costs if it has nothing to do."""

from .contenders import HAND_WRITTEN, Setting
from .harness import Row, alternate, numbers, run

# torsocks allows only loopback.
LOOPBACK = "127.0.0.1"
FIGURES = {
    "connect": "direct connect",
    "close": "close",
    "epoll_ctl": "epoll_ctl",
    "getsockopt": "getsockopt",
}


def rows(ground):
    batches = ground.choose(300, 10)
    with ground.server("discard") as server:

        def costs(contender):
            environment = contender.environment(Setting((1,), direct="127.0.0.0/8"), ground.own_directory())
            told = run([ground.program("costs"), LOOPBACK, server, batches], environment)
            return dict(zip(FIGURES, numbers(told), strict=True))

        figures = alternate(ground.without(HAND_WRITTEN), ground.choose(9, 2), costs)
    for figure, title in FIGURES.items():
        yield Row(f"unproxied_{figure}", f"{title}, library loaded", "ns", figures[figure])
