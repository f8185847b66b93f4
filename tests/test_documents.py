"""Code in the documents does what the text beside it says."""

import re
import sys
import textwrap
from types import SimpleNamespace

import pytest

from support import paths

BOTH = {"DATABASE_URL": "postgres://public/app", "TAILSCALE_DATABASE_URL": "postgres://db/app"}


def python_in(document):
    [block] = re.findall(r"^ *```python\n(.*?)^ *```$", (paths.ROOT / document).read_text(), re.M | re.S)
    return textwrap.dedent(block)


@pytest.mark.parametrize(
    "environment, url",
    [
        ({**BOTH, "TAILSCALE_AUTH_KEY": "tskey-x"}, "postgres://db/app"),
        (BOTH, "postgres://public/app"),
        ({"DATABASE_URL": "postgres://public/app", "TAILSCALE_AUTH_KEY": "tskey-x"}, "postgres://public/app"),
    ],
)
def test_the_database_is_in_the_tailnet_where_there_is_one(monkeypatch, environment, url):
    monkeypatch.setitem(sys.modules, "dj_database_url", SimpleNamespace(parse=lambda url: {"url": url}))
    for name in [*BOTH, "TAILSCALE_AUTH_KEY"]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    names = {}
    exec(python_in("docs/heroku.md"), names)
    assert names["DATABASES"] == {"default": {"url": url}}
