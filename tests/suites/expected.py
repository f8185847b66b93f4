"""expected.toml: the known differences, and the reason for each."""

from pathlib import Path

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10, of Ubuntu 22.04.
    import tomli as tomllib

FILE = Path(__file__).with_name("expected.toml")


def load(text=None):
    return tomllib.loads(FILE.read_text() if text is None else text)


def differences(suite, text=None):
    """test id -> "always" or "sometimes"."""
    listed = {}
    for entry in load(text).get(suite, {}).get("difference", []):
        assert entry["why"].strip(), f"{suite}: a difference without a reason"
        for test in entry["tests"]:
            assert test not in listed, f"{suite}: {test} is listed twice"
            listed[test] = entry.get("when", "always")
    return listed


def passes(suite, text=None):
    """How many tests pass, bare and proxied."""
    counts = load(text).get(suite, {}).get("passes", {})
    return counts.get("bare", 0), counts.get("proxied", 0)
