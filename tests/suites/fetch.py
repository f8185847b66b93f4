"""Downloads other projects' sources into target/suites, from package registries. None of them is committed."""

import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from support import paths

DIRECTORY = paths.TARGET / "suites"
HERE = Path(__file__).parent


def once(name, fill):
    """The directory `name`; fill(directory) is called the first time."""
    directory = DIRECTORY / name
    if not directory.exists():
        unfinished = directory.with_name(f"{name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        print(f"fetching {name}", flush=True)
        fill(unfinished)
        unfinished.rename(directory)
    return directory


def python():
    """A virtual environment with the packages whose suites are run: requirements.txt beside this file."""
    wanted = HERE / "requirements.txt"
    directory = DIRECTORY / "venv"
    installed = directory / wanted.name
    if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
        print("installing packages for the suites", flush=True)
        shutil.rmtree(directory, ignore_errors=True)
        run([sys.executable, "-m", "venv", directory])
        run([directory / "bin" / "pip", "install", "--quiet", "--requirement", wanted])
        shutil.copy(wanted, installed)
    return directory / "bin" / "python"


def pinned(package):
    """`package==version`, as requirements.txt has it."""
    for line in (HERE / "requirements.txt").read_text().splitlines():
        if line.startswith(f"{package}=="):
            return line
    raise LookupError(package)


def sdist(package, *parts):
    """Only these files and directories of a package's source distribution: the package itself is the installed one."""
    requirement = pinned(package)

    def fill(directory):
        download = [python(), "-m", "pip", "download", "--quiet", "--no-deps", f"--no-binary={package}"]
        run([*download, "--dest", directory, requirement])
        unpack(next(directory.glob("*.tar.gz")), directory, parts)

    return once(requirement.replace("==", "-"), fill)


def npm(package, version):
    def fill(directory):
        run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=directory)
        unpack(next(directory.glob("*.tgz")), directory, ["bin"])

    return once(f"{package}-{version}", fill)


def debian_source(package, version, upstream, *parts):
    """From the upstream part of a Debian source package. The settings of the machine's apt are not changed."""

    def fill(directory):
        apt = ["apt-get", *_source_settings(directory)]
        run([*apt, "update", "--quiet"], stdout=subprocess.DEVNULL)
        run([*apt, "source", "--quiet", "--download-only", f"{package}={version}"], cwd=directory)
        unpack(next(directory.glob(f"{package}_{upstream}.orig.tar.*")), directory, parts)

    return once(f"{package}-{upstream}", fill)


def _source_settings(directory):
    """The machine's own Debian sources, with `deb-src` for `deb`."""
    sources = directory / "sources"
    sources.mkdir()
    (directory / "lists" / "partial").mkdir(parents=True)
    system = Path("/etc/apt")
    for file in [system / "sources.list", *(system / "sources.list.d").glob("*")]:
        if file.suffix in (".list", ".sources") and file.exists():
            # A `.sources` file has stanzas, a `.list` lines.
            entries = file.read_text().split("\n\n" if file.suffix == ".sources" else "\n")
            kept = [_as_source(entry) for entry in entries if "/debian" in entry and "security" not in entry]
            (sources / file.name).write_text("\n\n".join([*kept, ""]))
    settings = {
        "Dir::Etc::SourceList": "/dev/null",
        "Dir::Etc::SourceParts": sources,
        "Dir::State::Lists": directory / "lists",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Sandbox::User": "root",
    }
    return [f"-o{name}={value}" for name, value in settings.items()]


def _as_source(entry):
    return re.sub(r"(?m)^(Types: |)deb\b(?!-src)", r"\1deb-src", entry)


def unpack(archive, directory, parts):
    """`parts` of the archive's one top directory."""
    with tarfile.open(archive) as files:
        for member in files:
            member.name = member.name.partition("/")[2]
            if any(member.name == part or member.name.startswith(f"{part}/") for part in parts):
                files.extract(member, directory, filter="tar")
    archive.unlink()


def run(words, **options):
    subprocess.run(list(map(str, words)), check=True, **options)
