"""`kill -9` of a running `run`, at random moments, resumed each time.

Every task writes down that it ran before it returns. After each kill the store says which steps are recorded as
completed; none of those may be written down again, ever. In the end there is one result.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from stepwell.execution.codec import Codec
from stepwell.execution.history import ExecutionCompleted, ExecutionCreated, HistoryEvent, StepCompleted
from stepwell.store.factory import store_for
from tests.engine.world import PlainCipher

KILLS_OF_ONE_EXECUTION = 10
WIDTH, LENGTH = 4, 100
"""At 40 ms a step, four seconds of work, so that most kills find it at work."""

TASKS = """
import asyncio, os
from stepwell import TaskContext, task

@task
async def note(context: TaskContext) -> int:
    await asyncio.sleep(0.04)
    with open(os.environ["NOTES"], "ab", buffering=0) as notes:
        notes.write((context.assignment.step + "\\n").encode())
    return 1
"""


def _definition() -> dict[str, object]:
    """Four chains of 100 steps side by side, joined at the end."""
    steps: list[dict[str, object]] = [
        {
            "name": f"s{lane}_{number}",
            "type": "note",
            "config": {},
            "depends_on": [f"s{lane}_{number - 1}"] if number else [],
        }
        for lane in range(WIDTH)
        for number in range(LENGTH)
    ]
    last = [f"s{lane}_{LENGTH - 1}" for lane in range(WIDTH)]
    steps.append({"name": "join", "type": "note", "config": {}, "depends_on": last})
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "killed", "version": "1.0.0"},
        "spec": {"steps": steps, "output": {"values": {"join": "{{ steps.join.output }}"}}},
    }


class Victim:
    """One execution and the processes that run it, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notes = folder / "notes"
        self.notes.touch()
        (folder / "tasks.py").write_text(TASKS)
        (folder / "workflow.json").write_text(json.dumps(_definition()))
        self.execution: str | None = None

    def run(self, *arguments: str) -> subprocess.Popen[bytes]:
        what = ["--resume", self.execution] if self.execution else ["workflow.json"]
        return subprocess.Popen(
            [sys.executable, "-m", "stepwell", "run", *what, "--import", "tasks.py", "--store", "sqlite:kill.db",
             *arguments],
            cwd=self.folder,
            env={**os.environ, "NOTES": str(self.notes)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def run_and_kill(self, after: float) -> None:
        """Kill the run some time after it has acknowledged the start."""
        process = self.run()
        assert process.stderr is not None
        if self.execution is None:
            self.execution = _acknowledged(process)
        time.sleep(after)  # a real process in real time: there is nothing to wait for but the moment itself
        process.send_signal(signal.SIGKILL)
        process.communicate()

    def ran(self) -> Counter[str]:
        return Counter(self.notes.read_text().split())

    def history(self) -> list[HistoryEvent]:
        return asyncio.run(_history(self.folder / "kill.db", self.execution or ""))


def _acknowledged(process: subprocess.Popen[bytes]) -> str:
    assert process.stderr is not None
    for line in process.stderr:
        found = re.search(rb"[0-9a-f]{8}-[0-9a-f-]{27}", line)
        if found:
            return found.group().decode()
    raise AssertionError("the run ended without saying which execution it started")


async def _history(path: Path, execution: str) -> list[HistoryEvent]:
    store = store_for(f"sqlite:{path}")
    await store.open()
    try:
        codec = Codec(PlainCipher())
        rows = await store.history(execution, 0, 100_000)
        return [event for row in rows for event in codec.decode_events(row.events)]
    finally:
        await store.close()


def _completed(history: list[HistoryEvent]) -> set[str]:
    return {event.step for event in history if isinstance(event, StepCompleted)}


@pytest.mark.parametrize("seed", range(5))
def test_a_run_killed_ten_times_loses_and_repeats_nothing_recorded(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    victim = Victim(tmp_path)
    recorded: set[str] = set()
    before: Counter[str] = Counter()
    killed_at_work = 0
    for _ in range(KILLS_OF_ONE_EXECUTION):
        victim.run_and_kill(chance.uniform(0, 0.9))
        history, now = victim.history(), victim.ran()
        assert isinstance(history[0], ExecutionCreated)
        assert recorded <= _completed(history)
        assert {step: now[step] for step in recorded} == {step: before[step] for step in recorded}
        recorded, before = _completed(history), now
        killed_at_work += not isinstance(history[-1], ExecutionCompleted)
    assert killed_at_work > KILLS_OF_ONE_EXECUTION / 2
    process = victim.run("-o", "json")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    report = json.loads(out)
    history, now = victim.history(), victim.ran()
    assert report["output"] == {"join": 1}
    assert {step: now[step] for step in recorded} == {step: before[step] for step in recorded}
    assert sum(isinstance(event, ExecutionCompleted) for event in history) == 1
    results = [event.step for event in history if isinstance(event, StepCompleted)]
    assert len(results) == len(set(results)) == WIDTH * LENGTH + 1
    assert set(now) == set(results)
    verify = [sys.executable, "-m", "stepwell", "db", "verify", "--store", "sqlite:kill.db"]
    checked = subprocess.run(verify, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
