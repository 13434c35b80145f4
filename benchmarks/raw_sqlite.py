"""What SQLite itself does on this machine and file system: the yardstick for everything the engine stores.

One table, rows of the size of a history row, the same durability (write-ahead log, `synchronous=FULL`), nothing else.
`keyed=True` gives the table the key of the engine's history, for comparison.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

ROW_BYTES = 72
"""Of a history row's events; with its key, number and SQLite's overhead about 90 bytes."""

EXECUTIONS = 1_000
_INSERT = "INSERT INTO raw (execution, seq, events) VALUES (?, ?, ?)"
_WARM_UP = 20


def rows_per_second(
    folder: Path, *, commits: int = 1_000, rows: int = 100, rounds: int = 3, keyed: bool = False
) -> float:
    """How many rows a second are stored, in commits of `rows` rows by `executemany`: the median of several rounds.

    The rows are those of 1,000 executions in turn.

    Args:
        folder: where the database is put; choose the file system that the engine is measured on.
        commits: in each round.
    """
    return statistics.median(_rows_per_second(folder, commits, rows, keyed) for _ in range(rounds))


def commit_seconds(folder: Path, *, commits: int = 500) -> float:
    """How long a commit of a single row takes, in seconds: the median."""
    with _table(folder) as connection:
        return statistics.median(_timed_commit(connection, number) for number in range(commits))


def _rows_per_second(folder: Path, commits: int, rows: int, keyed: bool) -> float:
    with _table(folder, keyed) as connection:
        for commit in range(-_WARM_UP, 0):
            _commit(connection, commit, rows)
        began = time.perf_counter()
        for commit in range(commits):
            _commit(connection, commit, rows)
        return commits * rows / (time.perf_counter() - began)


def _commit(connection: apsw.Connection, commit: int, rows: int) -> None:
    with connection:
        numbers = range(commit * rows, (commit + 1) * rows)
        connection.executemany(
            _INSERT, [(number % EXECUTIONS, number // EXECUTIONS, b"x" * ROW_BYTES) for number in numbers]
        )


def _timed_commit(connection: apsw.Connection, number: int) -> float:
    began = time.perf_counter()
    connection.execute(_INSERT, (number, 1, b"x" * ROW_BYTES))
    return time.perf_counter() - began


@contextmanager
def _table(folder: Path, keyed: bool = False) -> Iterator[apsw.Connection]:
    with tempfile.TemporaryDirectory(dir=folder) as inside:
        connection = apsw.Connection(str(Path(inside) / "raw.db"))
        connection.pragma("journal_mode", "wal")
        connection.pragma("synchronous", "FULL")
        connection.execute("CREATE TABLE raw (number INTEGER PRIMARY KEY, execution INTEGER, seq INTEGER, events BLOB)")
        if keyed:
            connection.execute("CREATE UNIQUE INDEX raw_order ON raw (execution, seq)")
        try:
            yield connection
        finally:
            connection.close()


if __name__ == "__main__":
    print(f"rows a second in commits of 100: {rows_per_second(Path()):,.0f}")
    print(f"one row, one commit: {commit_seconds(Path()) * 1e6:.0f} µs")
