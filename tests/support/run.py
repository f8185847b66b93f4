"""Run a program bare, under the launcher, or with the library preloaded."""

import os
import re
import signal
import subprocess
from dataclasses import dataclass

import pytest

from . import paths

# Variables that would change where a program connects to, or how it is preloaded.
DROPPED = re.compile(r"(?i)(.*_proxy|LD_PRELOAD|PROXYCHAINS_.*|TAILCHAIN_.*|PG.*)$")


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def chains(self):
        """The lines about chains, e.g. `Strict chain  ...  A  ...  B  ...  OK`."""
        found = re.findall(r"^\[proxychains\] (\w[\w ]* chain  \.\.\.  .*)$", self.err, re.M)
        return [line.rstrip() for line in found]

    def ok(self):
        """Itself, if the program succeeded; else everything it said."""
        assert self.code == 0, f"exit {self.code}\n-- stdout\n{self.out}\n-- stderr\n{self.err}"
        return self


def clean_environment(extra=None):
    kept = {name: value for name, value in os.environ.items() if not DROPPED.match(name)}
    kept.update(extra or {})
    return {name: str(value) for name, value in kept.items() if value is not None}


def command_line(program, args, via, conf, options=()):
    """(argv, environment) to run `program` in the way that `via` names: bare, launcher, supervised or preload."""
    program = [str(program), *map(str, args)]
    if paths.EMULATOR:
        return _emulated(program, via, conf, options)
    if via == "bare":
        return program, {}
    if via in ["launcher", "supervised"]:
        file = ["-f", str(conf)] if conf else []
        mode = ["--supervise", "always"] if via == "supervised" else []
        return [str(paths.LAUNCHER), *options, *mode, *file, *program], {}
    if via == "preload":
        return program, _preloaded(conf, options)
    raise ValueError(f"via={via!r}: expected bare, launcher, supervised or preload")


def _preloaded(conf, options):
    environment = {"LD_PRELOAD": paths.LIBRARY}
    if conf:
        environment["PROXYCHAINS_CONF_FILE"] = conf
    if "-q" in options:
        environment["PROXYCHAINS_QUIET_MODE"] = "1"
    return environment


def _emulated(program, via, conf, options):
    """The preload library is for the probe, not for the emulator, which is a native program."""
    if not program[0].startswith(str(paths.PROBES)):
        if via == "bare":
            return program, {}
        pytest.skip(f"only probes are emulated, not {program[0]}")
    if via in ["launcher", "supervised"]:
        pytest.skip("the launcher would have to be emulated, and start an emulated program")
    environment = _preloaded(conf, options) if via == "preload" else {}
    preload = [word for name, value in environment.items() for word in ("-E", f"{name}={value}")]
    return [*paths.EMULATOR, *preload, *program], {}


def start(program, args=(), conf=None, via="launcher", options=(), env=None, cwd=None, stdin=subprocess.DEVNULL):
    """Start it in a process group of its own, with pipes for stdout and stderr."""
    argv, environment = command_line(program, args, via, conf, options)
    environment = clean_environment({**environment, **(env or {})})
    return subprocess.Popen(
        argv,
        env=environment,
        cwd=cwd,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finish(process, timeout=90, input=None):
    """Wait for a started program. The timeout is only for hangs, far above what a busy machine needs."""
    try:
        out, err = process.communicate(input, timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(
            f"{process.args} hung for {timeout} s\n-- stdout\n{out.decode(errors='replace')}"
            f"\n-- stderr\n{err.decode(errors='replace')}"
        ) from None
    return Result(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"))


def run_under(program, args=(), conf=None, via="launcher", options=(), env=None, cwd=None, input=None, timeout=90):
    """Run a program to its end."""
    stdin = subprocess.DEVNULL if input is None else subprocess.PIPE
    process = start(program, args, conf, via, options, env, cwd, stdin)
    return finish(process, timeout, input)
