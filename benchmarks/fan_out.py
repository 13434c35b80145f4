"""W2: one step, then 1,000 or 10,000 that wait for it, then one that waits for them all."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.engine import engine_on, timed
from benchmarks.figures import Workload, median
from benchmarks.workflows import fan_out


def measure(folder: Path, quick: bool) -> Workload:
    """Ten times the width should take ten times as long. The narrow one is run ten times in a round, so that both are
    measured for as long."""
    narrow, wide, rounds = (10, 100, 2) if quick else (1_000, 10_000, 5)
    return asyncio.run(_measure(folder, narrow, wide, rounds))


async def _measure(folder: Path, narrow: int, wide: int, rounds: int) -> Workload:
    times: dict[int, list[float]] = {narrow: [], wide: []}
    async with engine_on(folder / "bench.db") as (session, ends):
        plans = {width: await session.definitions.plan_of(fan_out(width)) for width in times}
        for _ in range(rounds):
            for width, plan in plans.items():
                repeats = wide // width
                times[width].append(sum([await timed(session, ends, plan) for _ in range(repeats)]) / repeats)
    return Workload(
        name="W2",
        title=f"one step, {narrow:,} or {wide:,} beside each other, a join",
        figures={
            f"seconds_for_{narrow}": median(times[narrow]),
            f"seconds_for_{wide}": median(times[wide]),
            "time_ratio": median(more / less for less, more in zip(times[narrow], times[wide], strict=True)),
        },
    )
