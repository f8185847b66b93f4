"""Runs several contenders alternately, and makes table cells of the results."""

import signal
import statistics
import subprocess
from collections import defaultdict
from dataclasses import asdict, dataclass, field

from support.run import clean_environment


class CannotDo(Exception):
    """A contender cannot do this job; the text says why, in a few words for a table cell."""


@dataclass
class Cell:
    """The result of one contender in one row: figures of several runs, or the reason why there are none."""

    values: list = field(default_factory=list)
    reason: str = ""

    @property
    def median(self):
        return statistics.median(self.values) if self.values else None

    @property
    def upper_quartile(self):
        return statistics.quantiles(self.values, n=4)[2] if len(self.values) > 1 else self.median

    @property
    def least(self):
        return min(self.values, default=None)

    @property
    def most(self):
        return max(self.values, default=None)


@dataclass
class Row:
    key: str
    title: str
    unit: str
    cells: dict  # contender's name -> Cell
    more_is_better: bool = False

    def median(self, name):
        """The median of a contender, or None where it has no figure."""
        return self.cells[name].median if name in self.cells else None

    def ratio(self, name, to):
        """The ratio of `name`'s figure to that of `to`, or None. Runs of the same round are compared: they had the same
        load."""
        one, other = (self.cells.get(each, Cell()).values for each in [name, to])
        if not one or not other or 0 in other:
            return None
        if len(one) != len(other):
            return statistics.median(one) / statistics.median(other)
        return statistics.median(mine / theirs for mine, theirs in zip(one, other, strict=True))

    def as_json(self):
        cells = {
            name: {"median": cell.median, "least": cell.least, "most": cell.most, **asdict(cell)}
            for name, cell in self.cells.items()
        }
        return {"key": self.key, "title": self.title, "unit": self.unit, "cells": cells}


def alternate(contenders, rounds, run):
    """`run(contender)` returns a dict of figures, or raises CannotDo. Contenders alternate, so that a slow minute of
    the machine affects all of them, and every other round is in reverse order, so that none is always later. Returns
    {figure: {contender's name: Cell}}."""
    reasons = {}
    figures = defaultdict(lambda: {name: Cell(reason=reason) for name, reason in reasons.items()})
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            if contender.name in reasons:
                continue
            try:
                told = run(contender)
            except CannotDo as reason:
                reasons[contender.name] = str(reason)
                continue
            for figure, value in told.items():
                figures[figure].setdefault(contender.name, Cell()).values.append(value)
    for cells in figures.values():
        for name, reason in reasons.items():
            cells[name] = Cell(reason=reason)
    return figures


def alternate_one(contenders, rounds, run):
    """As `alternate`, with a single figure from `run`. Returns {contender's name: Cell}."""
    return alternate(contenders, rounds, lambda contender: {"only": run(contender)})["only"]


def run(words, environment, timeout=120):
    """The standard output of a command that must succeed. If it fails or hangs, it cannot do the job."""
    words = [str(word) for word in words]
    try:
        done = subprocess.run(
            words,
            env=clean_environment(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
    except subprocess.TimeoutExpired:
        raise CannotDo(f"hangs for {timeout} s") from None
    if done.returncode < 0:
        raise CannotDo(f"dies of {signal.Signals(-done.returncode).name}")
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit {done.returncode}"]
        raise CannotDo(f"fails: {lines[-1][:120]}")
    return done.stdout


def numbers(output):
    return [float(word) for word in output.split()]
