"""W1: 1,000 executions of 10 steps, one after the other, all started at once."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.engine import engine_on, timed
from benchmarks.figures import Workload, median
from benchmarks.raw_sqlite import rows_per_second
from benchmarks.workflows import NOOP, NOTHING, chain

STEPS = 10


def measure(folder: Path, quick: bool) -> Workload:
    """Durable steps a second, beside raw rows a second in commits of 100."""
    executions, rounds = (20, 2) if quick else (1_000, 21)
    return asyncio.run(_measure(folder, executions, rounds))


async def _measure(folder: Path, executions: int, rounds: int) -> Workload:
    steps = executions * STEPS
    raw: list[float] = []
    keyed: list[float] = []
    worked: list[float] = []
    controlled: list[float] = []
    async with engine_on(folder / "bench.db") as (session, ends):
        plan = await session.definitions.plan_of(chain(STEPS, NOTHING))
        noop_plan = await session.definitions.plan_of(chain(STEPS, NOOP))
        await timed(session, ends, plan, executions // 10)  # warm up
        for _ in range(rounds):
            commits = max(1, steps // 25)
            raw.append(rows_per_second(folder, commits=commits, rounds=1))
            keyed.append(rows_per_second(folder, commits=commits, rounds=1, keyed=True))
            worked.append(steps / await timed(session, ends, plan, executions))
            controlled.append(steps / await timed(session, ends, noop_plan, executions))
    return Workload(
        name="W1",
        title=f"{executions:,} executions of {STEPS} steps, all at once",
        figures={
            "steps_per_second": median(worked),
            "raw_rows_per_second": median(raw),
            "ratio_to_raw": median(steps / rows for steps, rows in zip(worked, raw, strict=True)),
            "ratio_to_raw_with_key": median(steps / rows for steps, rows in zip(worked, keyed, strict=True)),
            "control_steps_per_second": median(controlled),
            "control_ratio_to_raw": median(steps / rows for steps, rows in zip(controlled, raw, strict=True)),
        },
    )
