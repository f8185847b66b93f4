"""The library for programs that run on musl, and one installation for programs of either libc: `make test-musl`."""

import platform
import re
import subprocess
from pathlib import Path

import pytest

from support import elf, paths
from support.need import need
from support.run import clean_environment

INSTALLED = paths.TARGET / "musl/installed"
LAUNCHER = INSTALLED / "bin/proxychains4"
LIBRARY = INSTALLED / "lib/musl/libtailchain.so"
LOADER = Path(f"/lib/ld-musl-{platform.machine()}.so.1")
CLIENT = paths.TARGET / f"musl/{platform.machine()}-unknown-linux-musl/release/examples/tokio_echo"

# Symbols that the C runtime's own objects use if they exist.
OPTIONAL = {"_ITM_deregisterTMCloneTable", "_ITM_registerTMCloneTable", "__gmon_start__", "__cxa_finalize"}


@pytest.fixture(autouse=True)
def built():
    if not LIBRARY.exists():
        pytest.skip("`make musl` was not run")


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """A program of each libc: echoes over one connection, by name or address, and executes its remaining words."""
    directory = tmp_path_factory.mktemp("programs")
    source = directory / "client.c"
    source.write_text(CLIENT_SOURCE)
    made = {}
    for libc, compiler in [("glibc", "cc"), ("musl", "musl-gcc")]:
        made[libc] = directory / libc
        subprocess.run([need(compiler), "-Wall", "-Werror", source, "-o", made[libc]], check=True)
    return made


CLIENT_SOURCE = """
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int count, char **words)
{
    struct addrinfo *list, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_CANONNAME};
    char answer[8] = "";
    if (count < 3 || getaddrinfo(words[1], words[2], &hints, &list) != 0)
        return 2;
    int fd = socket(list->ai_family, SOCK_STREAM, 0);
    if (connect(fd, list->ai_addr, list->ai_addrlen) != 0)
        return perror("connect"), 1;
    if (write(fd, "echo", 4) != 4 || read(fd, answer, 4) != 4)
        return perror("echo"), 1;
    printf("%s %s\\n", answer, list->ai_canonname ? list->ai_canonname : "?");
    fflush(stdout);
    freeaddrinfo(list);
    close(fd);
    return count > 3 ? execv(words[3], words + 3) : 0;
}
"""


def launch(conf, *words, options=(), launcher=LAUNCHER):
    return subprocess.run(
        [str(word) for word in [launcher, *options, "-f", conf, *words]],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_musl_library_needs_musl_alone():
    """No libgcc_s, and nothing of glibc: musl handles libc.so itself."""
    assert elf.needed_libraries(LIBRARY) == ["libc.so"]


def test_musl_has_everything_that_it_needs():
    """It was not linked with musl (build.rs): an undefined symbol would end each program."""
    listed = subprocess.run([need("nm"), "-D", "--undefined-only", LIBRARY], check=True, capture_output=True, text=True)
    wanted = {line.split()[-1] for line in listed.stdout.splitlines()}
    assert wanted - elf.defined_symbols(LOADER) <= OPTIONAL


def test_the_musl_library_exports_hooks_for_the_functions_of_musl():
    exported = {name for name in elf.defined_symbols(LIBRARY) if not name.startswith("tailchain_")}
    assert {"connect", "getaddrinfo", "gethostbyname_r", "res_query", "dlsym"} <= exported
    # A future musl may have it.
    assert exported - elf.defined_symbols(LOADER) == {"close_range"}


@pytest.mark.parametrize("libc", ["glibc", "musl"])
def test_the_launcher_preloads_the_library_of_the_programs_libc(libc, programs, conf, proxy, echo):
    result = launch(conf([proxy]), programs[libc], "127.0.0.1", echo.port)
    assert result.stdout.startswith("echo ")
    assert proxy.targets == [("127.0.0.1", echo.port)]
    expected = LIBRARY if libc == "musl" else INSTALLED / "lib/libtailchain.so"
    assert f"[proxychains] preloading {expected}\n" in result.stderr


@pytest.mark.parametrize("order", [("glibc", "musl", "glibc"), ("musl", "glibc", "musl")])
def test_a_program_of_one_libc_starts_one_of_the_other(order, programs, conf, proxy, echo):
    """Each loader would exit if it had to preload the other libc's library."""
    words = [str(word) for libc in order for word in (programs[libc], "127.0.0.1", echo.port)]
    result = launch(conf([proxy]), *words)
    assert (result.returncode, result.stdout.count("echo ")) == (0, 3)
    assert proxy.targets == [("127.0.0.1", echo.port)] * 3
    assert "ld.so" not in result.stderr


def test_a_library_that_is_not_there_is_said_by_the_launcher(programs, conf, proxy, tmp_path):
    """The loader's own message is about symbols."""
    (tmp_path / "bin").mkdir()
    for name, file in [("bin/proxychains4", LAUNCHER), ("bin/libtailchain.so", INSTALLED / "lib/libtailchain.so")]:
        (tmp_path / name).write_bytes(file.read_bytes())
    launcher = tmp_path / "bin/proxychains4"
    launcher.chmod(0o755)
    result = launch(conf([proxy]), programs["musl"], "127.0.0.1", 9, launcher=launcher)
    assert result.returncode == 1
    assert re.search(r"cannot be started: .*libc.*musl/libtailchain\.so", result.stderr)


@pytest.mark.parametrize(
    "name", ["db.example", "a-name-that-is-longer-than-any-address-could-be.in-every-form.example"]
)
def test_a_name_goes_to_the_proxy_and_is_the_canonical_name(name, programs, conf, make_proxy, echo):
    """musl puts the name after the list, in memory that is freed with it."""
    proxy = make_proxy(names={name: ("127.0.0.1", echo.port)})
    result = launch(conf([proxy], "proxy_dns"), programs["musl"], name, echo.port)
    assert result.stdout == f"echo {name}\n"
    assert proxy.targets == [(name, echo.port)]


def test_a_rust_program_connects_many_at_once(conf, proxy, echo):
    """tokio, linked with musl's libc.so: non-blocking connects, epoll, threads."""
    if not CLIENT.exists():
        pytest.skip("`make test-musl` builds it")
    result = launch(conf([proxy]), CLIENT, echo.port, 20, options=["-q"])
    assert (result.returncode, result.stdout, result.stderr) == (0, "20\n", "")
    assert proxy.targets == [("127.0.0.1", echo.port)] * 20
