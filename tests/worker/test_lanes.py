"""Attempts that never wait share a task; one that waits has a task to itself, from its first line to its end."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import Any

from stepwell.ports.work import TaskContext
from tests.conformance.dispatcher import SECOND, assignment
from tests.worker.harness import LocalHarness

mark: ContextVar[str] = ContextVar("mark", default="unmarked")


class Seen:
    """Work that notes in which task and with which mark it is done, and waits where it is told to."""

    def __init__(self, waiting: str = "") -> None:
        self.waiting = waiting
        self.tasks: dict[str, list[asyncio.Task[Any] | None]] = {}
        self.marks: dict[str, list[str]] = {}
        self.let_go = asyncio.Event()

    async def work(self, config: Any, context: TaskContext) -> None:
        self._note(context.step)
        mark.set(context.step)
        if context.step in self.waiting:
            await self.let_go.wait()
            await asyncio.sleep(0)
        self._note(context.step)

    def _note(self, step: str) -> None:
        self.tasks.setdefault(step, []).append(asyncio.current_task())
        self.marks.setdefault(step, []).append(mark.get())


async def test_attempts_that_never_wait_share_a_task_and_nothing_else() -> None:
    seen = Seen()
    harness = LocalHarness(seen.work)
    for step in "abc":
        harness.dispatcher.dispatch(assignment(step))
    await harness.rest()
    assert len({task for tasks in seen.tasks.values() for task in tasks}) == 1
    assert seen.marks == {step: ["unmarked", step] for step in "abc"}
    assert [each.step for each in harness.reports] == ["a", "b", "c"]


async def test_an_attempt_that_waits_has_its_task_and_its_context_to_itself() -> None:
    seen = Seen(waiting="ac")
    harness = LocalHarness(seen.work)
    for step in "abc":
        harness.dispatcher.dispatch(assignment(step))
    await harness.rest()
    assert [each.step for each in harness.reports] == ["b"]
    seen.let_go.set()
    await harness.rest()
    assert all(first is last for first, last in seen.tasks.values())
    assert seen.tasks["a"][0] is not seen.tasks["c"][0]
    assert seen.tasks["a"][0] is not seen.tasks["b"][0]
    assert seen.marks == {step: ["unmarked", step] for step in "abc"}
    assert mark.get() == "unmarked"


async def test_what_waits_holds_nobody_up() -> None:
    seen = Seen(waiting="abcdefgh")
    harness = LocalHarness(seen.work)
    for step in "abcdefgh":
        harness.dispatcher.dispatch(assignment(step))
    for _ in range(3):  # a round for the first, one for its companions
        await asyncio.sleep(0)
    assert list(seen.tasks) == list("abcdefgh")
    await harness.worker.close()


async def test_a_task_that_cancels_itself_without_waiting_cancels_nobody_else() -> None:
    async def cancel_own(config: Any, context: TaskContext) -> str:
        if context.step == "a":
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
        else:
            await asyncio.sleep(0)
        return "done"

    harness = LocalHarness(cancel_own)
    for step in "abc":
        harness.dispatcher.dispatch(assignment(step))
    await harness.rest()
    assert [(each.step, each.result) for each in harness.reports] == [("a", "done"), ("b", "done"), ("c", "done")]


async def test_work_that_stops_itself_makes_no_report_and_holds_nobody_up() -> None:
    harness: LocalHarness

    async def stop_own(config: Any, context: TaskContext) -> None:
        if context.step == "a":
            harness.dispatcher.stop(context.assignment.id)
        elif context.step == "b":
            harness.dispatcher.stop(context.assignment.id)
            await asyncio.Event().wait()

    harness = LocalHarness(stop_own)
    for step in "abc":
        harness.dispatcher.dispatch(assignment(step, timeout=SECOND))
    await harness.rest()
    assert [each.step for each in harness.reports] == ["c"]
    assert harness.clock.armed == 0
    assert harness.worker.load()["at_work"] == 0


async def test_an_attempt_is_timed_from_its_beginning_however_late_it_waits() -> None:
    async def slow(config: Any, context: TaskContext) -> None:
        harness.clock.set(harness.clock.now() + 3 * SECOND)  # without waiting for anything
        await asyncio.Event().wait()

    harness = LocalHarness(slow)
    harness.dispatcher.dispatch(assignment(timeout=4 * SECOND))
    await harness.rest()
    await harness.advance(SECOND - 1)
    assert harness.reports == []
    await harness.advance(1)
    assert [each.error.type for each in harness.reports if each.error] == ["timeout"]


async def test_a_lane_whose_loop_ends_leaves_no_report() -> None:
    seen = Seen(waiting="a")
    harness = LocalHarness(seen.work)
    harness.dispatcher.dispatch(assignment("a"))
    await harness.rest()
    task = seen.tasks["a"][0]
    assert task is not None
    task.cancel()
    await harness.rest()
    assert task.cancelled()
    assert harness.reports == []
