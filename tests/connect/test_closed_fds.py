"""Fds of pending connects that are closed in ways that no hook sees, or while a thread waits for them."""

import platform

import pytest

from support.proxy import SILENCE, Mood
from support.run import run_under


@pytest.fixture
def python(conf, make_proxy):
    """python(code): run under the library, with a proxy that never answers; `dial()` begins a connect."""

    def run(code, config=None):
        config = config or conf([make_proxy(Mood(instead={"greeting": SILENCE}))], "tcp_read_time_out 60000")
        begin = "import ctypes, errno, os, socket, threading\n\ndef dial():\n    s = socket.socket()\n"
        begin += "    s.setblocking(False)\n    return s, s.connect_ex(('10.1.2.3', 80))\n\n"
        return run_under("python3", ["-c", begin + code], conf=config, via="preload", timeout=60).ok().out

    return run


@pytest.mark.parametrize("close", ["os.close(s.detach())", "libc.syscall(CLOSE, s.detach())"])
def test_a_closed_fd_is_a_new_socket_s_at_once(python, close):
    number = {"x86_64": 3, "aarch64": 57}[platform.machine()]
    code = f"""
libc, CLOSE = ctypes.CDLL(None), {number}
for _ in range(50):
    s, error = dial()
    before = s.fileno()
    {close}
    s, error = dial()
    assert (s.fileno(), error) == (before, errno.EINPROGRESS), (s.fileno(), before, errno.errorcode[error])
    s.close()
print("fine")
"""
    assert python(code) == "fine\n"


def test_one_who_waits_for_a_connect_whose_fd_is_closed_waits_until_its_end(python, conf, make_proxy):
    """As in the kernel, where the connect continues."""
    code = """
s, error = dial()
s.setblocking(True)
address = socket.AF_INET.to_bytes(2, "little") + (80).to_bytes(2, "big") + socket.inet_aton("10.1.2.3") + bytes(8)
waiter = threading.Thread(target=ctypes.CDLL(None).connect, args=(s.fileno(), address, len(address)))
waiter.start()
waiter.join(0.5)
assert waiter.is_alive(), "it did not wait"
os.close(s.detach())
waiter.join(0.2)
print(waiter.is_alive())
waiter.join()
print("woken")
"""
    config = conf([make_proxy(Mood(instead={"greeting": SILENCE}))], "tcp_read_time_out 5000")
    assert python(code, config) == "True\nwoken\n"


def test_a_connect_that_fails_at_once_is_in_progress_first_and_leaves_the_socket_as_it_was(python, conf, tmp_path):
    code = """
s, error = dial()
family = s.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN)
print(errno.errorcode[error], family == socket.AF_INET, errno.errorcode[s.connect_ex(("10.1.2.3", 80))])
"""
    config = conf([f"socks5 unix:{tmp_path}/nobody.sock"])
    assert python(code, config) == "EINPROGRESS True ECONNREFUSED\n"
