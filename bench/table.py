"""The results as text for a terminal."""

from .contenders import BARE, HAND_WRITTEN

WIDTH = 50
COLUMN = 21


def reference(row):
    """The contender that the others are compared with: the hand-written client, or else the bare program."""
    for name in [HAND_WRITTEN, BARE]:
        if row.median(name):
            return name
    return None


def shown(value):
    """Such a measurement has no more than three significant figures."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def lines(rows, names):
    yield f"{'':{WIDTH}}{'':6}" + "".join(f"{name:>{COLUMN}}" for name in names)
    notes = []
    for row in rows:
        against = reference(row)
        words = [f"{row.title:{WIDTH}}{row.unit:>6}"]
        for name in names:
            words.append(f"{_cell(row, name, against, notes):>{COLUMN}}")
        yield "".join(words)
    yield ""
    yield "(xN): times the hand-written client, or else the bare program."
    for number, note in enumerate(notes, 1):
        yield f"[{number}] {note}"


def _cell(row, name, against, notes):
    cell = row.cells.get(name)
    if cell is None:
        return "-"
    if not cell.values:
        if cell.reason not in notes:
            notes.append(cell.reason)
        return f"[{notes.index(cell.reason) + 1}]"
    ratio = row.ratio(name, against) if against and against != name else None
    return shown(cell.median) + (f" (x{ratio:.2f})" if ratio is not None else "")


def goal_lines(goals):
    for goal in goals:
        yield f"{'met   ' if goal.met else 'MISSED'}  {goal.text}: {goal.reached}"
