"""aiohttp's tests, from its sdist, against the installed package."""

from . import fetch as get
from .unit import names
from .with_pytest import unit

# The files whose tests connect.
FILES = names("""
test_client_functional test_client_middleware test_client_middleware_digest_auth test_client_session test_client_ws
test_client_ws_functional test_connector test_proxy test_proxy_functional test_resolver test_run_app test_test_utils
test_web_functional test_web_middleware test_web_runner test_web_sendfile_functional test_web_server
test_web_urldispatcher test_web_websocket_functional test_worker
""")


def fetch():
    get.sdist("aiohttp", "tests", "setup.cfg", "pytest.ini")


def units(short=False):
    directory = get.sdist("aiohttp")
    for name in FILES:
        # Its pytest.ini requires plugins in addopts, so it is not used.
        # Its tests have their own event loops.
        options = ["-p", "no:asyncio", "-o", "addopts=", "-m", "not dev_mode and not autobahn and not internal"]
        yield unit("aiohttp", directory, f"tests/{name}.py", options)
