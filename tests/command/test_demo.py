"""`tailchain demo` shows unmodified curl fetching a name that only the proxy knows."""

from support import paths
from support.need import need
from support.run import run_under


def test_the_demo_shows_the_page_and_the_hop():
    need("curl")
    result = run_under(paths.COMMAND, ["demo"], via="bare").ok()
    said = result.out + result.err
    assert '<a href="https://hello.ts.net">Found</a>.' in said
    assert "hello.ts.net:80" in said
