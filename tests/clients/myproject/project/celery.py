"""The worker, whose one task says what the page of `urls` says."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "myproject.project.settings")
app = Celery("project", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])


@app.task(name="permissions")
def permissions():
    # Django is set up by then.
    from django.contrib.auth.models import Permission
    from django.db import connection

    return f"{Permission.objects.count()} {connection.settings_dict['HOST']}"
