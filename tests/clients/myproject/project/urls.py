"""One page, which says how many permissions the database holds, and where that is."""

from django.contrib.auth.models import Permission
from django.db import connection
from django.http import HttpResponse
from django.urls import path


async def permissions(request):
    return HttpResponse(f"{await Permission.objects.acount()} {connection.settings_dict['HOST']}")


urlpatterns = [path("", permissions)]
