"""usage: wheel.py VERSION ARCHITECTURE glibc|musl FILES DOCUMENTATION OUT

Writes the Python wheel (packaging.python.org, "Binary distribution format"): the commands go where pip puts scripts, the
library and the man pages below the same prefix, where the commands look for it.
"""

import base64
import hashlib
import os
import sys
import time
import zipfile
from pathlib import Path

SUMMARY = "Sends the TCP connections of unmodified programs through proxies, e.g. Tailscale's SOCKS5 proxy"


def main(version, architecture, libc, files, documentation, out):
    platforms, library = {
        # manylinux2014 is glibc 2.17; tests/packages checks that with auditwheel.
        "glibc": (["manylinux_2_17", "manylinux2014"], "lib/libtailchain.so"),
        # Alpine 3.13 and newer.
        "musl": (["musllinux_1_2"], "lib/musl/libtailchain.so"),
    }[libc]
    platforms = [f"{platform}_{architecture}" for platform in platforms]
    tags = [f"py3-none-{platform}" for platform in platforms]
    name = f"tailchain-{version}-py3-none-{'.'.join(platforms)}.whl"
    data, info = f"tailchain-{version}.data", f"tailchain-{version}.dist-info"
    contents = {
        f"{data}/scripts/proxychains4": Path(files, "bin/proxychains4").read_bytes(),
        f"{data}/scripts/tailchain": Path(files, "bin/tailchain").read_bytes(),
        f"{data}/data/{library.replace('lib/', 'lib/tailchain/', 1)}": Path(files, library).read_bytes(),
        f"{info}/licenses/LICENSE": Path("LICENSE").read_bytes(),
        f"{info}/METADATA": metadata(version),
        f"{info}/WHEEL": wheel(tags),
    }
    for page in sorted(Path(documentation).glob("man?/*")):
        contents[f"{data}/data/share/man/{page.parent.name}/{page.name}"] = page.read_bytes()
    contents[f"{info}/RECORD"] = record(contents, f"{info}/RECORD")
    moment = time.gmtime(max(int(os.environ["SOURCE_DATE_EPOCH"]), 315532800))[:6]
    with zipfile.ZipFile(Path(out, name), "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in contents.items():
            entry = zipfile.ZipInfo(path, moment)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if "/scripts/" in path else 0o100644) << 16
            archive.writestr(entry, content)


def metadata(version):
    head = f"Metadata-Version: 2.4\nName: tailchain\nVersion: {version}\nSummary: {SUMMARY}\n"
    licence = "License-Expression: GPL-3.0-or-later\nLicense-File: LICENSE\n"
    body = "Description-Content-Type: text/markdown\n\n" + Path("README.md").read_text()
    return (head + licence + body).encode()


def wheel(tags):
    head = "Wheel-Version: 1.0\nGenerator: tailchain\nRoot-Is-Purelib: false\n"
    return (head + "".join(f"Tag: {tag}\n" for tag in tags)).encode()


def record(contents, own):
    def digest(content):
        return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()

    lines = [f"{path},sha256={digest(content)},{len(content)}\n" for path, content in contents.items()]
    return "".join([*lines, f"{own},,\n"]).encode()


main(*sys.argv[1:])
