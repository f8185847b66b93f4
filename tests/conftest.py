"""Fixtures. A fixture that starts a daemon lasts for the session; one that records lasts for one test."""

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

import pytest

from support import daemons, paths, web
from support.config import Configs
from support.fake_tailscale import FakeTailscale
from support.island import Island
from support.ports import deaf_port, refusing_port
from support.proxy import Proxy
from support.server import EchoServer
from support.tailnet import app_and_database


def pytest_sessionstart():
    """If the preload library is missing, ld.so only warns: every program would run bare, unnoticed."""
    for path in [paths.LAUNCHER, paths.LIBRARY]:
        if not path.exists():
            pytest.exit(f"{path} does not exist: `make test` builds it", returncode=2)


def pytest_itemcollected(item):
    """`-m tailnet`: all tests that need a real tailnet, in any file and through any fixtures."""
    if "tailnet" in item.fixturenames:
        item.add_marker("tailnet")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """With several workers (`-n`) one of them runs all tests of a file, for their fixtures, and one runs all tests with
    the real tailnet, the most expensive fixture."""
    for item in items:
        group = "tailnet" if item.get_closest_marker("tailnet") else item.path.name
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Under TAILCHAIN_NO_SKIP=1 nothing may be skipped: what did not run is not known to work."""
    report = yield
    if report.skipped and os.environ.get("TAILCHAIN_NO_SKIP") == "1":
        report.outcome = "failed"
        report.longrepr = f"skipped, and TAILCHAIN_NO_SKIP=1 forbids it: {call.excinfo.value}"
    return report


@pytest.fixture(scope="session", autouse=True)
def own_shared_table():
    """Processes of one user share names and the turn of round robin; keep another run of the tests out of it."""
    with tempfile.TemporaryDirectory(prefix="tailchain-run-") as path, pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", path)
        yield


@pytest.fixture
def conf(tmp_path):
    """conf(proxies, *directives, chain=...) writes a config and returns its path."""
    return Configs(tmp_path)


@pytest.fixture
def make_proxy():
    """make_proxy(mood, …): proxies that are closed at the end of the test."""
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(Proxy(*args, **options))


@pytest.fixture
def proxy(make_proxy):
    return make_proxy()


@pytest.fixture
def make_echo():
    with ExitStack() as stack:
        yield lambda *args, **options: stack.enter_context(EchoServer(*args, **options))


@pytest.fixture
def echo(make_echo):
    return make_echo()


@pytest.fixture
def refusing():
    with refusing_port() as port:
        yield port


@pytest.fixture
def deaf():
    with deaf_port() as port:
        yield port


@pytest.fixture
def make_island(tmp_path):
    """make_island(hosts): a network of its own, with this text as /etc/hosts."""

    def make(*args, **options):
        directory = tmp_path / "island"
        directory.mkdir()
        return Island(directory, *args, **options)

    return make


@pytest.fixture
def island(make_island):
    return make_island()


@pytest.fixture
def tailscale(tmp_path):
    return FakeTailscale(tmp_path)


@pytest.fixture(scope="session")
def make_directory():
    """make_directory(name): a directory for a daemon, accessible to others, since daemons drop privileges. Not below
    pytest's own temporary directory, which each new pytest makes inaccessible to others."""
    with ExitStack() as stack:

        def make(name):
            path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"tailchain-{name}-")))
            path.chmod(0o755)
            return path

        yield make


def _daemon(name):
    @pytest.fixture(scope="session", name=name)
    def fixture(make_directory):
        with getattr(daemons, name)(make_directory(name)) as running:
            yield running

    return fixture


postgres = _daemon("postgres")
redis = _daemon("redis")
sshd = _daemon("sshd")
microsocks = _daemon("microsocks")
danted = _daemon("danted")
embedded = _daemon("embedded")


@pytest.fixture(scope="session")
def tailnet(make_directory):
    """Two machines of a real tailnet, `app` and `db`."""
    with app_and_database(make_directory) as running:
        yield running


@pytest.fixture(scope="session")
def web_port(make_directory):
    """An HTTP server with a page, and a git repository at /repo.git."""
    root = make_directory("web")
    web.git_repository(root)
    with web.web_server(root) as port:
        yield port
