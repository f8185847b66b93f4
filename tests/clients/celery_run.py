"""celery_run.py PORT POOL COUNT: a worker with the pool POOL, and COUNT tasks for it; prints the sum of the results."""

import os
import subprocess
import sys
from pathlib import Path

os.environ["CELERY_REDIS_PORT"] = sys.argv[1]
pool, count = sys.argv[2], int(sys.argv[3])

from celery_tasks import square  # noqa: E402  (it reads the environment)

words = ["worker", "--pool", pool, "--concurrency", "4", "--without-mingle", "--without-gossip", "--loglevel", "ERROR"]
worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "--app", "celery_tasks", *words],
    cwd=Path(__file__).parent,
    stdout=sys.stderr,
)
try:
    results = [square.delay(number) for number in range(count)]
    print(sum(result.get(timeout=60) for result in results))
finally:
    worker.terminate()
print("worker ended with", worker.wait(timeout=60))
