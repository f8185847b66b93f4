"""The maintainer's commands to publish a version: packaging/release, packaging/archives."""

import os
import re
import shutil
import subprocess

import pytest

from support import paths
from support.need import need

TOUCHED = ["Cargo.toml", "Cargo.lock", "fuzz/Cargo.lock", "models/Cargo.lock", "buildpack.toml", "README.md"]
VERSION = re.search(r'^version = "(.*)"', (paths.ROOT / "Cargo.toml").read_text(), re.M)[1]
CHANGELOG = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n"


@pytest.fixture
def repository(tmp_path):
    """A repository with the files that a release changes."""
    for name in [*TOUCHED, "packaging/release", "packaging/archives"]:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(paths.ROOT / name, tmp_path / name)
    (tmp_path / "CHANGELOG.md").write_text(CHANGELOG)
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message", "all")
    return tmp_path


def git(directory, *words):
    return subprocess.run([need("git"), *words], cwd=directory, env=ENVIRONMENT, check=True, capture_output=True).stdout


PERSON = {"NAME": "x", "EMAIL": "x@example.com"}
ENVIRONMENT = {**os.environ, **{f"GIT_{who}_{key}": PERSON[key] for who in ["AUTHOR", "COMMITTER"] for key in PERSON}}


def run(directory, command, *words):
    return subprocess.run(
        [directory / "packaging" / command, *words], cwd=directory, env=ENVIRONMENT, capture_output=True, text=True
    )


def test_a_release_changes_the_version_wherever_it_is_written(repository):
    done = run(repository, "release", "98.7.6")
    assert done.returncode == 0, done.stderr
    assert b"v98.7.6" in git(repository, "tag", "--points-at", "HEAD")
    assert git(repository, "status", "--porcelain") == b""
    old = re.compile(rf'name = "tailchain[a-z-]*"\nversion = "{re.escape(VERSION)}"|tailchain[_-]{re.escape(VERSION)}')
    for name in TOUCHED:
        assert not old.search((repository / name).read_text()), name
    for name in ["Cargo.toml", "buildpack.toml"]:
        assert re.search("^version = .*$", (repository / name).read_text(), re.M)[0] == 'version = "98.7.6"'
    section = r"^## \[Unreleased\]\n\n## \[98\.7\.6\] - \d{4}-\d\d-\d\d\n"
    assert re.search(section, (repository / "CHANGELOG.md").read_text(), re.M)


@pytest.mark.parametrize(
    ("version", "reason"),
    [("1.2", "is no version"), ("v1.2.3", "is no version"), ("98.7.6", "nothing under Unreleased")],
)
def test_a_release_that_cannot_be_changes_nothing(repository, version, reason):
    if "Unreleased" in reason:
        (repository / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [0.0.1]\n\n- Something.\n")
        git(repository, "commit", "--quiet", "--all", "--message", "nothing new")
    done = run(repository, "release", version)
    assert done.returncode == 1 and reason in done.stderr
    assert git(repository, "status", "--porcelain") == git(repository, "tag") == b""


def test_the_archives_of_a_release_become_those_of_the_buildpack(repository):
    sums = repository / "SHA256SUMS"
    names = ["tailchain-1.2.3-aarch64.tgz", "tailchain-1.2.3-npm.tgz", "tailchain-1.2.3-x86_64.tgz"]
    sums.write_text("".join(f"{number * 64}  {name}\n" for number, name in zip("123", names, strict=True)))
    done = run(repository, "archives", "https://example.com/v1.2.3/", sums)
    assert done.returncode == 0, done.stderr
    there = "https://example.com/v1.2.3"
    lines = [f"{'1' * 64}  {there}/{names[0]}", f"{'3' * 64}  {there}/{names[2]}"]
    assert (repository / "archives.sha256").read_text().splitlines() == lines
    script = f". {paths.ROOT}/lib/build/tailchain.sh; uname() {{ echo aarch64; }}; released_archive archives.sha256"
    words = [need("bash"), "-c", script]
    assert subprocess.run(words, cwd=repository, capture_output=True, text=True).stdout == lines[0] + "\n"


def test_archives_that_come_in_the_clear_are_not_named(repository):
    done = run(repository, "archives", "http://example.com/v1.2.3")
    assert done.returncode == 1 and "is no https:// URL" in done.stderr
    assert not (repository / "archives.sha256").exists()
