"""A dyno: the app's slug at /app, in its own root directory and mount namespace; an environment with only config vars;
a shell that sources .profile.d before it runs a line of the Procfile."""

import os
import subprocess
from pathlib import Path

from .daemon import drop_privileges
from .need import need
from .run import finish

APP = Path("/app")

# This machine's directories below another root, with an /app that no other process sees.
MOUNT = """
root=/mnt
make_root() {
    mount -t tmpfs dyno $root
    for place in /*; do
        case $place in /app | $root) continue ;; esac
        if [[ -L $place ]]; then
            cp -P "$place" $root/
        elif [[ -d $place ]]; then
            mkdir "$root$place"
            mount --rbind "$place" "$root$place"
        fi
    done
    mkdir $root/app
    mount --bind "$1" $root/app
}
set -e
make_root "$1"
shift
exec chroot $root env --chdir=/app "$@"
"""

# As the dyno's init does. The Procfile's program replaces the shell.
SHELL = """
for file in .profile.d/*.sh; do source "$file"; done
[[ ! -e .profile ]] || source .profile
eval "exec $LINE"
"""


class Dyno:
    def __init__(self, slug, unprivileged=False, **config_vars):
        self.slug = slug
        # As on Heroku. That user must own the slug, and be able to reach what it runs.
        self.drop = [need("setpriv"), *drop_privileges()] if unprivileged else []
        self.config_vars = config_vars

    def start(self, line, stdin=subprocess.DEVNULL, **config_vars):
        """Start a line of a Procfile."""
        environment = {
            "HOME": str(APP),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "DYNO": "web.1",
            "LINE": line,
            **self.config_vars,
            **config_vars,
        }
        unshare = [need("unshare"), "--mount", "--propagation=private", "--"]
        mounted = [*unshare, "bash", "-c", MOUNT, "mount", self.slug]
        return subprocess.Popen(
            [*mounted, *self.drop, "bash", "-c", SHELL],
            env={name: str(value) for name, value in environment.items() if value is not None},
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )

    def run(self, line, timeout=120, **config_vars):
        """A one-off dyno."""
        return finish(self.start(line, **config_vars), timeout)


def can_be_made():
    """The reason why there can be no dyno here, or None."""
    return None if os.geteuid() == 0 else "a root directory with /app needs root"
