"""The shipped files: what they export, what they need, how they are linked."""

import re
from pathlib import Path

import pytest

from support import elf, paths

COMMANDS = ["proxychains4", "tailchain"]
SHIPPED = [paths.LIBRARY, *(paths.RELEASE / name for name in COMMANDS)]
shipped = pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.name)


def hook_table():
    """The names between `fn` and `(` in the `hooks! { … }` blocks of the library's sources."""
    names = set()
    for source in (paths.ROOT / "src/hook").rglob("*.rs"):
        for _, block in re.findall(r"^( *)hooks! \{$(.*?)^\1\}$", source.read_text(), re.M | re.S):
            names.update(re.findall(r"^\s*fn (\w+)\(", block, re.M))
        names.update(re.findall(r"^forward! \{\s*fn (\w+)\(", source.read_text(), re.M))
    return names


def test_the_library_exports_the_hook_table_and_its_own_api_only():
    hooks = hook_table()
    assert "connect" in hooks
    exported = elf.defined_symbols(paths.LIBRARY)
    own = {name for name in exported if name.startswith("tailchain_")}
    assert own, "the API of include/tailchain.h is not exported"
    assert exported - own == hooks


def test_the_library_exports_what_its_header_declares():
    declared = set(re.findall(r"\b(tailchain_\w+)\s*\(", (paths.ROOT / "include/tailchain.h").read_text()))
    exported = {name for name in elf.defined_symbols(paths.LIBRARY) if name.startswith("tailchain_")}
    assert exported == declared


@pytest.mark.parametrize("name", COMMANDS)
def test_no_command_defines_a_libc_symbol(name):
    """A command that exported them would interpose itself."""
    assert elf.defined_symbols(paths.RELEASE / name) & (hook_table() | elf.defined_symbols(libc())) == set()


def libc():
    """The libc that this Python is linked with."""
    maps = Path("/proc/self/maps").read_text()
    return re.search(r"(/\S*/libc\.so\.6|/\S*/libc-\S*\.so)", maps).group(1)


def test_the_library_needs_nothing_newer_than_glibc_2_17():
    """It is loaded into others' programs, in images of any age; this holds for every build, not only for a release."""
    assert max(elf.glibc_versions(paths.LIBRARY)) <= (2, 17)


@pytest.mark.parametrize("name", COMMANDS)
def test_the_commands_need_nothing_newer_than_glibc_2_34(name):
    assert max(elf.glibc_versions(paths.RELEASE / name)) <= (2, 34)


def test_the_library_needs_libc_and_little_else():
    """Every additional library is loaded and relocated at each exec of each program."""
    assert set(elf.needed_libraries(paths.LIBRARY)) <= {"libc.so.6", "ld-linux-x86-64.so.2"}


@shipped
def test_the_stack_is_not_executable(file):
    stacks = [flags for kind, flags in elf.segments(file) if kind == "GNU_STACK"]
    assert stacks and "E" not in stacks[0]


@shipped
def test_no_segment_is_writable_and_executable(file):
    loads = [flags for kind, flags in elf.segments(file) if kind == "LOAD"]
    assert loads and not [flags for flags in loads if "W" in flags and "E" in flags]


@shipped
def test_relocations_are_read_only_after_start(file):
    """Full RELRO: GNU_RELRO, and everything bound at load time."""
    assert "GNU_RELRO" in [kind for kind, _ in elf.segments(file)]
    assert re.search(r"BIND_NOW|FLAGS.*\bNOW\b", elf.dynamic_section(file))


def test_dlclose_does_not_unmap_the_library():
    """The fork handlers stay registered, and a helper thread may be running."""
    assert re.search(r"FLAGS_1.*\bNODELETE\b", elf.dynamic_section(paths.LIBRARY))


@shipped
def test_no_path_for_libraries_is_built_in(file):
    assert not re.search(r"RPATH|RUNPATH", elf.dynamic_section(file))
