"""A Celery application whose broker and result store are the Redis at CELERY_REDIS_HOST (else loopback),
CELERY_REDIS_PORT."""

import os

from celery import Celery

host = os.environ.get("CELERY_REDIS_HOST", "127.0.0.1")
url = f"redis://{host}:{os.environ['CELERY_REDIS_PORT']}/1"
app = Celery("celery_tasks", broker=url, backend=url)
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task
def square(number):
    return number * number
