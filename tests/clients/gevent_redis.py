"""gevent_redis.py PORT COUNT: COUNT greenlets of redis-py, each with a client of its own; prints what INCR came to."""

from gevent import monkey

monkey.patch_all()

import sys  # noqa: E402

import gevent  # noqa: E402
import redis  # noqa: E402


def one(port):
    return redis.Redis(host="127.0.0.1", port=port, socket_timeout=90).incr("gevent")


port, count = int(sys.argv[1]), int(sys.argv[2])
redis_jobs = [gevent.spawn(one, port) for _ in range(count)]
gevent.joinall(redis_jobs, raise_error=True)
print(sorted(job.value for job in redis_jobs) == list(range(1, count + 1)))
