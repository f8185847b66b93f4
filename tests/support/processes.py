"""What the processes of a tree are."""

from pathlib import Path


def supervisor_of(process):
    """The pid of the supervisor: a child of the program."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    named = [int(pid) for pid in children if Path(f"/proc/{pid}/comm").read_text() == "tailchain\n"]
    assert len(named) == 1, children
    return named[0]
