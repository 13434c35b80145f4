"""W5: `kill -9` in the middle of W1, and what it takes to get everything done all the same.

Each task writes its idempotency key to a file before it returns. So the file says which steps were run, and the history
says which were recorded: what was recorded before the kill must not be run after it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.engine import configuration, engine_on
from benchmarks.figures import Workload
from benchmarks.workflows import NOTHING, chain
from stepwell.app.session import cipher_for, open_store
from stepwell.execution.codec import Codec
from stepwell.execution.history import StepCompleted
from stepwell.ports.work import TaskContext
from stepwell.tasks.registry import task

STEPS = 10
STARTED = "started\n"
KEY_BYTES = len("00000000-0000-0000-0000-000000000000/s1\n")


def measure(folder: Path, quick: bool) -> Workload:
    """Kill when half of the steps have run, and go on."""
    executions = 20 if quick else 1_000
    database, keys = folder / "bench.db", folder / "keys"
    _run_and_kill(database, keys, executions)
    run_before = keys.read_text("ascii").split()
    recorded, found = asyncio.run(_recorded(database))
    began = time.perf_counter()
    subprocess.run(_command("resume", database, keys), check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - began
    run_after = keys.read_text("ascii").split()[len(run_before) :]
    all_recorded, _ = asyncio.run(_recorded(database))
    return Workload(
        name="W5",
        title=f"kill -9 amid {executions:,} executions of {STEPS} steps",
        figures={
            "steps_recorded_at_the_kill": len(recorded),
            "seconds_until_all_complete": seconds,
            "lost_starts": executions - found,
            "repeated_steps": len(recorded & set(run_after)),
            "missing_steps": executions * STEPS - len(all_recorded),
            "steps_run_twice_as_not_recorded": len(set(run_before) & set(run_after)),
        },
    )


def _run_and_kill(database: Path, keys: Path, executions: int) -> None:
    process = subprocess.Popen(_command("run", database, keys, str(executions)), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    line = process.stdout.readline()
    if line != STARTED:
        raise RuntimeError(f"the run that was to be killed said {line!r}")
    while process.poll() is None and keys.stat().st_size < executions * STEPS // 2 * KEY_BYTES:
        time.sleep(0.001)
    process.kill()
    process.wait()
    process.stdout.close()


def _command(what: str, database: Path, keys: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "benchmarks.crash", what, str(database), str(keys), *more]


async def _recorded(database: Path) -> tuple[set[str], int]:
    """The idempotency keys of all steps that are recorded as completed, and the number of executions."""
    settings = configuration(database)
    codec = Codec(cipher_for(settings, lambda message: None))
    keys: set[str] = set()
    count, last = 0, 0
    async with open_store(settings) as store:
        while page := await store.executions_after(last, 500):
            for execution in page:
                events = (event for row in execution.history for event in codec.decode_events(row.events))
                steps = (event.step for event in events if isinstance(event, StepCompleted))
                keys.update(f"{execution.handle.id}/{step}" for step in steps)
            count += len(page)
            last = page[-1].handle.key or 0
    return keys, count


def _noting(keys: Path) -> Callable[..., Any]:
    """A task that does nothing but note that it was run."""
    file = os.open(keys, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    @task("nothing")
    async def note(context: TaskContext) -> None:
        os.write(file, f"{context.idempotency_key}\n".encode("ascii"))

    return note


async def _run(database: Path, keys: Path, executions: int) -> None:
    """Start everything, say so once all starts are acknowledged, and run until killed or done."""
    async with engine_on(database, [_noting(keys)]) as (session, ends):
        plan = await session.definitions.plan_of(chain(STEPS, NOTHING))
        ends.expect(executions)
        await asyncio.gather(*(session.engine.start(plan, None) for _ in range(executions)))
        print(STARTED, end="", flush=True)
        await ends.all()


async def _resume(database: Path, keys: Path) -> None:
    """Go on with everything that has not ended."""
    settings = configuration(database)
    async with open_store(settings) as store:
        status = await store.status()
    unfinished = sum(count for name, count in status.executions.items() if name not in ("completed", "failed"))
    async with engine_on(database, [_noting(keys)], take_over=unfinished) as (_, ends):
        await ends.all()


if __name__ == "__main__":
    what, database_name, keys_name, *numbers = sys.argv[1:]
    if what == "run":
        asyncio.run(_run(Path(database_name), Path(keys_name), int(numbers[0])))
    else:
        asyncio.run(_resume(Path(database_name), Path(keys_name)))
