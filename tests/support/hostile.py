"""A proxy that speaks its protocol correctly up to one reply, and then does something else with that reply.

An act is a function of (connection, answer): it may send what it likes. When it returns, the conversation goes on as
if the answer had been sent; when it raises Misbehaved, the conversation is over.
"""

import socket
import struct
import time

from .proxy import CLOSE, RESET, SILENCE, Misbehaved, Proxy

HALF_CLOSE = "half-close"


class HostileProxy(Proxy):
    """`acts`: "greeting", "auth", "request" -> act, or several acts that are done in turn."""

    def __init__(self, acts, **options):
        self.acts = acts
        super().__init__(**options)

    def answer(self, connection, stage, data):
        act = self.acts.get(stage)
        if act is None:
            connection.sendall(data)
        else:
            act(connection, data)


def end(connection, how):
    """End the conversation, or send nothing more as long as the client stays."""
    if how == RESET:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    elif how != CLOSE:
        assert how in (SILENCE, HALF_CLOSE), how
        if how == HALF_CLOSE:
            connection.shutdown(socket.SHUT_WR)
        while connection.recv(4096):
            pass
    raise Misbehaved


def cut(length, how):
    """Only the first bytes of the reply."""

    def act(connection, answer):
        connection.sendall(answer[:length])
        end(connection, how)

    return act


def instead(data, how):
    """Other bytes instead of the reply."""

    def act(connection, _):
        connection.sendall(data)
        end(connection, how)

    return act


def endless(first, more, pause):
    """An endless reply: `more` again and again, until the client closes."""

    def act(connection, _):
        connection.sendall(first)
        while True:
            time.sleep(pause)
            connection.sendall(more)

    return act


def in_pieces(size, pause):
    """The correct reply, piece by piece."""

    def act(connection, answer):
        for start in range(0, len(answer), size):
            connection.sendall(answer[start : start + size])
            time.sleep(pause)

    return act


def changed(change):
    """The correct reply, modified by `change`."""
    return lambda connection, answer: connection.sendall(change(answer))


def half_closed(connection, answer):
    """The correct reply, and then end of file in this direction."""
    connection.sendall(answer)
    connection.shutdown(socket.SHUT_WR)
