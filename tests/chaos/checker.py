"""Whether anything was lost, recorded twice, or is stuck."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from stepwell.app.configuration import configuration_from
from stepwell.app.session import cipher_for, open_store
from stepwell.execution.codec import Codec
from stepwell.execution.history import (
    AttemptFailed,
    ExecutionCompleted,
    ExecutionCreated,
    HistoryEvent,
    StepCompleted,
    StepFailed,
    StepScheduled,
)
from stepwell.ports.records import StoredExecution
from stepwell.ports.store import Store
from tests.chaos.documents import NOTED, STEPS, Amount
from tests.chaos.load import Answers

PAGE: Final = 500
_ENDED: Final = {"completed", "failed", "cancelled"}


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was found: `problems`, each a sentence, and figures."""

    problems: Sequence[str]
    executions: int
    steps: int
    effects: int
    repeated_effects: int
    dispatched_again: int


async def ended(store: str, count: int, patience: float) -> str | None:
    """Wait until so many executions are there and all have ended; what is missing, if that takes too long."""
    until = time.monotonic() + patience
    async with open_store(configuration_for(store), migrate=False) as opened:
        while True:
            status = await opened.status()
            unfinished = {name: number for name, number in status.executions.items() if name not in _ENDED}
            left = {**unfinished, "not there": count - sum(status.executions.values())}
            if not any(left.values()) and not status.inbox:
                return None
            if time.monotonic() > until:
                return f"stuck after {patience:.0f} s: {left}, {status.inbox} items in inboxes, {status.waits} waits"
            await asyncio.sleep(0.5)


def configuration_for(store: str) -> Any:
    """The configuration that names the store."""
    kind = "postgresql" if store.startswith("postgres") else "sqlite"
    return configuration_from({"state_store": {"type": kind, "connection_string": store}})


async def judge(store: str, amount: Amount, answers: Answers, ledger: Path) -> Verdict:
    """Look at everything that is stored, and at what clients and tasks say."""
    configuration = configuration_for(store)
    problems = list(answers.wrong)
    noted = Counter(ledger.read_text("ascii").split())
    seen = _Seen(Codec(cipher_for(configuration, lambda message: None)))
    async with open_store(configuration, migrate=False) as opened:
        async for execution in _all(opened):
            seen.look(execution)
        status = await opened.status()
        problems += await opened.check()
    left = {"waits": status.waits, "inbox items": status.inbox, "locks": status.locks}
    problems += [f"{count} {what} are left" for what, count in left.items() if count]
    problems += seen.problems
    problems += _compare(amount, answers, seen, noted)
    return Verdict(
        problems=problems,
        executions=len(seen.numbers),
        steps=seen.steps,
        effects=len(noted),
        repeated_effects=noted.total() - len(noted),
        dispatched_again=seen.again,
    )


async def _all(store: Store) -> AsyncIterator[StoredExecution]:
    after = 0
    while page := await store.executions_after(after, PAGE):
        for execution in page:
            yield execution
        after = page[-1].handle.key or 0


class _Seen:
    """What the histories say.

    Attributes:
        numbers: by execution, its workflow and its number.
        consumed: by the number in an event, the executions whose wait it ended.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self.numbers: dict[str, tuple[str, int]] = {}
        self.consumed: defaultdict[int, list[str]] = defaultdict(list)
        self.keys: set[str] = set()
        self.problems: list[str] = []
        self.steps = 0
        self.again = 0

    def look(self, stored: StoredExecution) -> None:
        """Look at one."""
        id_, workflow = stored.handle.id, stored.created.workflow
        events: list[HistoryEvent] = []
        for row in stored.history:
            events += self._codec.decode_events(row.events)
            if len(events) != row.seq:
                self.problems.append(f"{id_}: {len(events)} events up to number {row.seq}")
        created = [event for event in events if isinstance(event, ExecutionCreated)]
        if len(created) != 1:
            self.problems.append(f"{id_}: it was created {len(created)} times")
            return
        self.numbers[id_] = workflow, created[0].input["number"]
        if sum(isinstance(event, ExecutionCompleted) for event in events) != 1:
            self.problems.append(f"{id_}: {workflow} {self.numbers[id_][1]} is {stored.summary.status}")
        self._look_at_steps(id_, workflow, events)

    def _look_at_steps(self, id_: str, workflow: str, events: Sequence[HistoryEvent]) -> None:
        completed = [event for event in events if isinstance(event, StepCompleted)]
        tries = Counter(
            (each.step, each.attempt) for each in events if isinstance(each, (StepScheduled, AttemptFailed))
        )
        if any(count > 2 for count in tries.values()) or any(isinstance(each, StepFailed) for each in events):
            self.problems.append(f"{id_}: a try was recorded twice, or failed: {tries}")
        if Counter(each.step for each in completed) != Counter(STEPS[workflow]):
            self.problems.append(f"{id_}: of {workflow} were completed {[each.step for each in completed]}")
        self.steps += len(completed)
        self.again += sum(isinstance(each, StepScheduled) and each.attempt > 1 for each in events)
        self.keys |= {f"{id_}/{step}" for step in NOTED[workflow]}
        for each in completed:
            if each.step == "paid":
                self.consumed[each.output["number"]].append(id_)


def _compare(amount: Amount, answers: Answers, seen: _Seen, noted: Mapping[str, int]) -> list[str]:
    problems = [
        f"{key} was acknowledged as {execution}, which is not there"
        for key, execution in answers.started.items()
        if "{}-{}".format(*seen.numbers.get(execution, ("nothing", 0))) != key
    ]
    wanted = Counter({"plain": amount.plain, "waiting": amount.waiting, "placed": amount.placed})
    found = Counter(workflow for workflow, _ in seen.numbers.values())
    if found != wanted:
        problems.append(f"there are {found}, and should be {wanted}")
    twice = [key for key, count in Counter(seen.numbers.values()).items() if count > 1]
    problems += [f"{workflow} {number} was started more than once" for workflow, number in twice]
    if len(answers.accepted) != amount.events:
        problems.append(f"{len(answers.accepted)} events were accepted, of {amount.events}")
    problems += _compare_waits(amount, seen)
    if missing := seen.keys - noted.keys():
        problems.append(f"{len(missing)} steps are recorded and were not done, such as {min(missing)}")
    if strange := noted.keys() - seen.keys:
        problems.append(f"{len(strange)} things were done that are not recorded, such as {min(strange)}")
    return problems


def _compare_waits(amount: Amount, seen: _Seen) -> list[str]:
    problems = []
    for number in range(amount.waiting):
        woken = seen.consumed.get(number, [])
        if [seen.numbers[execution] for execution in woken] != [("waiting", number)]:
            problems.append(f"the event order.paid-{number} woke {woken}")
    return problems


def set_key(environment: Mapping[str, str]) -> None:
    """Read with the key with which the others write."""
    os.environ["STEPWELL_KEY"] = environment["STEPWELL_KEY"]
