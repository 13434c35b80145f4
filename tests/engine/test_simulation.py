"""The engine in a simulated world: random workflows, random order, and a power cut at any moment.

Everything that goes to the store passes a gate that the simulation opens and closes, so that a cut can fall between
deciding and committing. Whatever happens: no acknowledged start is lost, nothing is dispatched before it is recorded, a
recorded step does not run again, histories fold to one end, and nothing is stuck.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.engine import Limits
from stepwell.execution.event import Event
from stepwell.execution.history import (
    ExecutionCompleted,
    ExecutionFailed,
    HistoryEvent,
    StepCompleted,
    StepFailed,
    StepScheduled,
)
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.execution.work import Assignment, Report
from stepwell.store.memory import MemoryStore
from tests.decider.random_workflows import workflows
from tests.engine.world import BOOM, FLAKY, SECOND, HandDispatcher, World
from tests.virtual_clock import VirtualClock

MAX_WORKFLOWS = 2
PATIENCE = 400
"""Moves after which an execution that has not ended is stuck."""


class WatchedDispatcher(HandDispatcher):
    """Checks every assignment against what is stored at that moment."""

    def __init__(self, simulation: Simulation) -> None:
        super().__init__()
        self._simulation = simulation

    def dispatch(self, assignment: Assignment) -> None:
        self._simulation.check_dispatch(assignment)
        super().dispatch(assignment)


class Simulation:
    """One store, one engine after the other, and a choice of what happens next."""

    def __init__(self, data: st.DataObject, definitions: list[WorkflowDefinition]) -> None:
        self.data = data
        self.definitions = definitions
        self.store = MemoryStore()
        self.world = World(self.store, VirtualClock(), Limits(max_workflows=MAX_WORKFLOWS))
        self.acknowledged: list[str] = []
        self.starting: list[asyncio.Task[str]] = []
        self.events = 0
        self.old_reports: list[Report] = []
        self.world.new_work = lambda: WatchedDispatcher(self)
        self.world.work = self.world.new_work()
        self.world.engine.connect(self.world.work)

    def recorded(self, execution: str) -> list[HistoryEvent]:
        record = self.store.content.records.get(execution)
        if record is None:
            return []
        return [event for row in record.rows(0) for event in self.world.codec.decode_events(row.events)]

    def check_dispatch(self, assignment: Assignment) -> None:
        """The attempt is recorded as scheduled, and the step has no recorded end."""
        history = self.recorded(assignment.execution)
        mine = [event for event in history if getattr(event, "step", None) == assignment.step]
        scheduled = [event.attempt for event in mine if isinstance(event, StepScheduled)]
        assert scheduled[-1:] == [assignment.attempt], "dispatched before it was recorded"
        assert not any(isinstance(event, (StepCompleted, StepFailed)) for event in mine), "recorded, and run again"
        at_work = {one.execution for one in self.world.work.out.values()} | {assignment.execution}
        assert len(at_work) <= MAX_WORKFLOWS, "more at work than the limit"

    # ── What can happen ──────────────────────────────────────────────────────────────────────────────────────────────

    async def move(self) -> None:
        moves = [self.start, self.report, self.report, self.report, self.repeat, self.wait, self.publish]
        moves += [self.close_gate, self.open_gate, self.cut]
        await self.data.draw(st.sampled_from(moves), label="move")()
        await self.world.clock.settle()
        self._collect_starts()

    async def start(self) -> None:
        if len(self.starting) + len(self.acknowledged) < 4:
            plan = self.world.plan(self.data.draw(st.sampled_from(self.definitions)))
            self.starting.append(asyncio.create_task(self.world.engine.start(plan, {"flag": True})))

    async def report(self) -> None:
        if not self.world.work.out:
            return
        assignment = self.data.draw(st.sampled_from(sorted(self.world.work.out.values(), key=lambda one: one.id)))
        del self.world.work.out[assignment.id]
        error = self.data.draw(st.sampled_from([None, None, None, FLAKY, BOOM]))
        result = {"n": self.data.draw(st.integers(0, 5))} if error is None else None
        report = Report(
            execution=assignment.execution,
            step=assignment.step,
            attempt=assignment.attempt,
            started_at=self.world.clock.now(),
            result=result,
            error=error,
        )
        self.old_reports.append(report)
        self.world.engine.report(report)

    async def repeat(self) -> None:
        """A report that was made before is made again."""
        if self.old_reports:
            self.world.engine.report(self.data.draw(st.sampled_from(self.old_reports)))

    async def wait(self) -> None:
        if self.world.gate.open.is_set():
            await self.world.clock.advance(self.data.draw(st.sampled_from([SECOND // 2, SECOND, 4 * SECOND])))

    async def publish(self) -> None:
        self.events += self.data.draw(st.integers(0, 1))  # sometimes the same event again
        n = self.data.draw(st.integers(0, 3))
        now = self.world.clock.now()
        event = Event(id=f"e{self.events}", type="go", source="test", data={"n": n}, time=now)
        await self.store.publish(event, now, now + 3_600 * SECOND)
        self.world.engine._inbox.look()

    async def close_gate(self) -> None:
        self.world.gate.open.clear()

    async def open_gate(self) -> None:
        self.world.gate.open.set()

    async def cut(self) -> None:
        """The power fails: what waits at the gate is lost."""
        for starting in self.starting:
            starting.cancel()
        self.world.gate.open.clear()
        dead = self.world.engine
        for task in [*dead._tasks, dead._committer._task]:
            if task is not None:
                task.cancel()
        for writing in [task for task in asyncio.all_tasks() if "Committer._write" in repr(task)]:
            writing.cancel()
        await self.world.clock.settle()
        self.world.gate.open.set()
        await self.world.crash()

    def _collect_starts(self) -> None:
        ended = [task for task in self.starting if task.done()]
        self.starting = [task for task in self.starting if not task.done()]
        self.acknowledged += [task.result() for task in ended if not task.cancelled()]

    # ── What must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    async def finish(self) -> None:
        """No more faults: everything must come to its end."""
        self.world.gate.open.set()
        await self.world.clock.settle()
        self._collect_starts()
        for _ in range(PATIENCE):
            if all(state.status in ENDED_EXECUTION for state in await self.states()):
                return
            for assignment in list(self.world.work.out.values()):
                await self.world.done(assignment.step, {"n": 1})
            await self.world.clock.advance(SECOND)
        raise AssertionError(f"stuck: {[state.steps for state in await self.states()]}")

    async def states(self) -> list[ExecutionState]:
        return [await self.world.state(execution) for execution in self.store.content.records]

    def check_histories(self) -> None:
        assert set(self.acknowledged) <= set(self.store.content.records), "an acknowledged start was lost"
        for execution in self.store.content.records:
            history = self.recorded(execution)
            assert sum(isinstance(event, (ExecutionCompleted, ExecutionFailed)) for event in history) == 1
            ends = Counter(event.step for event in history if isinstance(event, (StepCompleted, StepFailed)))
            assert all(count == 1 for count in ends.values()), "a step ended twice"


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.lists(workflows(), min_size=1, max_size=2))
def test_nothing_is_lost_repeated_or_stuck(data: st.DataObject, definitions: list[WorkflowDefinition]) -> None:
    async def whole() -> None:
        simulation = Simulation(data, definitions)
        await simulation.store.open()
        await simulation.world.engine.open()
        try:
            for _ in range(data.draw(st.integers(5, 40), label="moves")):
                await simulation.move()
            await simulation.finish()
            simulation.check_histories()
        finally:
            simulation.world.gate.open.set()
            await simulation.world.engine.close()
            await simulation.store.close()

    asyncio.run(whole())
