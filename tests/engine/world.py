"""An engine in a world without time and chance: a store, a clock that stands still, work that the test does by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from stepwell.base.derive import derived_bytes
from stepwell.base.errors import ErrorInfo
from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.engine import Engine, Limits
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.history import HistoryEvent
from stepwell.execution.state import ExecutionState
from stepwell.execution.work import Assignment, Report
from stepwell.ports.measures import Measures
from stepwell.ports.records import Batch, Published
from stepwell.ports.store import Store
from stepwell.ports.work import Dispatcher
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock

SECOND = 1_000_000
BOOM = ErrorInfo("boom", "it went boom")
FLAKY = ErrorInfo("connection_error", "nobody answers", retryable=True)


class PlainCipher:
    """Encrypts nothing: what is stored can be looked at."""

    def encrypt(self, plain: bytes) -> bytes:
        return plain

    def decrypt(self, sealed: bytes) -> bytes:
        return sealed


class HandDispatcher(Dispatcher):
    """Keeps what is dispatched until the test reports on it."""

    def __init__(self) -> None:
        self.out: dict[str, Assignment] = {}
        self.stopped: list[str] = []
        self.closed = False

    def dispatch(self, assignment: Assignment) -> None:
        self.out[assignment.id] = assignment

    def stop(self, assignment_id: str) -> None:
        self.stopped.append(assignment_id)
        self.out.pop(assignment_id, None)

    async def close(self) -> None:
        self.closed = True

    def end(self, step: str, at: int, result: Any = None, error: ErrorInfo | None = None) -> Report:
        """The oldest attempt of the step ends: the report on it."""
        id_, assignment = next((id_, one) for id_, one in self.out.items() if one.step == step)
        del self.out[id_]
        return Report(
            execution=assignment.execution,
            step=step,
            attempt=assignment.attempt,
            started_at=at,
            result=result,
            error=error,
        )

    def steps(self) -> list[str]:
        """The steps at work, in the order in which they were dispatched."""
        return [assignment.step for assignment in self.out.values()]


class Gate:
    """A store whose `append` waits at a gate, or fails, as the test says."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.batches: list[Batch] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def append(self, batch: Batch) -> bool:
        await self.open.wait()
        if self.error is not None:
            raise self.error
        posted = await self._store.append(batch)
        self.batches.append(batch)
        return posted

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class Watcher:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        self.seen.extend((execution, type(event).__name__) for event in events)


class World:
    """One engine after the other on one store."""

    def __init__(self, store: Store, clock: VirtualClock, limits: Limits, measures: Measures | None = None) -> None:
        self.store = store
        self.gate = Gate(store)
        self.clock = clock
        self.limits = limits
        self.measures = measures
        self.codec = Codec(PlainCipher())
        self.plans: dict[str, Plan] = {}
        self.new_work: Callable[[], HandDispatcher] = HandDispatcher
        self.work = self.new_work()
        self.watcher = Watcher()
        self._drawn = 0
        self.engine = self.new_engine()

    def new_engine(self, owner: str = "first") -> Engine:
        engine = Engine(
            self.gate,  # type: ignore[arg-type]
            self.codec,
            self.clock,
            self._plan,
            owner,
            self.limits,
            self.watcher,
            self._entropy,
            measures=self.measures,
        )
        engine.connect(self.work)
        return engine

    def _entropy(self, size: int) -> bytes:
        """Other bytes each time, and the same in every run of a test."""
        self._drawn += 1
        return derived_bytes(b"world", self._drawn, size=size)

    async def _plan(self, digest: str) -> Plan:
        return self.plans[digest]

    def plan(self, definition: WorkflowDefinition) -> Plan:
        return self.plans.setdefault(definition.digest, Plan(definition))

    async def start(self, definition: WorkflowDefinition, given: Any = None, key: str | None = None) -> str:
        execution = await self.engine.start(self.plan(definition), given, start_key=key)
        await self.clock.settle()
        return execution

    async def crash(self) -> None:
        """All that is in memory is gone, as after a power cut; a new engine takes the shards over."""
        dead = self.engine
        for task in [*dead._ground.background._tasks, dead._loop.committer._task]:
            if task is not None:
                task.cancel()
        await asyncio.gather(*dead._ground.background._tasks, return_exceptions=True)
        dead._upkeep.close()
        dead._loop.admission.close()
        dead._loop.outgoing.gatekeeper.close()
        dead._loop.due.close()
        self.clock.set(self.clock.now() + 60 * SECOND)  # its leases run out
        self.work = self.new_work()
        self.engine = self.new_engine("second")
        await self.engine.open(take_over=True)
        await self.clock.settle()

    async def done(self, step: str, result: Any = None, error: ErrorInfo | None = None) -> None:
        """The oldest attempt of the step at work ends."""
        self.engine.report(self.work.end(step, self.clock.now(), result, error))
        await self.clock.settle()

    async def publish(self, type: str, id: str = "e1", **data: Any) -> Published:  # noqa: A002
        published = await self.engine.publish(Event(id=id, type=type, source="test", data=data, time=self.clock.now()))
        await self.clock.settle()
        return published

    async def state(self, execution: str) -> ExecutionState:
        return await self.engine.state(execution)

    async def statuses(self, execution: str) -> dict[str, str]:
        state = await self.state(execution)
        return {name: step.status.value for name, step in state.steps.items()}


@asynccontextmanager
async def a_world(
    limits: Limits | None = None, store: Store | None = None, measures: Measures | None = None
) -> AsyncIterator[World]:
    """An engine that is open, on a fresh memory store unless one is given."""
    store = store or MemoryStore()
    await store.open()
    world = World(store, VirtualClock(), limits or Limits(), measures)
    await world.engine.open()
    try:
        yield world
    finally:
        world.gate.open.set()
        world.engine._loop.outgoing.telling.under_way.clear()  # no time passes in which they could arrive
        await world.engine.close()
        await store.close()
