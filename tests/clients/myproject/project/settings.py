"""A Django project with a worker. `databases` is the code of docs/heroku.md, put here by the test."""

from .databases import DATABASES

__all__ = ["DATABASES"]

ALLOWED_HOSTS = ["*"]
ASGI_APPLICATION = "myproject.project.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth"]
ROOT_URLCONF = "myproject.project.urls"
SECRET_KEY = "only for tests"
