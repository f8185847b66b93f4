"""An image of a Cloud Native Buildpack without a registry or a container: the lifecycle's own detector and builder make
its layers, and its launcher starts a process. Not as root: the lifecycle refuses to run as root."""

import os
import shutil
import subprocess

import pytest

from . import paths
from .daemon import drop_privileges, give_away
from .need import need
from .run import finish

BINARIES = paths.TARGET / "lifecycle" / "bin"
# The version that the builder and the launcher use.
PLATFORM_API = "0.12"

ORDER = """
[[order]]
[[order.group]]
id = "tailchain/tailscale"
version = "0.1.0"
"""
# The app's own buildpack: it defines the process types, as a language's buildpack does.
PROCFILE = """#!/bin/bash
set -euo pipefail
cat >"$CNB_LAYERS_DIR/launch.toml" <<'END'
[[processes]]
type = "web"
command = ["bash", "-c", "exec $LINE"]
default = true
END
"""


def binary(name):
    path = BINARIES / name
    if not path.exists():
        pytest.skip(f"{path} does not exist: tests/lifecycle/build makes it, with Go")
    return path


class Image:
    def __init__(self, directory):
        """In a directory that others may enter."""
        self.directory = directory
        self.app, self.layers, self.platform = (directory / name for name in ["workspace", "layers", "platform"])
        self.buildpacks, self.home, self.tmp = (directory / name for name in ["buildpacks", "home", "tmp"])
        self.own = self.buildpacks / "tailchain_tailscale" / "0.1.0"
        for path in [self.app, self.layers, self.platform / "env", self.own, self.home, self.tmp]:
            path.mkdir(parents=True)
        for path in [self.app, self.layers, self.home, self.tmp]:
            give_away(path)
        for name in ["bin", "lib", "conf"]:
            shutil.copytree(paths.ROOT / name, self.own / name)
        for name in ["buildpack.toml", "Cargo.lock"]:
            shutil.copy(paths.ROOT / name, self.own)
        # One program has the names of all phases; in an image the launcher has the names of the process types.
        for name, program in {"detector": "lifecycle", "builder": "lifecycle", "web": "launcher"}.items():
            shutil.copy(binary(program), directory / name)
        self._add_procfile_buildpack()
        order = ORDER + '[[order.group]]\nid = "test/procfile"\nversion = "1"\n'
        (directory / "order.toml").write_text(order)
        (directory / "run.toml").write_text('[[images]]\nimage = "none"\n')

    def _add_procfile_buildpack(self):
        directory = self.buildpacks / "test_procfile" / "1"
        (directory / "bin").mkdir(parents=True)
        (directory / "buildpack.toml").write_text(
            'api = "0.10"\n[buildpack]\nid = "test/procfile"\nversion = "1"\n[[targets]]\nos = "linux"\n'
        )
        for name, text in {"detect": "#!/bin/sh\n", "build": PROCFILE}.items():
            (directory / "bin" / name).write_text(text)
            (directory / "bin" / name).chmod(0o755)

    def set(self, **settings):
        """The user's settings of the build."""
        for name, value in settings.items():
            (self.platform / "env" / name).write_text(str(value))

    def _command(self, name, *options):
        drop = drop_privileges()
        return [*([need("setpriv"), *drop] if drop else []), self.directory / name, *options]

    def _lifecycle(self, name, *options):
        environment = {
            "HOME": str(self.home),
            "TMPDIR": str(self.tmp),
            "PATH": os.environ["PATH"],
            "CNB_PLATFORM_API": PLATFORM_API,
            "CNB_STACK_ID": "test",
            "CNB_TARGET_OS": "linux",
            "CNB_TARGET_ARCH": "amd64",
            "CNB_USER_ID": str(os.getuid()),
            "CNB_GROUP_ID": str(os.getgid()),
        }
        return subprocess.run(
            [str(word) for word in self._command(name, *options)],
            env=environment,
            capture_output=True,
            text=True,
            timeout=280,
        )

    def build(self):
        """Run detector and builder; return their output."""
        common = [f"-app={self.app}", f"-layers={self.layers}", f"-platform={self.platform}"]
        common.append(f"-buildpacks={self.buildpacks}")
        order = f"-order={self.directory}/order.toml"
        said = ""
        for name, options in [("detector", [order, f"-run={self.directory}/run.toml"]), ("builder", [])]:
            done = self._lifecycle(name, *common, *options)
            said += done.stdout + done.stderr
            if done.returncode != 0:
                break
        return done.returncode, said

    def layer(self, name):
        return self.layers / "tailchain_tailscale" / name

    def start(self, line, stdin=subprocess.DEVNULL, **environment):
        """What an image runs: the launcher, which executes the process."""
        given = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "HOME": self.home,
            "TMPDIR": self.tmp,
            "CNB_PLATFORM_API": PLATFORM_API,
            "CNB_APP_DIR": self.app,
            "CNB_LAYERS_DIR": self.layers,
            "LINE": line,
            **environment,
        }
        return subprocess.Popen(
            [str(word) for word in self._command("web")],
            env={name: str(value) for name, value in given.items() if value is not None},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=self.app,
        )

    def run(self, line, **environment):
        return finish(self.start(line, **environment))
