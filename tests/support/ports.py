"""Ports of loopback with a known behaviour, all picked by the kernel."""

import socket
from contextlib import contextmanager


def free_port(host="127.0.0.1"):
    """A port that was free a moment ago, for daemons that need a number. Callers retry when they lose the race."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return probe.getsockname()[1]


@contextmanager
def refusing_port(host="127.0.0.1"):
    """A port that refuses TCP: bound, so that no other process gets it, but not listening."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as held:
        held.bind((host, 0))
        yield held.getsockname()[1]


@contextmanager
def deaf_port(host="127.0.0.1"):
    """A port that never answers: it listens with a full backlog, so the kernel drops each further SYN."""
    with socket.socket() as listener:
        listener.bind((host, 0))
        listener.listen(0)
        fillers = []
        try:
            # A backlog of 0 holds one connection; later ones stay in SYN-SENT.
            for _ in range(4):
                filler = socket.socket()
                filler.setblocking(False)
                filler.connect_ex(listener.getsockname())
                fillers.append(filler)
            yield listener.getsockname()[1]
        finally:
            for filler in fillers:
                filler.close()
