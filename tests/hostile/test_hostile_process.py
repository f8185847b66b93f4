"""A process with few resources, constant interruptions, or libraries that replace what is below us: connections work,
or fail with an errno. Nothing crashes, hangs, or bypasses the proxy."""

import glob
import os
import re
import socket
import subprocess
from functools import partial
from pathlib import Path

import pytest

from support import paths
from support.need import need
from support.probe import FLAGS, probe, run_probe
from support.proxy import Mood
from support.run import run_under

QUIET = ["-q"]
NAME = "db.ts.net"


@pytest.fixture
def named(conf, make_proxy, echo):
    """(proxy, config): NAME is the echo server, to this proxy only."""
    proxy = make_proxy(names={NAME: ("127.0.0.1", echo.port)})
    return proxy, conf([proxy], "proxy_dns")


# -- forks and signals


def test_a_storm_of_forks_with_connects_pending(conf, make_proxy, echo):
    proxy = make_proxy(Mood(delay=0.02))
    result = run_probe("fork_storm", "127.0.0.1", echo.port, 7, conf=conf([proxy]), options=QUIET).ok()
    assert result.out == "good 127\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 254


@pytest.mark.parametrize("handler", ["restart", "plain"])
def test_a_storm_of_alarms_while_it_connects(conf, make_proxy, echo, handler):
    proxy = make_proxy(Mood(delay=0.005))
    arguments = ["127.0.0.1", echo.port, 200, 100, handler]
    result = run_probe("alarm_storm", *arguments, conf=conf([proxy]), options=QUIET).ok()
    interrupted = {"restart": "none", "plain": "some"}[handler]
    assert result.out == f"good 200, interrupted {interrupted}, alarms yes\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 200


@pytest.mark.parametrize("socket", ["blocking", "pending"])
@pytest.mark.parametrize("handler", ["restart", "plain"])
def test_a_signal_at_every_system_call_of_connect(conf, proxy, echo, handler, socket):
    result = run_probe("signal_each_call", "127.0.0.1", echo.port, handler, socket, conf=conf([proxy]), options=QUIET)
    assert result.ok().out == "disturbed yes, bad 0, at every call good\n", result.err


# -- limits


def test_a_limit_that_is_set_while_ours_is_raised_stays(conf, proxy, echo):
    result = run_probe("limits", "127.0.0.1", echo.port, conf=conf([proxy]), options=QUIET).ok()
    assert result.out == "undone 0 failed 0\n"


# -- few resources

RESTRICTIONS = [
    ["closed"],
    ["range"],
    ["closed", "range"],
    *(["deny", call] for call in ["clone", "memfd_create", "eventfd2", "epoll_create1", "socketpair", "prlimit64"]),
    # From no spare fd to as many as are needed.
    *(["files", spare] for spare in range(6)),
    ["closed", "files", 0],
]


@pytest.mark.parametrize("words", RESTRICTIONS, ids=lambda words: " ".join(map(str, words)))
def test_a_process_that_has_little_connects_to_a_name(named, echo, words):
    proxy, config = named
    assert run_probe("sandbox", NAME, echo.port, *words, conf=config, options=QUIET).ok().out == ""
    assert proxy.targets == [(NAME, echo.port)] * 2


def test_a_process_in_an_empty_root_connects_to_a_name(named, echo, tmp_path):
    """No /dev/shm and no /tmp: the name table is the process's own."""
    if os.geteuid() != 0:
        pytest.skip("chroot is for root")
    (tmp_path / "root").mkdir()
    proxy, config = named
    run_probe("sandbox", NAME, echo.port, "chroot", tmp_path / "root", conf=config, options=QUIET).ok()
    assert proxy.targets == [(NAME, echo.port)] * 2
    assert list((tmp_path / "root").iterdir()) == []


# -- memory


@pytest.mark.parametrize("what", ["connect", "pending", "name"])
@pytest.mark.parametrize("how", ["once", "onward"])
def test_malloc_fails_at_each_allocation_in_turn(named, echo, how, what):
    """The program survives, and its call succeeds or fails for lack of memory. (libc's own lookup of a name does not
    survive this; a remote name needs less memory.) If all allocations fail from then on, the library uses its
    reserve."""
    host = NAME if what == "name" else "127.0.0.1"
    result = run_probe("failing_malloc", how, what, host, echo.port, conf=named[1], options=QUIET, timeout=200).ok()
    # The children in which something failed: at least one, since the library maps its memory there.
    outcomes = dict(re.findall(r"(.*): (\d+)", result.out))
    assert outcomes and outcomes.keys() <= {"good", "ENOMEM", "EAI_MEMORY"}, result.err


# -- other libraries


def library(name):
    """The path of a shared library's file, as ld.so would find it."""
    listing = subprocess.run([need("ldconfig"), "-p"], capture_output=True, text=True, check=True).stdout
    found = re.findall(rf"=> (.*/{re.escape(name)}[^/]*)$", listing, re.M)
    if not found:
        pytest.skip(f"{name} is not installed: tests/install-tools installs it")
    return found[0]


def both_orders(other):
    """The two values of LD_PRELOAD."""
    return [{"LD_PRELOAD": f"{one}:{two}"} for one, two in ((paths.LIBRARY, other), (other, paths.LIBRARY))]


@pytest.mark.parametrize("name", ["libjemalloc.so", "libtcmalloc_minimal.so"])
def test_another_malloc_is_preloaded_too(conf, proxy, echo, name):
    config = conf([proxy])
    for env in both_orders(library(name)):
        arguments = ["127.0.0.1", echo.port, 16, 20]
        result = run_probe("threads", *arguments, conf=config, options=QUIET, env=env).ok()
        assert result.out == "good 320 bad 0 wrong 0 last 0\n"
        result = run_probe("fork_threads", "127.0.0.1", echo.port, 50, conf=config, options=QUIET, env=env).ok()
        assert result.out == "children 50 of 50, threads connected yes, failed 0\n"
    assert len(proxy.requests) >= 640


@pytest.mark.parametrize("time", ["-30d", "+1y x60", "2020-01-01 00:00:00"], ids=["past", "fast", "standing still"])
def test_libfaketime_is_preloaded_too(named, echo, time):
    """Timeouts are measured with a clock that it may change."""
    [file] = glob.glob("/usr/lib/*/faketime/libfaketime.so.1") or [None]
    if file is None:
        pytest.skip("libfaketime is not installed: tests/install-tools installs it")
    proxy, config = named
    # Long enough for the driver to wait a second time.
    proxy.mood = Mood(delay=0.02)
    for env in both_orders(file):
        run_probe("sandbox", NAME, echo.port, conf=config, options=QUIET, env={**env, "FAKETIME": time}).ok()
    assert proxy.targets == [(NAME, echo.port)] * 4


@pytest.fixture
def build(tmp_path):
    """build(name, *flags, source=…): a probe built with these flags."""

    def run(name, *flags, source=None):
        command = [need("cc"), *FLAGS, str(paths.PROBE_SOURCES / f"{source or name}.c"), "-o", str(tmp_path / name)]
        subprocess.run([*command, *flags], check=True)
        return tmp_path / name

    return run


def test_a_program_with_the_address_sanitizer(build, named, echo):
    """It requires that its library comes before all others, unless told not to check."""
    name = subprocess.run([need("cc"), "-print-file-name=libasan.so"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(name):
        pytest.skip("libasan is not installed: it comes with gcc")
    runtime = re.findall(r"libasan\.so\.\d+", Path(name).resolve().name)[0]
    proxy, config = named
    program = build("sandbox", "-fsanitize=address")
    threads = build("threads", "-fsanitize=address")
    for env in both_orders(library(runtime)):
        env |= {"ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0"}
        result = run_under(program, [NAME, echo.port], conf=config, via="preload", options=QUIET, env=env).ok()
        assert "AddressSanitizer" not in result.err
        arguments = ["127.0.0.1", echo.port, 8, 10]
        result = run_under(threads, arguments, conf=config, via="preload", options=QUIET, env=env).ok()
        assert result.out == "good 80 bad 0 wrong 0 last 0\n" and "AddressSanitizer" not in result.err
    assert len(proxy.requests) == 2 * (2 + 80)


def test_a_program_with_the_thread_sanitizer(build, named, echo):
    """Its functions work only when its library has looked up the real ones, with our dlsym. Code that is not
    instrumented, such as our library, seems to it to have no locks, unless it is told to ignore such code."""
    name = subprocess.run([need("cc"), "-print-file-name=libtsan.so"], capture_output=True, text=True).stdout.strip()
    if not os.path.isabs(name):
        pytest.skip("libtsan is not installed: it comes with gcc")
    proxy, config = named
    sandbox = build("sandbox", "-fsanitize=thread")
    threads = build("threads", "-fsanitize=thread")
    env = {"TSAN_OPTIONS": "ignore_noninstrumented_modules=1"}
    run = partial(run_under, conf=config, via="preload", options=QUIET, env=env)
    assert run(sandbox, [NAME, echo.port]).ok().err == ""
    result = run(threads, ["127.0.0.1", echo.port, 8, 10]).ok()
    assert (result.out, result.err) == ("good 80 bad 0 wrong 0 last 0\n", "")
    assert len(proxy.requests) == 2 + 80


def test_a_program_has_a_dl_iterate_phdr_of_its_own(build, named, echo):
    proxy, config = named
    source = build("sandbox").parent / "own.c"
    source.write_text("#include <stdlib.h>\nint dl_iterate_phdr(void *each, void *data) { abort(); }\n")
    program = build("sandbox", "-rdynamic", "-Wno-unused-parameter", str(source))
    run_under(program, [NAME, echo.port], conf=config, via="preload", options=QUIET).ok()
    assert proxy.targets == [(NAME, echo.port)] * 2


@pytest.mark.parametrize("kib", [200, 240, 244, 248, 1024, 16384])
def test_a_program_with_many_thread_local_variables_does_not_block(build, conf, proxy, echo, kib):
    """They are on the stack of every thread, and so on our helper's."""
    program = build("socket_script", f"-DTLS_KIB={kib}")
    operations = [
        "socket inet stream 0 nonblock", f"connect 127.0.0.1 {echo.port}", "ready poll OUT 20000",
        "get SOL_SOCKET SO_ERROR", "send hello", "ready poll IN 20000", "recv 5", "left",
    ]  # fmt: skip
    result = run_under(program, operations, conf=conf([proxy]), via="preload", options=QUIET).ok()
    answers = [line.split(" -> ", 1)[1] for line in result.out.splitlines()]
    assert answers[1:-1] == ["-1 EINPROGRESS", "OUT", "0", "5", "IN", "5 hello"]
    assert answers[-1].startswith("threads 1 ")
    assert proxy.targets == [("127.0.0.1", echo.port)]


# -- how symbols are bound, and when


@pytest.mark.parametrize("flags", ["-Wl,-z,now", "-Wl,-z,lazy", "-no-pie"])
@pytest.mark.parametrize("variable", [None, "LD_BIND_NOW", "LD_BIND_NOT"])
def test_a_program_is_bound_now_or_lazily(build, named, echo, flags, variable):
    proxy, config = named
    program = build("sandbox", flags)
    environment = {variable: "1"} if variable else {}
    run_under(program, [NAME, echo.port], conf=config, via="preload", options=QUIET, env=environment).ok()
    assert proxy.targets == [(NAME, echo.port)] * 2


@pytest.mark.parametrize("loaded", ["preloaded before", "preloaded after", "needed"])
def test_a_constructor_connects_before_ours_has_run(build, named, echo, loaded):
    """ld.so runs the constructors of a program's libraries and of preloaded ones in its own order."""
    proxy, config = named
    early = build("libearly.so", "-shared", "-fPIC", source="early")
    env = {"EARLY_NAME": NAME, "EARLY_PORT": echo.port}
    if loaded == "needed":
        program = build("sandbox", f"-Wl,-rpath,{early.parent}", "-Wl,--no-as-needed", str(early))
    else:
        program = probe("sandbox")
        env |= both_orders(early)[loaded == "preloaded before"]
    result = run_under(program, [NAME, echo.port], conf=config, via="preload", options=QUIET, env=env).ok()
    assert result.err == "early: blocking good, non-blocking good\n"
    assert proxy.targets == [(NAME, echo.port)] * 4


def test_a_plugin_that_is_bound_to_its_own_libraries_goes_around(build, conf, proxy, echo):
    """RTLD_DEEPBIND makes a plugin find libc's connect before anything preloaded: no preload library can see its calls.
    The program's own calls are still proxied, and both work."""
    plugin = build("plugin.so", "-shared", "-fPIC", "-DLIBRARY", source="deepbind")
    result = run_probe("deepbind", plugin, "127.0.0.1", echo.port, conf=conf([proxy]), options=QUIET).ok()
    assert result.out == "plugin 1\nprogram 1\n"
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_a_program_calls_close_dup2_and_fcntl_by_their_other_names(build, conf, proxy, echo):
    program = build("socket_script", *(f"-D{name}=__{name}" for name in ["close", "dup2", "fcntl"]))
    operations = [
        "socket inet stream 0 nonblock", f"connect 127.0.0.1 {echo.port}", "dup2 40", "ready poll OUT 20000",
        "get SOL_SOCKET SO_ERROR", "send hello", "ready poll IN 20000", "recv 5", "close",
    ]  # fmt: skip
    result = run_under(program, operations, conf=conf([proxy]), via="preload", options=QUIET).ok()
    answers = [line.split(" -> ", 1)[1] for line in result.out.splitlines()]
    assert answers[1] == "-1 EINPROGRESS" and answers[3:] == ["OUT", "0", "5", "IN", "5 hello", "0"]
    assert proxy.targets == [("127.0.0.1", echo.port)]


def test_after_a_time_without_memory_connects_are_made_again(conf, make_proxy, make_echo):
    """Also in forked children. The reserve has allocations that are never freed."""
    echo = make_echo(keep=False)
    words = ["127.0.0.1", echo.port, 300]
    result = run_probe("low_memory", *words, conf=conf([make_proxy()]), options=["-q"]).ok()
    without, *made = map(int, re.findall(r"\d+", result.out))
    assert without > 0 and made == [20, 1]


NAMES_WITHOUT_MEMORY = """
import resource, socket
def ask():
    try:
        return socket.gethostbyname(b"db.internal")
    except OSError as error:
        return error.args[0]
pages = int(open("/proc/self/statm").read().split()[0])
limits = resource.getrlimit(resource.RLIMIT_AS)
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + (4 << 20), limits[1]))
without = ask()
resource.setrlimit(resource.RLIMIT_AS, limits)
print(without, ask())
"""


def test_after_a_time_without_memory_the_name_table_is_opened(conf):
    """It takes 40 MB of address space."""
    config = conf(["socks5 127.0.0.1 1055"], "proxy_dns")  # nobody connects to it
    result = run_under("python3", ["-c", NAMES_WITHOUT_MEMORY], conf=config, options=["-q"]).ok()
    without, later = result.out.split()
    assert int(without) == socket.EAI_AGAIN and later.startswith("224.")
