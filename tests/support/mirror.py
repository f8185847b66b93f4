"""An HTTP server that serves what a test adds: releases of Tailscale, and an archive of tailchain."""

import hashlib
import http.server
import io
import json
import tarfile
import threading
from contextlib import contextmanager


class Mirror:
    def __init__(self, port):
        self.url = f"http://127.0.0.1:{port}"
        self.files = {}  # path -> bytes
        self.cut = set()  # paths whose download breaks off
        self.held = set()  # paths that are not answered
        self.asked = []

    def release(self, version, programs, arch="amd64"):
        """Add a release of Tailscale and make it the newest; `programs` are paths of tailscale and tailscaled."""
        name = f"tailscale_{version}_{arch}"
        archive = tar_gz({f"{name}/{path.name}": path.read_bytes() for path in programs})
        self.files["/?mode=json"] = json.dumps({"TarballsVersion": version}).encode()
        self.files[f"/{name}.tgz"] = archive
        self.files[f"/{name}.tgz.sha256"] = hashlib.sha256(archive).hexdigest().encode()

    def archive(self, files):
        """Add an archive of `files` (name -> path); return its URL and checksum."""
        data = tar_gz({name: path.read_bytes() for name, path in files.items()})
        self.files["/tailchain.tgz"] = data
        return f"{self.url}/tailchain.tgz", hashlib.sha256(data).hexdigest()


def tar_gz(files):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


@contextmanager
def mirror():
    closed = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            shelf.asked.append(self.path)
            if self.path in shelf.held:
                closed.wait()
                return
            content = shelf.files.get(self.path)
            self.send_response(404 if content is None else 200)
            content = content or b""
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if self.path in shelf.cut else content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shelf = Mirror(server.server_port)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield shelf
        finally:
            closed.set()
            server.shutdown()
