"""W3: how long an execution of one step takes, from the start to the result."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from benchmarks.engine import engine_on
from benchmarks.figures import Workload, median, percentile
from benchmarks.raw_sqlite import commit_seconds
from benchmarks.workflows import NOTHING, chain
from stepwell.app.session import Session
from stepwell.decider.plan import Plan

PER_ROUND = 20


def measure(folder: Path, quick: bool) -> Workload:
    """One execution at a time; twenty of them, twenty raw commits of one row, and so on in turn."""
    return asyncio.run(_measure(folder, rounds=2 if quick else 25))


async def _measure(folder: Path, rounds: int) -> Workload:
    raw: list[float] = []
    latencies: list[list[float]] = []
    async with engine_on(folder / "bench.db") as (session, _):
        plan = await session.definitions.plan_of(chain(1, NOTHING))
        for _ in range(PER_ROUND):  # warm up
            await _one(session, plan)
        for _ in range(rounds):
            raw.append(commit_seconds(folder, commits=PER_ROUND))
            latencies.append([await _one(session, plan) for _ in range(PER_ROUND)])
    everyone = [latency for round_ in latencies for latency in round_]
    return Workload(
        name="W3",
        title=f"one execution of one step, {len(everyone)} times",
        figures={
            "p50_ms": median(everyone) * 1e3,
            "p95_ms": percentile(everyone, 95) * 1e3,
            "raw_commit_ms": median(raw) * 1e3,
            "ratio_to_commit": median(median(round_) / commit for round_, commit in zip(latencies, raw, strict=True)),
        },
    )


async def _one(session: Session, plan: Plan) -> float:
    began = time.perf_counter()
    await session.engine.ended(await session.engine.start(plan, None))
    return time.perf_counter() - began
