"""The results of a test bare and proxied. Pure: outcomes in, verdicts out."""

from dataclasses import dataclass, field

ABSENT = "absent"
# How a test failed is not compared: a hang on one side is also a failure.
SAME = {"hung": "failed", "died": "failed"}


@dataclass
class Test:
    """Its outcomes, of the first run and of the repetitions."""

    bare: list = field(default_factory=list)
    proxied: list = field(default_factory=list)
    text: str = ""

    def add(self, bare, proxied):
        """Each is (outcome, text) or None."""
        self.bare.append(_outcome(bare))
        self.proxied.append(_outcome(proxied))
        worse = proxied if self.proxied[-1] == "failed" or not bare else bare
        self.text = worse[1] if worse else ""

    def is_settled(self, listed):
        """Whether it needs no repetition: it is as listed ("always", "sometimes" or None), or it is flaky."""
        if listed == "sometimes":
            return True
        return self.verdict != ("same" if listed else "different")

    @property
    def verdict(self):
        """same, different, or flaky: bare results vary, or a proxied result equals the bare one."""
        bare, proxied = set(self.bare), set(self.proxied)
        if len(bare) > 1:
            return "flaky bare"
        if bare == proxied:
            return "same"
        return "flaky proxied" if bare & proxied else "different"


def _outcome(result):
    return SAME.get(result[0], result[0]) if result else ABSENT


def first(bare, proxied):
    """test id -> Test, from the results of two runs."""
    tests = {}
    for test in [*bare, *(test for test in proxied if test not in bare)]:
        tests[test] = Test()
        tests[test].add(bare.get(test), proxied.get(test))
    return tests


@dataclass
class Judged:
    """A suite's tests against its list."""

    unexpected: list  # different, and not listed
    stale: list  # listed, and the same, or not there
    flaky: dict  # test id -> verdict

    @property
    def good(self):
        return not self.unexpected and not self.stale


def judge(tests, listed):
    """`listed`: test id -> whether it differs "always" or "sometimes"."""
    verdicts = {test: seen.verdict for test, seen in tests.items()}
    return Judged(
        unexpected=[test for test, verdict in verdicts.items() if verdict == "different" and test not in listed],
        stale=[test for test, when in listed.items() if when == "always" and verdicts.get(test, "same") == "same"],
        flaky={test: verdict for test, verdict in verdicts.items() if verdict.startswith("flaky")},
    )
