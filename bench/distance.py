"""An option: greeting and request in one segment, for distant proxies that read exactly the bytes they need."""

from support import paths

from .contenders import HAND_WRITTEN, ONE_SEGMENT, PROXYCHAINS, TAILCHAIN, Setting
from .harness import CannotDo, Row, alternate_one, numbers, run

ROUND_TRIP = 20


def rows(ground):
    times = ground.choose(10, 2)
    with ground.server("discard") as server, ground.server("far", ROUND_TRIP) as proxy:
        for hops in [1, 3]:
            for one_segment in [False, True]:
                setting = Setting((proxy,) * hops, one_segment=one_segment)

                def connect(contender, setting=setting):
                    directory = ground.own_directory()
                    environment = contender.environment(setting, directory)
                    if setting.one_segment and contender.name == TAILCHAIN:
                        needs_option(environment["PROXYCHAINS_CONF_FILE"])
                    words = [ground.program("connects"), ground.target, server, times]
                    return 1000 / numbers(run(words, environment))[0]

                contenders = ground.only(HAND_WRITTEN, TAILCHAIN, PROXYCHAINS)
                cells = alternate_one(contenders, ground.choose(3, 1), connect)
                option = ", one segment" if one_segment else ""
                proxies = "proxy" if hops == 1 else f"{hops} proxies"
                title = f"connect, {proxies} {ROUND_TRIP} ms away{option}"
                yield Row(f"far_{hops}{'_one_segment' if one_segment else ''}", title, "ms", cells)


def needs_option(config):
    """A build without the directive warns and continues without it: its figure would be that of the row above."""
    try:
        run([paths.COMMAND, "check", "--strict", config], {})
    except CannotDo:
        raise CannotDo(f"this build has no {ONE_SEGMENT}") from None
