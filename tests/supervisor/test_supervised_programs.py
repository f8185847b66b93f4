"""Real programs that cannot be preloaded: Go, with its database drivers and common tools, static busybox, a static Rust
program. Each time the recording proxy's log must show the connection."""

import getpass
import http.server
import json
import ssl
import subprocess
import threading
import zipfile
from contextlib import contextmanager

import pytest

from support import clients
from support.daemon import daemon
from support.need import need
from support.proxy import Mood
from support.run import run_under
from support.web import PAGE, web_server


@pytest.fixture
def names(make_proxy):
    """names({"db.example": port}): a proxy that is the only one to know these names."""
    return lambda known, mood=None: make_proxy(mood, names={name: ("127.0.0.1", port) for name, port in known.items()})


def drivers(*args, conf, **options):
    return run_under(clients.go_module("go"), args, conf=conf, **options)


# -- Go's drivers, with a name that only the proxy knows


def test_pgx(postgres, conf, names):
    proxy = names({"db.example": postgres})
    assert drivers("pgx", "db.example", 5432, conf=conf([proxy], "proxy_dns")).ok().out == "42\n"
    assert set(proxy.targets) == {("db.example", 5432)}


@pytest.mark.parametrize("pool", ["pool", "sql"])
def test_pools_of_postgres(postgres, conf, names, pool):
    """All connections are dialled at once, and each is used."""
    proxy = names({"db.example": postgres}, Mood(delay=0.05))
    assert drivers(pool, "db.example", 5432, 30, conf=conf([proxy], "proxy_dns", "quiet_mode")).ok().out == "30 42\n"
    assert set(proxy.targets) == {("db.example", 5432)} and len(proxy.targets) >= 30


def test_net_http(web_port, conf, names):
    proxy = names({"www.example": web_port})
    result = run_under(clients.go("go_dial"), ["get", "http://www.example/"], conf=conf([proxy], "proxy_dns")).ok()
    assert result.out.encode() == PAGE
    assert proxy.targets == [("www.example", 80)]


def test_go_redis(redis, conf, names):
    proxy = names({"cache.example": redis}, Mood(delay=0.05))
    config = conf([proxy], "proxy_dns", "quiet_mode")
    assert drivers("redis", "cache.example", 6379, 30, conf=config).ok().out == "30 42\n"
    assert set(proxy.targets) == {("cache.example", 6379)} and len(proxy.targets) >= 30


def test_a_driver_tells_why_it_cannot_connect(conf, make_proxy):
    result = drivers("pgx", "192.0.2.1", 5432, conf=conf([make_proxy(Mood(reply=5))]))
    assert result.code == 1 and "connect: connection refused" in result.out


@pytest.mark.tailnet
@pytest.mark.parametrize("name", ["db", "db.example.ts.net"])
def test_pgx_on_a_tailnet(postgres, tailnet, conf, name):
    config = conf([f"socks5 127.0.0.1 {tailnet.app.socks_port}"], "proxy_dns", "proxy_retry 5")
    assert drivers("pgx", name, postgres, conf=config).ok().out == "42\n"


# -- Go programs of Debian


@pytest.fixture(scope="session")
def webdav(make_directory):
    """`rclone serve webdav`, with a file; gives the port."""
    root = make_directory("webdav")
    (root / "served").mkdir()
    (root / "served" / "hello.txt").write_text("through the proxy\n")
    words = [need("rclone"), "serve", "webdav", root / "served", "--config", "/dev/null", "--addr"]
    with daemon(lambda port: [*words, f"127.0.0.1:{port}"], root) as port:
        yield port


@pytest.fixture(scope="session")
def restic_server(make_directory):
    root = make_directory("restic-server")
    words = [need("rclone"), "serve", "restic", root / "served", "--config", "/dev/null", "--addr"]
    with daemon(lambda port: [*words, f"127.0.0.1:{port}"], root) as port:
        yield port


def rclone(*words, conf):
    return run_under(need("rclone"), ["--config", "/dev/null", "--retries", "1", *words], conf=conf)


def test_rclone_by_http(web_port, conf, names):
    proxy = names({"files.example": web_port})
    words = ["copyurl", "http://files.example/", "--stdout"]
    assert "Found" in rclone(*words, conf=conf([proxy], "proxy_dns")).ok().out
    assert set(proxy.targets) == {("files.example", 80)}


def test_rclone_by_webdav(webdav, conf, names, tmp_path):
    """Several files at once, both ways."""
    proxy = names({"dav.example": webdav})
    sent, fetched = tmp_path / "sent", tmp_path / "fetched"
    sent.mkdir()
    for number in range(8):
        (sent / f"{number}.txt").write_text(str(number) * 100_000)
    config, remote = conf([proxy], "proxy_dns"), ":webdav:copied"
    there = ["--webdav-url", "http://dav.example/", "--webdav-vendor", "other"]
    rclone("copy", sent, remote, *there, conf=config).ok()
    rclone("copy", remote, fetched, *there, conf=config).ok()
    assert sorted(path.read_text() for path in fetched.iterdir()) == [str(number) * 100_000 for number in range(8)]
    assert set(proxy.targets) == {("dav.example", 80)}


def test_rclone_by_sftp(sshd, conf, names, tmp_path):
    proxy = names({"files.example": sshd.port})
    key = sshd.options[sshd.options.index("-i") + 1]
    (tmp_path / "sent").write_text("by ssh\n")
    there = ["--sftp-host", "files.example", "--sftp-key-file", key, "--sftp-user", getpass.getuser()]
    words = ["copyto", tmp_path / "sent", f":sftp:{tmp_path}/received", *there]
    rclone(*words, conf=conf([proxy], "proxy_dns")).ok()
    assert (tmp_path / "received").read_text() == "by ssh\n"
    assert set(proxy.targets) == {("files.example", 22)}


def test_rclone_says_why(conf, make_proxy):
    words = ["lsf", ":http:", "--http-url", "http://192.0.2.1/", "--low-level-retries", "1"]
    result = rclone(*words, conf=conf([make_proxy(Mood(reply=3))]))
    assert result.code != 0 and "network is unreachable" in result.err


def test_restic(restic_server, conf, names, tmp_path):
    proxy = names({"backup.example": restic_server})
    (tmp_path / "kept").write_text("a file\n")
    environment = {"RESTIC_PASSWORD": "secret", "RESTIC_REPOSITORY": "rest:http://backup.example/", "HOME": tmp_path}

    def restic(*words):
        words = ["--no-cache", *words]
        return run_under(need("restic"), words, conf=conf([proxy], "proxy_dns", "quiet_mode"), env=environment).ok()

    restic("init")
    restic("backup", tmp_path / "kept")
    restic("restore", "latest", "--target", tmp_path / "restored")
    assert (tmp_path / "restored" / tmp_path.relative_to("/") / "kept").read_text() == "a file\n"
    assert set(proxy.targets) == {("backup.example", 80)}


class _Api(http.server.BaseHTTPRequestHandler):
    """What `gh api` asks of a GitHub of one's own."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        body = json.dumps({"path": self.path, "token": self.headers["Authorization"]}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def tls_server(name, directory):
    """An HTTPS server for that name; gives the port and the certificate, which is its own authority."""
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    words += ["-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", key, "-out", certificate]
    subprocess.run([need("openssl"), *words], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Api) as server:
        server.daemon_threads = True
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_address[1], certificate
        server.shutdown()


def test_gh(conf, names, tmp_path):
    program = need("gh")
    with tls_server("git.example", tmp_path) as (port, certificate):
        proxy = names({"git.example": port})
        environment = {"GH_HOST": "git.example", "GH_ENTERPRISE_TOKEN": "secret", "SSL_CERT_FILE": certificate,
                       "HOME": tmp_path, "GH_NO_UPDATE_NOTIFIER": "1"}  # fmt: skip
        result = run_under(program, ["api", "user"], conf=conf([proxy], "proxy_dns"), env=environment).ok()
    assert json.loads(result.out) == {"path": "/api/v3/user", "token": "token secret"}
    assert set(proxy.targets) == {("git.example", 443)}


@pytest.fixture
def module_proxy(tmp_path):
    """A Go module as a file tree, as `go help goproxy` describes it; gives the directory."""
    versions = tmp_path / "modules" / "corp.example" / "greeting" / "@v"
    versions.mkdir(parents=True)
    (versions / "list").write_text("v1.0.0\n")
    (versions / "v1.0.0.info").write_text('{"Version":"v1.0.0","Time":"2026-01-02T03:04:05Z"}')
    (versions / "v1.0.0.mod").write_text("module corp.example/greeting\n")
    with zipfile.ZipFile(versions / "v1.0.0.zip", "w") as file:
        file.writestr("corp.example/greeting@v1.0.0/go.mod", "module corp.example/greeting\n")
        file.writestr("corp.example/greeting@v1.0.0/greeting.go", "package greeting\n")
    return tmp_path / "modules"


def test_go_mod_download(module_proxy, conf, names, tmp_path):
    go = need("go")
    project, cache = tmp_path / "project", tmp_path / "cache"
    project.mkdir()
    (project / "go.mod").write_text("module project\n\nrequire corp.example/greeting v1.0.0\n")
    environment = {"GOPROXY": "http://modules.example", "GONOSUMDB": "*", "GONOSUMCHECK": "1", "GOFLAGS": "-modcacherw",
                   "GOMODCACHE": cache, "GOTOOLCHAIN": "local", "GOENV": "off", "GOSUMDB": "off"}  # fmt: skip
    with web_server(module_proxy) as port:
        proxy = names({"modules.example": port})
        words = ["mod", "download", "corp.example/greeting"]
        run_under(go, words, conf=conf([proxy], "proxy_dns"), env=environment, cwd=project).ok()
    assert (cache / "corp.example" / "greeting@v1.0.0" / "greeting.go").exists()
    assert set(proxy.targets) == {("modules.example", 80)}


# -- static programs that are not Go's


def test_a_static_tokio_client(conf, make_proxy, make_echo):
    """Linked statically with musl, as people deploy Rust: many non-blocking connects on one epoll instance."""
    echo, proxy = make_echo(), make_proxy(Mood(delay=0.1))
    program = clients.static_rust("tokio_echo")
    result = run_under(program, [echo.port, 50], conf=conf([proxy], "quiet_mode")).ok()
    assert result.out == "50\n"
    assert proxy.targets == [("127.0.0.1", echo.port)] * 50


@pytest.mark.parametrize("name", ["localhost.example", "127.0.0.1"])
def test_static_busybox_wget(conf, names, web_port, name):
    busybox = clients.static_busybox()
    proxy = names({"localhost.example": web_port})
    words = ["wget", "-q", "-O", "-", f"http://{name}:{web_port}/"]
    assert "Found" in run_under(busybox, words, conf=conf([proxy], "proxy_dns")).ok().out
    assert set(proxy.targets) == {(name, web_port)}
