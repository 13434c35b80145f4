"""An engine, from its start to its end: the real one, on a loop, a clock, a store and workers that are simulated."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from stepwell.base.errors import StoreError
from stepwell.engine.engine import Engine, Limits
from stepwell.execution.event import Event
from stepwell.execution.work import Assignment, Report
from stepwell.ports.records import Batch, Published
from stepwell.ports.work import Dispatcher
from stepwell.store.memory.store import MemoryStore
from tests.simulation.agenda import Entry
from tests.simulation.behaviour import Behaviour
from tests.simulation.loop import new_loop

if TYPE_CHECKING:
    from tests.simulation.world import World


class Clock:
    """The agenda's clock, as long as this life lasts."""

    def __init__(self, life: Life) -> None:
        self._life = life

    def now(self) -> int:
        return self._life.world.agenda.now

    def call_at(self, instant: int, callback: Callable[[], None]) -> Entry:
        what = f"alarm {getattr(callback, '__qualname__', 'of asyncio')}"
        return self._life.world.agenda.at(instant, what, lambda: self._life.soon(callback))


class Disk(MemoryStore):
    """The store of one life: a commit takes its time, and the power may fail around it."""

    def __init__(self, life: Life) -> None:
        super().__init__(life.world.content)
        self._life = life

    async def append(self, batch: Batch) -> bool:
        world = self._life.world
        number = world.begin_commit(batch)
        duration = world.commit_duration(number)
        if duration:
            await self._life.sleep(duration, f"commit {number}")
        fault = world.fault_at(number)
        if fault == "lost":
            await self._life.power_cut()
        if fault == "refused":
            raise StoreError("the disk is full", code="store-full")
        posted = await super().append(batch)
        world.committed(batch)
        if fault == "kept":
            await self._life.power_cut()
        return posted

    async def publish(self, event: Event, *args: Any, **named: Any) -> Published:
        return self._life.world.published_as(event, await super().publish(event, *args, **named))


class Workers(Dispatcher):
    """Do what is dispatched, in their own time, each as the scenario says; a dispatcher."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self.out: dict[str, Assignment] = {}

    def dispatch(self, assignment: Assignment) -> None:
        if assignment.id in self.out:
            return
        world = self._life.world
        world.dispatched(assignment)
        self.out[assignment.id] = assignment
        behaviour = world.behaviour_of(assignment)
        started = world.agenda.now
        self._report_after(behaviour.duration, assignment, behaviour, started)
        if behaviour.again is not None:
            self._report_after(behaviour.duration + behaviour.again, assignment, behaviour, started)

    def stop(self, assignment_id: str) -> None:
        self.out.pop(assignment_id, None)

    async def close(self) -> None:
        self.out.clear()

    def _report_after(self, duration: int, assignment: Assignment, behaviour: Behaviour, started: int) -> None:
        report = Report(
            execution=assignment.execution,
            step=assignment.step,
            attempt=assignment.attempt,
            started_at=started,
            result=behaviour.result,
            error=behaviour.error,
        )
        # Who is deaf, and who reports a second time, reports whatever became of the engine or the attempt.
        stubborn = behaviour.deaf or duration > behaviour.duration
        world = self._life.world
        world.agenda.after(duration, f"report {assignment.id}", lambda: self._deliver(assignment.id, report, stubborn))

    def _deliver(self, assignment_id: str, report: Report, stubborn: bool) -> None:
        known = self.out.pop(assignment_id, None) is not None and not self._life.over
        life = self._life.world.life_for(self._life)
        if life is not None and (known or stubborn):
            if known or life is not self._life:
                life.work.out.pop(assignment_id, None)
            life.soon(lambda: life.engine.report(report))


class Life:
    """One engine on the store, until it is closed or the power fails.

    Attributes:
        over: nothing of it runs any more.
        begun: when attempts were handed to workers, by workflow and step.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.number = number
        self.loop = new_loop()
        self.clock = Clock(self)
        self.disk = self.new_disk()
        self.work = Workers(self)
        self.over = False
        self.begun: dict[tuple[str, str], list[int]] = defaultdict(list)
        limits = Limits(
            max_workflows=world.scenario.max_workflows,
            queue_timeout=world.scenario.queue_timeout,
            default_timeout=world.scenario.default_timeout,
        )
        self.engine = Engine(
            self.disk,
            world.codec,
            self.clock,
            world.plan,
            f"engine {number}",
            limits,
            entropy=world.entropy,
            named_plans=world.named_plan,
            joins=world.joins,
        )
        self.engine.connect(self.work)

    def new_disk(self) -> Disk:
        """Its way to the store."""
        return Disk(self)

    def open(self) -> None:
        """Take up what is there."""

        async def whole() -> None:
            await self.disk.open()
            await self.engine.open(take_over=True)

        self.loop.run(whole()).add_done_callback(self._raise)

    def soon(self, callback: Callable[[], Any]) -> None:
        """Call back on the loop of this life, if it lasts."""
        if not self.over:
            self.loop.call_soon(callback)

    async def sleep(self, duration: int, what: str) -> None:
        """Wait for an instant of the agenda."""
        future = self.loop.create_future()

        def over() -> None:
            if not future.done():
                future.set_result(None)

        self.world.agenda.after(duration, what, lambda: self.soon(over))
        await future

    async def power_cut(self) -> None:
        """All that is in memory is gone; never returns."""
        self.end()
        self.world.after_cut()
        await self.loop.create_future()

    def end(self) -> None:
        """Nothing of this life happens any more."""
        self.over = True
        self.loop.abandon()
        content = self.world.content
        content.connected[:] = []
        for known in content.shards.values():
            known.owner = None  # its process is gone, and that can be seen

    def close(self, then: Callable[[], None]) -> None:
        """Close the engine as it is done when nothing is wrong, and go on."""

        async def whole() -> None:
            await self.engine.close()
            await self.disk.close()

        def ended(task: asyncio.Task[None]) -> None:
            self._raise(task)
            self.end()
            then()

        self.loop.create_task(whole()).add_done_callback(ended)

    def _raise(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            self.loop.defects.append(f"{type(error).__name__}: {error}")
