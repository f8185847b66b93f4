"""A network of its own for the benchmark: loopback, and one more address on it.

Other programs of the machine can then not take its ports or fill them with connections in TIME-WAIT. The second address
is there because torsocks sends nothing for 127.0.0.0/8 to a proxy.
"""

import fcntl
import os
import socket
import struct
import sys
from pathlib import Path

TARGET = "198.51.100.1"
INSIDE = "TAILCHAIN_BENCH_ISOLATED"


def command():
    """The words before a command to run in the new network. The user stays the same: PostgreSQL does not run as
    root."""
    user = [] if os.geteuid() == 0 else ["--user", "--map-current-user", "--keep-caps"]
    return ["unshare", "--net", *user]


def enter(module):
    """Run this Python module inside the network, unless it is there already."""
    if os.environ.get(INSIDE) != "1":
        os.environ[INSIDE] = "1"
        os.execvp("unshare", [*command(), sys.executable, "-m", module, *sys.argv[1:]])
    _raise_loopback()
    _add_address("lo:1", TARGET)
    # Each proxied connection leaves two ports in TIME-WAIT; let later ones reuse them.
    _write("ip_local_port_range", "10000 65000")
    _write("tcp_tw_reuse", "1")


def _raise_loopback():
    """As `ip link set lo up`: netdevice(7)."""
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    _netdevice(SIOCSIFFLAGS, struct.pack("16sh22x", b"lo", IFF_UP))


def _add_address(device, address):
    SIOCSIFADDR = 0x8916
    name = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
    _netdevice(SIOCSIFADDR, struct.pack("16s16s8x", device.encode(), name))


def _netdevice(operation, request):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, operation, request)


def _write(setting, value):
    Path("/proc/sys/net/ipv4", setting).write_text(value)
