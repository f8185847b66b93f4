"""A Celery application whose broker and result store are the Redis at port CELERY_REDIS_PORT of loopback."""

import os

from celery import Celery

url = f"redis://127.0.0.1:{os.environ['CELERY_REDIS_PORT']}/1"
app = Celery("celery_tasks", broker=url, backend=url)
app.conf.update(broker_connection_retry_on_startup=True, worker_hijack_root_logger=False)


@app.task
def square(number):
    return number * number
