"""An HTTP server inside pytest: a known page, and a git repository for git's dumb HTTP protocol (plain files)."""

import functools
import http.server
import subprocess
import threading
from contextlib import contextmanager

from .need import need
from .run import clean_environment

PAGE = b'<a href="https://hello.ts.net">Found</a>.\n'


class _Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    # Tests open many connections at once; the default is 5.
    request_queue_size = 1024

    def handle_error(self, request, client_address):
        """A client that disconnects is not an error here."""


@contextmanager
def web_server(directory):
    """Serves `directory`, with PAGE as its index.html; returns the port."""
    (directory / "index.html").write_bytes(PAGE)
    handler = functools.partial(_Files, directory=str(directory))
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def git_repository(directory):
    """Create directory/repo.git, with one commit of one file, ready to be served as plain files."""
    git = need("git")
    identity = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    for name in ["AUTHOR", "COMMITTER"]:
        identity[f"GIT_{name}_NAME"], identity[f"GIT_{name}_EMAIL"] = "Tester", "tester@example.org"

    def run(*words, cwd):
        subprocess.run([git, *words], cwd=cwd, check=True, capture_output=True, env=clean_environment(identity))

    work = directory / "work"
    work.mkdir()
    run("init", "-q", cwd=work)
    (work / "hello.txt").write_text("through the proxy\n")
    run("add", ".", cwd=work)
    run("commit", "-q", "-m", "Say hello", cwd=work)
    run("clone", "-q", "--bare", str(work), str(directory / "repo.git"), cwd=directory)
    run("update-server-info", cwd=directory / "repo.git")
