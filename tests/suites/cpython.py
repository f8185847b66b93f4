"""CPython's own tests, as the distribution packages them (tests/install-tools cpython-tests)."""

import subprocess
from pathlib import Path

from .unit import LAUNCHER, Unit, names

AGENT = Path(__file__).with_name("agents") / "run_unittest.py"

MODULES = names("""
test_socket test_ssl test_asyncore test_asynchat test_epoll test_ftplib test_httplib test_httpservers test_imaplib
test_nntplib test_poll test_poplib test_select test_selectors test_signal test_smtpd test_smtplib
test_socketserver test_telnetlib test_timeout test_urllib test_urllib2 test_urllib2_localnet
test_wsgiref test_xmlrpc test_docxmlrpc test_logging test_subprocess test_os test_posix
test_threading test_fork1 test_wait4 test_openpty test_eintr test_audit test_fcntl
""")

# test_asyncio is a package of modules.
ASYNCIO = names("""
test_base_events test_buffered_proto test_events test_runners test_selector_events test_sendfile test_server
test_sock_lowlevel test_ssl test_sslproto test_streams test_subprocess test_timeouts test_transports test_unix_events
""")

# They require the resource "network", and loopback suffices for most of their tests.
LOCAL_NETWORK = ["test_socketserver", "test_timeout"]

# Half a minute, for `make test`: the tests that connect most and wait least.
SHORT = names("""
test_epoll test_asyncore test_poplib test_telnetlib test_httplib test_smtplib test_urllib2_localnet test_wsgiref
test_asyncio.test_sock_lowlevel test_asyncio.test_server test_asyncio.test_streams
""")
SHORT_SOCKET = names("""
BasicTCPTest NonBlockingTCPTests TCPCloserTest FileObjectClassTestCase SmallBufferedFileObjectClassTestCase
NetworkConnectionNoServer SendmsgTCPTest RecvMsgTCPTest RecvIntoTCPTest BufferIOTest TestExceptions InheritanceTest
""")

# The distribution's, to which expected.toml applies.
PYTHON = "/usr/bin/python3"


def fetch():
    if subprocess.run([PYTHON, "-c", "import test.test_socket"], capture_output=True).returncode:
        raise FileNotFoundError(f"{PYTHON} has no tests: tests/install-tools cpython-tests")


def units(short=False):
    for name in SHORT if short else [*MODULES, *(f"test_asyncio.{name}" for name in ASYNCIO)]:
        kind = "network:" if name in LOCAL_NETWORK else ""
        yield _unit(name, f"{kind}test.{name}")
    if short:
        yield _unit("test_socket", ",".join(f"test.test_socket.{name}" for name in SHORT_SOCKET))


def _unit(name, what):
    return Unit("cpython", name, lambda *files: [LAUNCHER, PYTHON, AGENT, *files, what], f"test.{name}.")
