"""An app that the buildpack compiles, with a mirror on loopback instead of the download servers."""

import subprocess

from support import paths
from support.run import clean_environment

ARCHIVE = {
    "bin/proxychains4": paths.LAUNCHER,
    "bin/tailchain": paths.COMMAND,
    "lib/libtailchain.so": paths.LIBRARY,
}
PROFILE = ".profile.d/heroku-tailscale-buildpack.sh"
STARTS = '. "$HOME/vendor/tailscale/heroku-tailscale-start.sh"\n'


class Build:
    """An app, and a cache that persists between builds."""

    def __init__(self, directory, shelf):
        self.app, self.cache, self.env = directory / "app", directory / "cache", directory / "env"
        self.app.mkdir()
        self.env.mkdir()
        (self.app / "Procfile").write_text("web: true\n")
        self.shelf = shelf
        self.buildpack = paths.ROOT
        self.set(TAILSCALE_BUILD_MIRROR=shelf.url, TAILSCALE_BUILD_TS_TARGETARCH="amd64")

    def set(self, **settings):
        """Config vars; None unsets."""
        for name, value in settings.items():
            (self.env / name).unlink(missing_ok=True)
            if value is not None:
                (self.env / name).write_text(value)

    @property
    def command(self):
        return [self.buildpack / "bin" / "compile", self.app, self.cache, self.env]

    def run(self, **environment):
        return subprocess.run(
            self.command,
            capture_output=True,
            text=True,
            timeout=280,
            env=clean_environment(environment),
        )

    def ok(self):
        done = self.run()
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def files(self):
        return sorted(str(path.relative_to(self.app)) for path in self.app.rglob("*") if not path.is_dir())


def release(shelf, directory, version, arch="amd64"):
    """Programs that print their version."""
    programs = [directory / "tailscale", directory / "tailscaled"]
    for program in programs:
        program.write_text(f"#!/bin/sh\necho {version} {arch}\n")
    shelf.release(version, programs, arch)


def untouched_after_failure(build):
    before = build.files()
    done = build.run()
    assert done.returncode == 1
    assert all(line.startswith(" !     ") for line in done.stderr.splitlines()), done.stderr
    assert build.files() == before
    return done.stderr
