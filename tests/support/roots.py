"""Root file systems of other releases, by debootstrap(8): what a new user of that release has."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from . import paths
from .need import need

# What the first minutes need; the rest is a minimal system of the release. tailchain replaces proxychains4.
INCLUDED = ["bash-completion", "curl", "man-db", "proxychains4", "python3-venv"]
MINIMAL = ["--variant=minbase", f"--include={','.join(INCLUDED)}"]

# Only on request: a Debian machine has neither these releases' keys nor, perhaps, access to their archive.
UBUNTU = ["focal", "jammy", "noble"] if os.environ.get("TAILCHAIN_UBUNTU") == "1" else []


def base(release):
    """The directory of a fresh root of that release, made once; do not modify it."""
    if os.geteuid() != 0:
        pytest.skip("debootstrap and chroot need root")
    ready = paths.TARGET / "roots" / release
    if not ready.exists():
        building = ready.with_suffix(".new")
        shutil.rmtree(building, ignore_errors=True)
        building.parent.mkdir(exist_ok=True)
        make = make_ubuntu if release in UBUNTU else make_debian
        problem = make(release, building)
        if problem:
            shutil.rmtree(building, ignore_errors=True)
            pytest.skip(f"debootstrap cannot make {release}: {problem}")
        building.rename(ready)
    return ready


def make_debian(release, directory):
    command = [need("debootstrap"), *MINIMAL, release, str(directory)]
    return _problem(subprocess.run(command, capture_output=True, text=True))


def make_ubuntu(release, directory):
    """By the debootstrap of Debian's testing: an older one knows neither Ubuntu's newest releases nor their keys."""
    with tempfile.TemporaryDirectory(dir=directory.parent) as place:
        debian = Root("testing", Path(place))
        debian.run("apt-get install -y debootstrap ubuntu-archive-keyring")
        made = debian.start(f"debootstrap {' '.join(MINIMAL)} --components=main,universe {release} /made")
        if not made.returncode:
            (debian.directory / "made").rename(directory)
        return _problem(made)


def _problem(debootstrap):
    """The last line that it wrote, if it failed."""
    return f"{debootstrap.stdout}{debootstrap.stderr or ''}".splitlines()[-1] if debootstrap.returncode else None


class Root:
    """A copy of a release's root. Commands use the machine's network, and end with their child processes."""

    def __init__(self, release, directory):
        self.directory = directory / release
        subprocess.run(["cp", "-a", "--reflink=auto", base(release), self.directory], check=True)

    def put(self, file):
        """Copy a file to /, and return its name there."""
        shutil.copy(file, self.directory)
        return f"/{file.name}"

    def write(self, name, text):
        (self.directory / name.lstrip("/")).write_text(text)
        return name

    def run(self, script, check=True, **environment):
        """The output of a shell there, stderr included."""
        result = self.start(script, **environment)
        assert not check or result.returncode == 0, f"{script}: exit {result.returncode}\n{result.stdout}"
        return result.stdout

    def start(self, script, **environment):
        namespace = [need("unshare"), "--mount", "--pid", "--fork", f"--mount-proc={self.directory}/proc"]
        known = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": "/root",
            "LANG": "C.UTF-8",
        }
        return subprocess.run(
            [*namespace, need("chroot"), self.directory, "bash", "-c", script],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**known, "DEBIAN_FRONTEND": "noninteractive", **environment},
        )

    def files(self):
        """All files except the package managers' own state, and /dev/shm, which does not survive a reboot."""
        noted = ("dev", "var/lib/dpkg", "var/lib/apt", "var/log", "var/cache", "tmp", "proc", "root")
        found = set()
        for directory, _, names in os.walk(self.directory):
            place = os.path.relpath(directory, self.directory)
            if not place.startswith(noted):
                found.update(os.path.normpath(os.path.join(place, name)) for name in names)
        return found
