"""A Django project in one file. Its PostgreSQL is at DATABASE_HOST, DATABASE_PORT. As a program it is manage.py; as a
module it has the ASGI `application`, whose one page says how many permissions the database holds."""

import os
import sys

import django
from django.conf import settings

settings.configure(
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="only for tests",
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"],
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": os.environ["DATABASE_HOST"],
            "PORT": os.environ["DATABASE_PORT"],
            "USER": "postgres",
            "NAME": os.environ.get("DATABASE_NAME", "postgres"),
        }
    },
)
django.setup()

from django.contrib.auth.models import Permission  # noqa: E402  (it reads the settings)
from django.core.asgi import get_asgi_application  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.urls import path  # noqa: E402


async def permissions(request):
    return HttpResponse(str(await Permission.objects.acount()))


urlpatterns = [path("", permissions)]
application = get_asgi_application()

if __name__ == "__main__":
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)
