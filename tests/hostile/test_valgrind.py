"""Under valgrind, programs with the library preloaded are as clean as without it: no error, no leak, no open fd left
(memcheck); no data race, no wrong lock order (helgrind)."""

from dataclasses import dataclass

import pytest

from support.probe import probe
from support.proxy import Mood
from support.valgrind import run_valgrind

NAME = "db.ts.net"
WORDS = ["{host}", "{port}"]
PENDING = ["socket inet stream 0 nonblock", "connect {host} {port}"]
WAIT = "ready poll OUT 60000"
CLOSE_ALL = "close_range 3 100"
TALK = ["send hello", "recv 5", "close"]
QUERIES = [f"{call} {NAME} a 500" for call in ["res_query", "res_search", "res_nquery", "res_nsearch", "res_send"]]
LOOKUPS = [
    f"getaddrinfo {NAME} 80 flags=CANONNAME",
    f"getaddrinfo {NAME} http family=INET6",
    "getaddrinfo localhost 80",
    f"getaddrinfo_a {NAME} other.ts.net",
    f"gethostbyname {NAME}",
    f"gethostbyname2 {NAME} INET6",
    f"gethostbyname_r {NAME} 20",
    f"gethostbyname2_r {NAME} INET 400",
    "gethostbyaddr 224.0.0.1",
    "gethostbyaddr_r 224.0.0.1 400",
    "getnameinfo 224.0.0.1 80 100 100",
    f"res_nsend {NAME} aaaa 20",
    "res_querydomain db ts.net a 500",
    *QUERIES,
]


@dataclass
class Case:
    """A probe, and what is its own: how many fds it leaves open, in each of its processes."""

    probe: str
    args: list
    left: list = None  # None: not deterministic, for the program itself
    # It forks while a connect is pending or in progress on another thread. A child has that thread's memory but not the
    # thread: the memory is leaked there. This is so wherever threads use malloc.
    forks_beside: bool = False
    out: str = None


def script(*operations, **options):
    return Case("socket_script", operations, **{"left": [0], **options})


CASES = {
    "blocking": script("socket inet stream", "connect {host} {port}", "peer", *TALK),
    "pending": script(*PENDING, WAIT, "get SOL_SOCKET SO_ERROR", *TALK, "left"),
    "pending on a fresh socket": script(
        "socket inet6 stream 0 nonblock", "set IPPROTO_IPV6 IPV6_V6ONLY 1", "connect ::1 {port}", WAIT, "close", "left"
    ),
    "refused": script("socket inet stream", "connect {host} {refusing}", "close"),
    "refused while pending": script(
        PENDING[0], "connect {host} {refusing}", WAIT, "get SOL_SOCKET SO_ERROR", "close", "left"
    ),
    "dups": script(PENDING[0], "dup", PENDING[1], "dup2 40", WAIT, "dup", "use 40", *TALK, CLOSE_ALL, "left"),
    "close_range": script(*PENDING, "close_range 3 30", "left"),
    "epoll": script(
        *["epoll 1", "epoll 2", PENDING[0], "ctl 1 add OUT", "ctl 2 add IN+OUT", PENDING[1], "ready epoll 1 60000"],
        *["ctl 1 mod OUT+ET", "ready epoll 2 60000", "ctl 1 del", "ctl 2 del", CLOSE_ALL, "left"],
    ),
    "threads asleep": script(*PENDING, "asleep poll OUT", "asleep select OUT", "woken", "woken", *TALK, "left"),
    "cancelled": script(*PENDING, "close", *PENDING, "shutdown 2", "close", *PENDING, "unspec", "close", "left"),
    "made blocking": script(*PENDING, "nonblock 0", *TALK, *PENDING, "fionbio 0", *TALK, "left"),
    "forked while pending": script(
        *[*PENDING, "fork", WAIT, "get SOL_SOCKET SO_ERROR", "close", "end", WAIT, "close", "left"],
        left=[0, 0],
        forks_beside=True,
    ),
    "vfork while pending": script(*PENDING, "vfork", WAIT, "close", "left", left=[0, 0]),
    "send timeout": script("socket inet stream", "set_time SO_SNDTIMEO 10", PENDING[1], WAIT, *TALK, "left"),
    "jumped out of": Case("left", [*WORDS, 5, "jump", 20_000, 5_000]),
    "cancelled in connect": Case("left", [*WORDS, 5, "cancel", 20_000, 5_000]),
    "interrupted": Case("alarm_storm", [*WORDS, 5, 5000, "plain"]),
    **{
        f"fastopen {how}": Case("fastopen", [how, *WORDS, "hello"], left=[1])
        for how in ["sendto", "sendmmsg", "option"]
    },
    "datagrams": Case("datagrams", ["sendmsg", "{port}"], left=[1]),
    "names": Case("resolve", LOOKUPS, left=[0]),
    "cancelled threads": Case("cancelled", [NAME], left=[0], out="cancelled\n"),
    "a name, both ways": Case("sandbox", [NAME, "{port}"]),
    "api": Case("api", [*WORDS, *WORDS], left=[1]),
    "descriptors": Case("descriptors", [*WORDS, "{refusing}", 4], left=[0]),
    "threads": Case("threads", [*WORDS, 4, 4], left=[0], out="good 16 bad 0 wrong 0 last 0\n"),
    "many pending": Case("connect_times", [*WORDS, 40], left=[0]),
    "prefork": Case("prefork", [*WORDS, 2, 2], left=[0, 0, 1]),
    "posix_spawn": Case("spawn", ["posix_spawn", *WORDS, 1], left=[0, 0], out="children 1 own 1 of 1\n"),
    "forks beside threads": Case("fork_threads", [*WORDS, 4], forks_beside=True),
    "forks of forks": Case("fork_storm", [*WORDS, 3], forks_beside=True, out="good 7\n"),
    "everything": Case("stress", [*WORDS, "{refusing}", 2, 4], forks_beside=True),
}


@pytest.fixture
def run(conf, make_proxy, echo, refusing, tmp_path):
    """run(tool, case, via=…): the probe under the tool; bare, it connects to the proxy's target directly."""
    names = {NAME: ("127.0.0.1", echo.port), "::1": ("127.0.0.1", echo.port)}
    proxy = make_proxy(Mood(delay=0.05), names=names)
    config = conf([proxy], "proxy_dns", "tcp_read_time_out 60000")
    words = {"host": "127.0.0.1", "port": echo.port, "refusing": refusing}

    def run(tool, case, via="preload"):
        args = [str(argument).format(**words) for argument in case.args]
        if via == "bare":
            # No query may leave the machine.
            args = [argument.replace(NAME, "localhost") for argument in args]
        directory = tmp_path / f"logs-{len(list(tmp_path.iterdir()))}"
        return run_valgrind(tool, probe(case.probe), args, directory, conf=config, via=via)

    return run


def reports_of(case, ran):
    children = [report for log in ran.children for report in log.reports]
    return ran.own.reports + [report for report in children if not (case.forks_beside and report.is_leak)]


def nothing_new(run, tool, case):
    """Run it, and require that there is no report that it would not get without the library."""
    ran = run(tool, case)
    reports = reports_of(case, ran)
    if reports:
        bare = {report.place for report in reports_of(case, run(tool, case, via="bare"))}
        reports = [report for report in reports if report.ours or report.place not in bare]
    assert not reports, "\n\n".join(report.text for report in reports)
    if ran.own.notes:
        assert set(ran.own.notes) <= set(run(tool, case, via="bare").own.notes)
    assert case.out in (None, ran.out)
    return ran


@pytest.mark.parametrize("name", CASES)
def test_no_memory_error_no_leak_no_descriptor(run, name):
    case = CASES[name]
    ran = nothing_new(run, "memcheck", case)
    assert case.left in (None, sorted(log.left_open for log in [ran.own, *ran.children])), ran.own.text


@pytest.mark.parametrize("place", ["stderr", "log_file"])
def test_messages_are_clean_too(conf, proxy, echo, tmp_path, place):
    log = tmp_path / "log"
    config = conf([proxy], *([f"log_file {log}"] if place == "log_file" else []))
    words = ["socket inet stream", f"connect 127.0.0.1 {echo.port}", "close"]
    loud = {"PROXYCHAINS_QUIET_MODE": "0"}
    ran = run_valgrind("memcheck", probe("socket_script"), words, tmp_path / "logs", conf=config, env=loud)
    assert not ran.own.reports, ran.own.text
    assert log.exists() == (place == "log_file")


@pytest.mark.parametrize("name", CASES)
def test_no_data_race(run, name):
    nothing_new(run, "helgrind", CASES[name])


GROWING = {
    "blocking": lambda times: Case("descriptors", [*WORDS, "{refusing}", times]),
    "pending": lambda times: Case("connect_times", [*WORDS, 10 * times]),
    "registered with epoll": lambda times: script("epoll 1", *[*PENDING, "ctl 1 add OUT", WAIT, *TALK] * times, "left"),
    "dups": lambda times: script(*[*PENDING, "dup", WAIT, "close", "swap", *TALK] * times, "left"),
    # libc's own threads for getaddrinfo_a come and go.
    "names": lambda times: Case("resolve", [call for call in LOOKUPS if "_a " not in call] * times),
    "threads": lambda times: Case("threads", [*WORDS, times, 2]),
}


@pytest.mark.parametrize("what", GROWING)
def test_twice_as_much_work_leaves_no_more_memory_in_use(run, what):
    once, twice = (run("memcheck", GROWING[what](times)).own.in_use for times in [4, 8])
    assert once == twice


def test_a_name_takes_little_memory(run):
    """A process keeps the first 65,536 names that it resolves."""

    def lookups(times):
        return Case("resolve", [f"getaddrinfo a{n}.ts.net 80" for n in range(times)])

    (once, _), (twice, _) = (run("memcheck", lookups(times)).own.in_use for times in [8, 16])
    assert 0 < twice - once <= 8 * 100
