"""The lines on stderr about a chain are those of proxychains-ng, byte for byte."""

import pytest

from support import paths
from support.probe import probe, run_probe
from support.proxy import CLOSE, Mood
from support.run import run_under

NAMES = {
    "strict_chain": "Strict chain",
    "dynamic_chain": "Dynamic chain",
    "random_chain": "Random chain",
    "round_robin_chain": "Round Robin chain",
}


def connect(port, conf, via="launcher"):
    """Everything after the first three lines."""
    result = run_under(
        probe("socket_script"), ["socket inet stream", f"connect 127.0.0.1 {port}"], conf=conf, via=via
    ).ok()
    lines = result.err.splitlines(keepends=True)
    start = 3 if via == "launcher" else 1
    return "".join(lines[start:])


@pytest.mark.parametrize("chain", NAMES)
def test_a_connection(conf, proxy, echo, chain):
    said = connect(echo.port, conf([proxy], chain=chain))
    assert said == f"[proxychains] {NAMES[chain]}  ...  {proxy.address}  ...  127.0.0.1:{echo.port}  ...  OK\n"


@pytest.mark.parametrize("via", ["launcher", "preload"])
def test_each_way_to_load_the_library_says_the_same(conf, proxy, echo, via):
    said = connect(echo.port, conf([proxy]), via)
    assert said == f"[proxychains] Strict chain  ...  {proxy.address}  ...  127.0.0.1:{echo.port}  ...  OK\n"


def test_two_proxies(conf, make_proxy, echo):
    one, two = make_proxy(), make_proxy()
    said = connect(echo.port, conf([one, two]))
    assert said == (
        f"[proxychains] Strict chain  ...  {one.address}  ...  {two.address}  ...  127.0.0.1:{echo.port}  ...  OK\n"
    )


def test_the_first_proxy_cannot_be_reached(conf, refusing, echo):
    said = connect(echo.port, conf([f"socks5 127.0.0.1 {refusing}"]))
    assert said == f"[proxychains] Strict chain  ...  127.0.0.1:{refusing}  ...  timeout\n"


def test_the_first_proxy_does_not_answer(conf, deaf, echo):
    said = connect(echo.port, conf([f"socks5 127.0.0.1 {deaf}"], "tcp_connect_time_out 300"))
    assert said == f"[proxychains] Strict chain  ...  127.0.0.1:{deaf}  ...  timeout\n"


@pytest.mark.parametrize(
    "kind, mood", [("http", Mood(reply="403 Forbidden")), ("socks4", Mood(reply=91)), ("socks5", Mood(method=0xFF))]
)
def test_the_proxy_denies(conf, make_proxy, echo, kind, mood):
    proxy = make_proxy(mood, kind=kind)
    said = connect(echo.port, conf([proxy]))
    assert said == f"[proxychains] Strict chain  ...  {proxy.address}  ...  127.0.0.1:{echo.port} <--denied\n"


def test_the_target_refuses_behind_socks5(conf, proxy, refusing):
    said = connect(refusing, conf([proxy]))
    assert said == (
        f"[proxychains] Strict chain  ...  {proxy.address}  ...  127.0.0.1:{refusing} <--socket error or timeout!\n"
    )


def test_the_proxy_hangs_up(conf, make_proxy, echo):
    proxy = make_proxy(Mood(instead={"request": CLOSE}))
    said = connect(echo.port, conf([proxy]))
    assert said == (
        f"[proxychains] Strict chain  ...  {proxy.address}  ...  127.0.0.1:{echo.port} <--socket error or timeout!\n"
    )


def test_a_second_proxy_that_denies(conf, make_proxy, echo):
    one, two = make_proxy(), make_proxy(Mood(method=0xFF))
    said = connect(echo.port, conf([one, two]))
    assert said == (
        f"[proxychains] Strict chain  ...  {one.address}  ...  {two.address}  ...  127.0.0.1:{echo.port} <--denied\n"
    )


NEED_MORE = "\n!!!need more proxies!!!\n"


@pytest.mark.parametrize("chain", NAMES)
def test_with_every_proxy_dead(conf, refusing, echo, chain):
    said = connect(echo.port, conf([f"socks5 127.0.0.1 {refusing}"], chain=chain))
    line = f"[proxychains] {NAMES[chain]}  ...  127.0.0.1:{refusing}  ...  timeout\n"
    assert said == line + ("" if chain == "strict_chain" else NEED_MORE)


def test_no_more_proxies_are_needed_where_the_target_refuses(conf, proxy, refusing):
    said = connect(refusing, conf([proxy], chain="dynamic_chain"))
    assert "need more" not in said


def test_a_direct_connection_says_nothing(conf, proxy, echo):
    assert connect(echo.port, conf([proxy], "localnet 127.0.0.0/8")) == ""


def test_lines_of_threads_do_not_mix(conf, proxy, echo):
    config = conf([proxy])
    err = run_probe("threads", "127.0.0.1", echo.port, 32, 10, conf=config).ok().err
    line = f"[proxychains] Strict chain  ...  {proxy.address}  ...  127.0.0.1:{echo.port}  ...  OK"
    assert err.splitlines()[1:] == [line] * 320


SEVERAL = ["-c", "true; /bin/true; (exec /bin/true); sh -c /bin/true; exec /bin/true"]


def test_the_start_is_reported_once_for_each_launcher(conf, proxy):
    """With the warnings about the config. A program may start a hundred others."""
    err = run_under("sh", SEVERAL, conf=conf([proxy], "no_such_directive")).ok().err
    assert (err.count("DLL init"), err.count("no_such_directive")) == (1, 1)


def test_an_inner_launcher_reports_it_again(conf, proxy):
    config = conf([proxy])
    words = ["-c", '"$0" -f "$1" /bin/true; /bin/true', paths.LAUNCHER, config]
    assert run_under("sh", words, conf=config).ok().err.count("DLL init") == 2


def test_without_a_launcher_the_start_is_reported_once_for_each_exec(conf, proxy):
    """As with proxychains-ng; the library adds nothing to a program's environment."""
    config = conf([proxy])
    assert run_under("sh", SEVERAL, conf=config, via="preload").ok().err.count("DLL init") == 6
    env = run_under("env", conf=config, via="preload").ok().out
    assert "TAILCHAIN" not in env


def test_without_a_launcher_a_variable_makes_it_once(conf, proxy):
    once = {"TAILCHAIN_ANNOUNCE": "once"}
    assert run_under("sh", SEVERAL, conf=conf([proxy]), via="preload", env=once).ok().err.count("DLL init") == 1


def test_an_ipv6_target_is_in_brackets(conf, proxy, make_echo):
    target = make_echo(host="::1")
    result = run_probe("socket_script", "socket inet6 stream", f"connect ::1 {target.port}", conf=conf([proxy])).ok()
    assert result.chains[0].endswith(f"  ...  [::1]:{target.port}  ...  OK")
