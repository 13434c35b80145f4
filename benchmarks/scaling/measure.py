"""Measures what `costs` says of a database: `python -m benchmarks.scaling.measure`.

Each statement is like one that the store makes, on a server of its own, one after the other. What is said of a step is
measured by `make bench BENCH_ARGS="--postgres --only W1"`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg

from benchmarks.postgres.cluster import server
from benchmarks.postgres.raw import rows_per_second

_TABLES: Final = """
CREATE TABLE shards (shard INTEGER PRIMARY KEY, owner TEXT, fence BIGINT, expires_at BIGINT);
INSERT INTO shards SELECT i, 'n' || (i % 10), 1, 0 FROM generate_series(0, 8191) i;
"""
_RENEW: Final = "UPDATE shards SET expires_at = $2 WHERE shard = ANY($1::integer[]) RETURNING shard"
_READ: Final = "SELECT shard, owner, expires_at FROM shards WHERE shard < $1"
_LOAD: Final = "SELECT seq, events FROM raw WHERE number BETWEEN $1 AND $1 + 10"
TIMES: Final = 500


async def measure(url: str) -> dict[str, float]:
    """Microseconds, by the names that `Costs` has for them."""
    commit = 1e6 / await rows_per_second(url, commits=TIMES, rows=1)
    await rows_per_second(url, commits=TIMES // 5, rows=1_000)  # what is loaded below
    connection: Any = await asyncpg.connect(url)
    try:
        await connection.execute(_TABLES)
        renew, read, load = [await connection.prepare(each) for each in (_RENEW, _READ, _LOAD)]
        few = await _took(lambda number: renew.fetch(list(range(6)), number))
        more = await _took(lambda number: renew.fetch(list(range(256)), number))
        nothing = await _took(lambda number: read.fetch(0))
        everything = await _took(lambda number: read.fetch(8_192), TIMES // 10)
        loading = await _took(lambda number: load.fetch(number * 11))
    finally:
        await connection.close()
    connecting = await _took(lambda number: _connect(url), TIMES // 10)
    return {
        "commit": commit,
        "shard_renewed": (more - few) / 250,
        "row_read": (everything - nothing) / 8_192,
        "load": loading,
        "connect": connecting,
    }


async def _took(do: Callable[[int], Awaitable[Any]], times: int = TIMES) -> float:
    for number in range(times // 10):
        await do(number)
    began = time.perf_counter()
    for number in range(times):
        await do(number)
    return (time.perf_counter() - began) * 1e6 / times


async def _connect(url: str) -> None:
    connection: Any = await asyncpg.connect(url)
    await connection.close()


if __name__ == "__main__":
    with server() as started:
        for name, figure in asyncio.run(measure(started.url())).items():
            print(f"{name:<14} {figure:,.2f} µs")
