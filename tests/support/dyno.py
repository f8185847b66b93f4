"""A dyno: the app's slug at /app in a mount namespace of its own, an environment that holds nothing but config vars, a
shell that sources .profile.d before it runs a line of the Procfile."""

import os
import subprocess
from pathlib import Path

from .need import need
from .run import finish

APP = Path("/app")

# As the dyno's init does it. The program of the Procfile takes the place of the shell.
SHELL = """
mount --bind "$SLUG" /app && cd /app || exit 125
unset SLUG
for file in .profile.d/*.sh; do source "$file"; done
[[ ! -e .profile ]] || source .profile
eval "exec $LINE"
"""


class Dyno:
    def __init__(self, slug, **config_vars):
        need("unshare")
        self.slug = slug
        self.config_vars = config_vars

    def start(self, line, **config_vars):
        """Start a line of a Procfile."""
        environment = {
            "HOME": str(APP),
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "DYNO": "web.1",
            "SLUG": str(self.slug),
            "LINE": line,
            **self.config_vars,
            **config_vars,
        }
        return subprocess.Popen(
            [need("unshare"), "--mount", "--propagation=private", "--", "bash", "-c", SHELL],
            env={name: str(value) for name, value in environment.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd="/",
        )

    def run(self, line, timeout=120, **config_vars):
        """A one-off dyno."""
        return finish(self.start(line, **config_vars), timeout)


def can_be_made():
    """Why there can be no dyno here, or None."""
    return None if os.geteuid() == 0 else "a mount namespace with /app needs root"
