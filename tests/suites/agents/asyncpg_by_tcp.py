"""A pytest plugin: asyncpg's tests connect to the PostgreSQL that they start at 127.0.0.1, not at its unix socket."""

from asyncpg import cluster

by_socket = cluster.Cluster._connection_addr_from_pidfile


def by_tcp(self):
    found = by_socket(self)
    return found and {**found, "host": "127.0.0.1"}


cluster.Cluster._connection_addr_from_pidfile = by_tcp
