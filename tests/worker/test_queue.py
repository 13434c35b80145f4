"""How many attempts run, and what becomes of those that wait."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from stepwell.base.errors import ConfigurationError
from stepwell.ports.work import TaskContext
from tests.conformance.dispatcher import SECOND, assignment
from tests.worker.harness import LocalHarness


class Gate:
    """Work that goes on until it is let go, and notes who is at it."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.begun: list[str] = []
        self.most = 0
        self._open: dict[str, asyncio.Event] = {}

    async def work(self, config: Any, context: TaskContext) -> Any:
        self.begun.append(context.step)
        self.running.append(context.step)
        self.most = max(self.most, len(self.running))
        try:
            await self._open.setdefault(context.step, asyncio.Event()).wait()
        finally:
            self.running.remove(context.step)

    def let_go(self, step: str) -> None:
        self._open.setdefault(step, asyncio.Event()).set()


@pytest.mark.parametrize("limit", [0, -1])
async def test_a_worker_that_may_run_nothing_is_refused(limit: int) -> None:
    with pytest.raises(ConfigurationError, match="at least 1"):
        LocalHarness(Gate().work, max_concurrent=limit)


async def test_never_more_than_the_limit_run_and_the_rest_follow_in_order() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=3)
    for number in range(10):
        harness.dispatcher.dispatch(assignment(f"s{number}"))
    await harness.rest()
    assert gate.running == ["s0", "s1", "s2"]
    for number in (1, 0, *range(2, 10)):
        gate.let_go(f"s{number}")
        await harness.rest()
    assert gate.most == 3
    assert gate.begun == [f"s{number}" for number in range(10)]
    assert len(harness.reports) == 10
    await harness.worker.close()


async def test_a_queued_assignment_is_not_queued_twice() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1)
    for step in ("a", "b", "b", "b"):
        harness.dispatcher.dispatch(assignment(step))
    for step in ("a", "b"):
        gate.let_go(step)
    await harness.rest()
    assert gate.begun == ["a", "b"]
    await harness.worker.close()


async def test_waiting_longer_than_the_queue_timeout_is_an_error_of_its_own() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1, queue_timeout=30 * SECOND)
    harness.dispatcher.dispatch(assignment("a"))
    harness.dispatcher.dispatch(assignment("b"))
    await harness.advance(10 * SECOND)
    harness.dispatcher.dispatch(assignment("c"))
    await harness.advance(19_900_000)
    assert harness.reports == []
    await harness.advance(200_000)
    (report,) = harness.reports
    assert report.step == "b"
    assert report.error is not None
    assert (report.error.type, report.error.retryable) == ("queue_timeout", False)
    assert report.error.message == "step 'b' waited 30s for a free place on the worker and did not begin"
    await harness.advance(9_800_000)
    assert len(harness.reports) == 1
    await harness.advance(200_000)
    assert [each.step for each in harness.reports] == ["b", "c"]
    assert gate.begun == ["a"]
    await harness.worker.close()


async def test_one_timer_watches_the_whole_queue() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1, queue_timeout=30 * SECOND)
    for number in range(1_000):
        harness.dispatcher.dispatch(assignment(f"s{number}"))
    await harness.rest()
    assert harness.clock.armed == 1
    await harness.worker.close()
    assert harness.clock.armed <= 1  # the grace of the one that ran


async def test_work_that_left_the_queue_in_time_is_not_given_up() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1, queue_timeout=30 * SECOND)
    for step in ("a", "b", "c"):
        harness.dispatcher.dispatch(assignment(step))
    await harness.advance(20 * SECOND)
    gate.let_go("a")
    await harness.advance(5 * SECOND)
    harness.dispatcher.stop(assignment("c").id)
    harness.dispatcher.dispatch(assignment("d"))
    await harness.advance(20 * SECOND)
    assert [(each.step, each.error) for each in harness.reports] == [("a", None)]
    gate.let_go("b")
    gate.let_go("d")
    await harness.rest()
    assert gate.begun == ["a", "b", "d"]
    await harness.worker.close()


async def test_what_is_dispatched_by_the_report_of_a_given_up_assignment_is_watched_too() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1, queue_timeout=30 * SECOND)
    take = harness.take

    def take_and_retry(report: Any) -> None:
        take(report)
        if report.attempt < 3:
            harness.dispatcher.dispatch(assignment(report.step, attempt=report.attempt + 1))

    harness.worker._on_report = take_and_retry
    harness.dispatcher.dispatch(assignment("a"))
    harness.dispatcher.dispatch(assignment("b"))
    await harness.advance(200 * SECOND)
    assert [(each.step, each.attempt) for each in harness.reports] == [("b", 1), ("b", 2), ("b", 3)]
    assert harness.clock.armed == 0
    await harness.worker.close()


async def test_stopped_work_makes_room_for_the_next() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1)
    for step in ("a", "b", "c"):
        harness.dispatcher.dispatch(assignment(step))
    await harness.rest()
    harness.dispatcher.stop(assignment("b").id)
    harness.dispatcher.stop(assignment("a").id)
    await harness.rest()
    assert gate.running == ["c"]
    assert harness.reports == []
    await harness.worker.close()


async def test_stopped_work_can_be_dispatched_again() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work)
    work = assignment("a")
    harness.dispatcher.dispatch(work)
    await harness.rest()
    harness.dispatcher.stop(work.id)
    harness.dispatcher.dispatch(work)
    gate.let_go("a")
    await harness.rest()
    assert gate.begun == ["a", "a"]
    assert len(harness.reports) == 1
    await harness.worker.close()


async def test_nothing_begins_after_closing() -> None:
    gate = Gate()
    harness = LocalHarness(gate.work, max_concurrent=1)
    harness.dispatcher.dispatch(assignment("a"))
    harness.dispatcher.dispatch(assignment("b"))
    await harness.rest()
    await harness.worker.close()
    harness.dispatcher.dispatch(assignment("c"))
    await harness.rest()
    assert gate.begun == ["a"]
    assert gate.running == []
    assert harness.reports == []
