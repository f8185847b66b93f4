"""gevent_postgres.py PORT COUNT: COUNT greenlets of psycopg2 with psycogreen; prints how many backends answered."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402
import psycopg2  # noqa: E402
from psycogreen.gevent import patch_psycopg  # noqa: E402

patch_psycopg()


def one(port):
    connection = psycopg2.connect(host="127.0.0.1", port=port, user="postgres", sslmode="disable")
    cursor = connection.cursor()
    cursor.execute("select pg_backend_pid()")
    # The connection lives until all have answered: a backend's number may be used again.
    return connection, cursor.fetchone()[0]


port, count = int(sys.argv[1]), int(sys.argv[2])
jobs = [gevent.spawn(one, port) for _ in range(count)]
gevent.joinall(jobs, raise_error=True)
print(len({job.value[1] for job in jobs}))
