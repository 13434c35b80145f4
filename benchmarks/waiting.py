"""W6: executions that wait for an event: what each takes of the memory, and how long it takes to wake one."""

from __future__ import annotations

import asyncio
import gc
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.engine import configuration
from benchmarks.figures import Workload
from benchmarks.workflows import waiting
from stepwell.app.process import settle_process
from stepwell.app.registries import Registries
from stepwell.app.session import Session, open_session
from stepwell.execution.event import Event

BATCH = 1_000
WAKES = 11


def measure(folder: Path, quick: bool) -> Workload:
    """In a process of its own, whose memory nothing else has touched."""
    few, many = (100, 1_000) if quick else (10_000, 100_000)
    command = [sys.executable, "-m", "benchmarks.waiting", str(folder / "bench.db"), str(few), str(many)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Workload(
        name="W6",
        title=f"{few:,}, then {many:,} executions waiting for an event",
        figures=json.loads(printed),
    )


async def _main(database: Path, few: int, many: int) -> dict[str, float]:
    async with open_session(configuration(database), Registries()) as session:
        settle_process()  # as the processes of `run` and `serve` are
        await _start(session, 0, few)
        wake_few = await _wake_some(session, few // 2)
        memory_few = _resident_bytes()
        began = time.perf_counter()
        await _start(session, few, many)
        starts_per_second = (many - few) / (time.perf_counter() - began)
        memory_many = _resident_bytes()
        wake_many = await _wake_some(session, many // 2)
    return {
        "bytes_per_waiting": (memory_many - memory_few) / (many - few),
        f"resident_mib_at_{few}": memory_few / 2**20,
        f"resident_mib_at_{many}": memory_many / 2**20,
        f"ms_to_wake_one_of_{few}": wake_few * 1e3,
        f"ms_to_wake_one_of_{many}": wake_many * 1e3,
        "starts_per_second": starts_per_second,
    }


async def _start(session: Session, first: int, end: int) -> None:
    """Start executions for the orders from `first` up to `end`."""
    plan = await session.definitions.plan_of(waiting())
    for batch in range(first, end, BATCH):
        orders = range(batch, min(batch + BATCH, end))
        await asyncio.gather(*(session.engine.start(plan, {"order": order}) for order in orders))


async def _wake_some(session: Session, order: int) -> float:
    """The median of several: one alone is as long as whatever else the machine does at that moment."""
    return statistics.median([await _wake(session, order + each) for each in range(WAKES)])


async def _wake(session: Session, order: int) -> float:
    """Start one more execution and wake it; the seconds from the event until it has completed."""
    plan = await session.definitions.plan_of(waiting())
    number = 10**9 + order
    execution = await session.engine.start(plan, {"order": number})
    event = Event(id=str(number), type="order.paid", source="bench", data={"order": number})
    began = time.perf_counter()
    await session.engine.publish(event)
    await session.engine.ended(execution)
    return time.perf_counter() - began


def _resident_bytes() -> int:
    gc.collect()
    for line in Path("/proc/self/status").read_text("ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1_024
    raise RuntimeError("this system does not say how much memory a process has")


if __name__ == "__main__":
    print(json.dumps(asyncio.run(_main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))))
