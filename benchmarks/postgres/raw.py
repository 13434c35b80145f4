"""What PostgreSQL itself does on this machine: rows of the size of a history row, into a table without an index but its
key's, in commits of 100 by `unnest`, on one connection, with the server's defaults of durability."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from benchmarks.raw_sqlite import EXECUTIONS, ROW_BYTES

_TABLE: Final = """
DROP TABLE IF EXISTS raw;
CREATE TABLE raw (number BIGSERIAL PRIMARY KEY, execution BIGINT, seq INTEGER, events BYTEA);
"""
_INSERT: Final = (
    "INSERT INTO raw (execution, seq, events) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::bytea[])"
)


async def rows_per_second(url: str, *, commits: int, rows: int = 100) -> float:
    """How many rows a second are stored."""
    seconds = await _timed(url, commits, rows)
    return commits * rows / sum(seconds)


async def commit_seconds(url: str, *, commits: int) -> float:
    """How long a commit of a single row takes: the median."""
    return statistics.median(await _timed(url, commits, 1))


async def _timed(url: str, commits: int, rows: int) -> list[float]:
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(_TABLE)
        insert = await connection.prepare(_INSERT)
        batches = [_batch(commit, rows) for commit in range(commits)]
        seconds = []
        for batch in batches:
            began = time.perf_counter()
            await insert.fetch(*batch)
            seconds.append(time.perf_counter() - began)
        return seconds
    finally:
        await connection.close()


def _batch(commit: int, rows: int) -> Sequence[Sequence[Any]]:
    numbers = range(commit * rows, (commit + 1) * rows)
    executions = [number % EXECUTIONS for number in numbers]
    return executions, [number // EXECUTIONS for number in numbers], [b"x" * ROW_BYTES] * rows


def main() -> None:
    """On a server of its own."""
    from benchmarks.postgres.cluster import server

    with server() as started:
        rows = asyncio.run(rows_per_second(started.url(), commits=1_000))
        seconds = asyncio.run(commit_seconds(started.url(), commits=1_000))
    print(f"rows a second in commits of 100: {rows:,.0f}")
    print(f"one row, one commit: {seconds * 1e6:.0f} µs")


if __name__ == "__main__":
    main()
