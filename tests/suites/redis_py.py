"""redis-py's tests, from its sdist, against the installed package and a redis-server."""

from . import fetch as get
from .unit import names
from .with_pytest import unit

# The others need a cluster, sentinels or modules of Redis.
FILES = names("""
test_cache test_commands test_connect test_connection test_connection_pool test_credentials test_encoding test_function
test_helpers test_lock test_max_connections_error test_monitor test_multiprocessing test_pipeline test_pubsub test_retry
test_scripting
""")

ASYNCIO = names("""
test_commands test_connect test_connection test_connection_pool test_credentials test_cwe_404 test_encoding test_hash
test_lock test_monitor test_pipeline test_pubsub test_retry test_scripting
""")


def fetch():
    get.sdist("redis", "tests", "pyproject.toml")


def units(short=False):
    directory = get.sdist("redis")
    options = ["--redis-url=redis://localhost:{redis}/0", "-m", "not redismod and not onlycluster and not replica"]
    for file in [*(f"tests/{name}.py" for name in FILES), *(f"tests/test_asyncio/{name}.py" for name in ASYNCIO)]:
        if (directory / file).exists():
            yield unit("redis", directory, file, options, services=("redis",))
