"""gevent's own tests, which its wheel ships, and CPython's network tests as gevent patches them (from its sdist)."""

from pathlib import Path

from . import fetch as get
from .unit import LAUNCHER, Unit, names

AGENT = Path(__file__).with_name("agents") / "run_unittest.py"

MODULES = names("""
test__ares_timeout test__backdoor test__close_backend_fd test__core_fork test__example_echoserver
test__example_portforwarder test__example_webproxy test__example_wsgiserver test__example_wsgiserver_ssl test__examples
test__getaddrinfo_import test__greenio test__issue230 test__issue600 test__issue607 test__issue639 test__iwait
test__makefile_ref test__monkey test__monkey_select test__monkey_selectors test__nondefaultloop test__os test__pool
test__pywsgi test__real_greenlet test__select test__selectors test__server test__server_pywsgi test__socket
test__socket_close test__socket_errors test__socket_ex test__socket_send_memoryview test__socket_ssl
test__socket_timeout test__socketpair test__ssl test__subprocess test__subprocess_poll test__systemerror
test__threading_2 test__timeout
""")

# CPython's, patched.
GREEN = names("""
test_asyncore test_ftplib test_httplib test_select test_selectors test_smtpd test_socket test_ssl test_wsgiref
""")

# Without this gevent's tests would look up names of the internet.
ENVIRONMENT = {"GEVENTTEST_USE_RESOURCES": "none", "GEVENT_RESOLVER": "thread"}


def fetch():
    get.python()
    get.sdist("gevent", "src/greentest")


def units(short=False):
    python = get.python()
    for name in MODULES:
        yield Unit("gevent", name, _words(python, f"main:gevent.tests.{name}"), "__main__.", environment=ENVIRONMENT)
    directory = get.sdist("gevent") / "src" / "greentest" / _version(python)
    for name in GREEN:
        if (directory / f"{name}.py").exists():
            words = _words(python, f"green:{name}.py")
            yield Unit("gevent", f"green-{name}", words, "__main__.", directory, environment=ENVIRONMENT)


def _words(python, what):
    return lambda *files: [LAUNCHER, python, AGENT, *files, what]


def _version(python):
    return next(python.parent.parent.glob("lib/python3.*")).name.removeprefix("python")
