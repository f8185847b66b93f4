"""Root file systems of other releases, by debootstrap(8): what a new user of that release has."""

import os
import shutil
import subprocess

import pytest

from . import paths
from .need import need

# What the first minutes need; the rest is the release's smallest system. proxychains4 is what tailchain replaces.
INCLUDED = ["bash-completion", "curl", "man-db", "proxychains4", "python3-venv"]


def base(release):
    """The directory of a fresh root of that release, made once; it is not to be changed."""
    if os.geteuid() != 0:
        pytest.skip("debootstrap and chroot need root")
    ready = paths.TARGET / "roots" / release
    if not ready.exists():
        building = ready.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        building.parent.mkdir(exist_ok=True)
        command = [need("debootstrap"), "--variant=minbase", f"--include={','.join(INCLUDED)}", release, str(building)]
        made = subprocess.run(command, capture_output=True, text=True)
        if made.returncode:
            shutil.rmtree(building, ignore_errors=True)
            pytest.skip(f"debootstrap cannot make {release}: {(made.stdout + made.stderr).splitlines()[-1]}")
        building.rename(ready)
    return ready


class Root:
    """A copy of a release's root. Commands share the machine's network, and end with their own processes."""

    def __init__(self, release, directory):
        self.directory = directory / release
        subprocess.run(["cp", "-a", "--reflink=auto", base(release), self.directory], check=True)

    def put(self, file):
        """Copy a file to /, and give its name there."""
        shutil.copy(file, self.directory)
        return f"/{file.name}"

    def write(self, name, text):
        (self.directory / name.lstrip("/")).write_text(text)
        return name

    def run(self, script, check=True, **environment):
        """What a shell there prints, stderr included."""
        namespace = [need("unshare"), "--mount", "--pid", "--fork", f"--mount-proc={self.directory}/proc"]
        known = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        result = subprocess.run(
            [*namespace, need("chroot"), self.directory, "bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**known, "DEBIAN_FRONTEND": "noninteractive", **environment},
        )
        assert not check or result.returncode == 0, f"{script}: exit {result.returncode}\n{result.stdout}"
        return result.stdout

    def files(self):
        """All files but what package managers write about themselves, and /dev/shm, which no reboot outlives."""
        noted = ("dev", "var/lib/dpkg", "var/lib/apt", "var/log", "var/cache", "tmp", "proc", "root")
        found = set()
        for directory, _, names in os.walk(self.directory):
            place = os.path.relpath(directory, self.directory)
            if not place.startswith(noted):
                found.update(os.path.normpath(os.path.join(place, name)) for name in names)
        return found
