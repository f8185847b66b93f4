"""What binutils report about an ELF file."""

import re
import subprocess

from .need import need


def _tool(name, *words):
    return subprocess.run([need(name), *map(str, words)], check=True, capture_output=True, text=True).stdout


def defined_symbols(path):
    """The names of the dynamic symbols that a file defines."""
    return {
        line.split()[-1].split("@")[0]
        for line in _tool("nm", "-D", "--defined-only", path).splitlines()
        if line.strip()
    }


def needed_libraries(path):
    return re.findall(r"\(NEEDED\).*\[(.*)\]", _tool("readelf", "-W", "-d", path))


def glibc_versions(path):
    """The versions of glibc whose symbols a file needs, as pairs of numbers."""
    found = re.findall(r"GLIBC_(\d+)\.(\d+)", _tool("readelf", "-W", "-V", path))
    return {(int(major), int(minor)) for major, minor in found}


def segments(path):
    """(type, flags) of each program header; flags such as "RW" or "R E"."""
    return re.findall(r"^  (\w+) +(?:0x\w+ +){5}([R ][W ][E ]) ", _tool("readelf", "-W", "-l", path), re.M)


def dynamic_section(path):
    return _tool("readelf", "-W", "-d", path)
