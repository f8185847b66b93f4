"""Code in the documents does what the text beside it says."""

import pytest

from support.documents import python_in

BOTH = {"DATABASE_URL": "postgres://public/app", "TAILSCALE_DATABASE_URL": "postgres://db/app"}


@pytest.mark.parametrize(
    "environment, host",
    [
        ({**BOTH, "TAILSCALE_AUTH_KEY": "tskey-x"}, "db"),
        (BOTH, "public"),
        ({"DATABASE_URL": "postgres://public/app", "TAILSCALE_AUTH_KEY": "tskey-x"}, "public"),
    ],
)
def test_the_database_is_in_the_tailnet_where_there_is_one(monkeypatch, environment, host):
    for name in [*BOTH, "TAILSCALE_AUTH_KEY"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    names = {}
    exec(python_in("docs/heroku.md"), names)
    assert names["DATABASES"]["default"]["HOST"] == host
