"""W4: chains of steps, each of which waits for the one before: what one step costs must not depend on the length."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.engine import engine_on, timed
from benchmarks.figures import Workload, median
from benchmarks.workflows import NOTHING, chain


def measure(folder: Path, quick: bool) -> Workload:
    """Short chains are run several times in a round, so that every length has time enough to be measured."""
    lengths, rounds = ((3, 10, 30), 2) if quick else ((100, 1_000, 10_000), 5)
    return asyncio.run(_measure(folder, lengths, rounds))


async def _measure(folder: Path, lengths: tuple[int, ...], rounds: int) -> Workload:
    costs: dict[int, list[float]] = {length: [] for length in lengths}
    async with engine_on(folder / "bench.db") as (session, ends):
        plans = {length: await session.definitions.plan_of(chain(length, NOTHING)) for length in lengths}
        for _ in range(rounds):
            for length, plan in plans.items():
                repeats = max(1, lengths[-1] // length // 5)
                seconds = [await timed(session, ends, plan) for _ in range(repeats)]
                costs[length].append(sum(seconds) / repeats / length)
    short, long = costs[lengths[0]], costs[lengths[-1]]
    return Workload(
        name="W4",
        title=f"chains of {', '.join(f'{length:,}' for length in lengths)} steps",
        figures={
            **{f"microseconds_per_step_of_{length}": median(cost) * 1e6 for length, cost in costs.items()},
            "cost_ratio": median(more / less for less, more in zip(short, long, strict=True)),
        },
    )
