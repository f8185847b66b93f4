"""What a node of the tailnet knows and can reach."""

import json
import socket
import time

from support.tailnet import PATIENCE


def dial(through, host, port):
    """A connection to `host` through the SOCKS5 proxy of a node, or None."""
    client = socket.create_connection(("127.0.0.1", through.socks_port), timeout=60)
    name = host.encode()
    client.sendall(b"\5\1\0")
    assert client.recv(2) == b"\5\0"
    client.sendall(b"\5\1\0\3" + bytes([len(name)]) + name + port.to_bytes(2, "big"))
    reply = client.recv(4, socket.MSG_WAITALL)
    if reply[1] == 0:
        client.recv({1: 6, 4: 18}[reply[3]], socket.MSG_WAITALL)
        return client
    client.close()
    return None


def wait_for_address(node, address):
    """Wait until `node` knows a machine with this address."""
    limit = time.monotonic() + PATIENCE
    while not any(address in peer["TailscaleIPs"] for peer in peers_of(node).values()):
        assert time.monotonic() < limit, f"{node.name} does not hear of {address}"
        time.sleep(0.05)


def peers_of(node):
    return json.loads(node.tailscale("status", "--json").stdout)["Peer"] or {}
