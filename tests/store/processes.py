"""Starting other processes on a database."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stepwell.ports.store import Store

ROOT = Path(__file__).parents[2]


@contextmanager
def child(deed: str, place: Path | str, *, powerless: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A process that does one of the deeds of `tests.store.child`; killed at the end.

    Args:
        place: a file, or the URL of a store.
        powerless: not as root, for whom no permission counts.
    """
    process = subprocess.Popen(
        [sys.executable, "-B", "-m", "tests.store.child", deed, str(place), *(["powerless"] if powerless else [])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        said_by(process).close()


def said_by(process: subprocess.Popen[str]) -> IO[str]:
    """What the process says."""
    assert process.stdout is not None, "the output of a child is read"
    return process.stdout


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that the process says."""
    return said_by(process).readline().strip()


def acknowledged_before_kills(place: Path | str, *, kills: int, most: int) -> dict[tuple[str, str], int]:
    """What processes that append to two executions at a time were told is stored, each until it is killed.

    Args:
        most: so many rows, at the most, are waited for before a process is killed.

    Returns:
        The number of the last row, by the two executions.
    """
    chance = random.Random(7)
    acknowledged: dict[tuple[str, str], int] = {}
    for _ in range(kills):
        with child("append", place) as process:
            _, first, second = line_of(process).split()
            for _ in range(chance.randrange(1, most)):
                acknowledged[first, second] = int(line_of(process))
            process.kill()
    return acknowledged


async def assert_nothing_lost(store: Store, acknowledged: dict[tuple[str, str], int]) -> None:
    """All that was acknowledged is in the store, of every commit everything or nothing, and the store is sound."""
    await store.open()
    for names, seq in acknowledged.items():
        here, there = [[row.seq for row in await store.history(name, limit=100_000)] for name in names]
        assert here == there, "both rows of a commit are there, or none"
        assert here == list(range(1, len(here) + 1))
        assert len(here) >= seq
    assert [problem for problem in await store.check() if "definition" not in problem] == []
    await store.close()
