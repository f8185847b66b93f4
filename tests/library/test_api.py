"""The library's own C API, as a program finds it with dlsym; and its header."""

import re
import subprocess

from support import paths
from support.probe import probe, run_probe


def api(config, *args, **options):
    lines = run_probe("api", *args, conf=config, **options).ok().out.splitlines()
    return dict(line.split(" ", 1) for line in lines)


def test_a_program_without_the_library_finds_nothing(echo):
    result = run_probe("api", "h", 1, "127.0.0.1", echo.port, via="bare").ok()
    assert result.out == "not preloaded\n"


def test_the_api_returns_version_config_hooks_and_routes(conf, proxy, echo):
    config = conf([proxy], "proxy_dns", "localnet 10.0.0.0/8")
    said = api(config, "db.example", 5432, "127.0.0.1", echo.port)
    assert re.fullmatch(r"\d+\.\d+\.\d+", said["version"])
    assert said["config"] == str(config)
    assert said["hooks"] == "connect: yes"
    assert said["route"] == f"1 through {proxy.address} to db.example:5432"
    assert said["tight"] == "1 through"[:9]
    assert said["no"] == "room 1"
    assert said["bad"] == "-1 EINVAL"
    assert said["null"] == "-1"


def test_the_api_names_the_rule_that_makes_a_target_direct(conf, proxy, echo):
    config = conf([proxy], "localnet 10.0.0.0/8")
    assert api(config, "10.1.2.3", 80, "127.0.0.1", echo.port)["route"] == f"0 localnet, {config}:2"


def test_a_name_that_libc_resolves_is_direct_though_its_address_may_be_proxied(conf, proxy, echo):
    config = conf([proxy], "proxynet 127.0.0.0/8")
    by_name = api(config, "localhost", 80, "127.0.0.1", echo.port)["route"]
    assert by_name.startswith("0 resolved by libc (") and by_name.endswith("; the address rules decide")
    by_address = api(config, "127.0.0.1", 80, "127.0.0.1", echo.port)["route"]
    assert by_address == f"1 through {proxy.address} to 127.0.0.1:80"


def test_the_api_returns_the_address_of_a_directly_connected_name(make_island, conf):
    island = make_island("127.0.0.1 localhost\n127.7.7.7 db.internal\n")
    config = conf(["socks5 127.0.0.1 1055"], "localdomain .internal")
    asked = [["127.7.7.7", 80, "127.0.0.1", 1, *name] for name in [[], ["db.internal"]]]
    routes = [island.run(probe("api"), map(str, words), conf=config, via="preload").ok().out for words in asked]
    assert "\nroute 1 through 127.0.0.1:1055 to 127.7.7.7:80\n" in routes[0]
    assert f"\nroute 0 localdomain, {config}:2\n" in routes[1]


def test_the_api_refuses_an_unassigned_fake_ip(conf, proxy, echo):
    config = conf([proxy], "proxy_dns")
    assert api(config, "224.9.9.9", 80, "127.0.0.1", echo.port)["route"].startswith("2 EHOSTUNREACH")


def test_the_api_counts_connects(conf, proxy, echo, refusing):
    through, aside = conf([proxy]), conf([proxy], "localnet 127.0.0.0/8")
    zero = dict.fromkeys(["proxied", "direct", "refused", "failed", "pending"], 0)

    def counted(config, port):
        words = api(config, "h", 1, "127.0.0.1", port)["connect"].split()
        return {name: int(number) for name, number in zip(words[1::2], words[2::2], strict=True)}

    assert counted(through, echo.port) == {**zero, "proxied": 1}
    assert counted(through, refusing) == {**zero, "failed": 1}
    assert counted(aside, echo.port) == {**zero, "direct": 1}


def test_a_caller_of_another_version_gets_the_counters_that_it_knows(conf, proxy, echo):
    said = api(conf([proxy]), "h", 1, "127.0.0.1", echo.port)
    assert said["size"] == "1 NULL 1"
    assert said["older"] == "proxied 1 direct 0x5555555555555555"
    assert said["newer"] == "pending 1 later 0 beyond 0x5555555555555555"


def test_the_header_is_c_and_cxx_and_declares_nothing_of_libc():
    header = paths.ROOT / "include/tailchain.h"
    for language in ["c", "c++"]:
        command = ["cc", "-x", language, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-"]
        subprocess.run(command, input=f'#include "{header}"\n', text=True, check=True)
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", header.read_text(), flags=re.S)
    assert set(re.findall(r"\b(\w+)\s*\(", text)) <= {
        name for name in re.findall(r"\w+", text) if name.startswith("tailchain_")
    }
