"""How one attempt begins and ends."""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import pytest

from stepwell.base.values import Sealed
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from tests.conformance.dispatcher import PATIENCE, SECOND, assignment, echo
from tests.worker.harness import LocalHarness


async def forever(config: Any, context: TaskContext) -> Any:
    await asyncio.Event().wait()


async def test_the_time_of_beginning_is_the_clocks() -> None:
    harness = LocalHarness(echo)
    harness.clock.set(1_234_567)
    harness.dispatcher.dispatch(assignment())
    assert (await harness.report()).started_at == 1_234_567


async def test_time_in_the_queue_does_not_count_as_time_of_work() -> None:
    harness = LocalHarness(forever, max_concurrent=1)
    harness.dispatcher.dispatch(assignment("a", timeout=10 * SECOND))
    harness.dispatcher.dispatch(assignment("b", timeout=10 * SECOND))
    begun = harness.clock.now()
    await harness.advance(19 * SECOND)
    assert [each.step for each in harness.reports] == ["a"]
    await harness.advance(2 * SECOND)
    assert harness.reports[1].started_at == begun + 10 * SECOND
    assert harness.reports[1].error is not None


async def test_a_handler_may_clean_up_before_the_timeout_is_reported() -> None:
    cleaned = asyncio.Event()

    async def tidy(config: Any, context: TaskContext) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned.set()

    harness = LocalHarness(tidy)
    harness.dispatcher.dispatch(assignment(timeout=SECOND))
    await harness.advance(SECOND)
    assert cleaned.is_set()
    assert [each.error.type for each in harness.reports if each.error] == ["timeout"]
    assert harness.clock.armed == 0


async def test_what_a_handler_returns_or_raises_after_its_timeout_does_not_count() -> None:
    async def swallow(config: Any, context: TaskContext) -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if context.step == "returns":
                return "late"
            raise ValueError("late") from None

    harness = LocalHarness(swallow)
    for step in ("returns", "raises"):
        harness.dispatcher.dispatch(assignment(step, timeout=SECOND))
    await harness.advance(SECOND)
    assert [each.error.type for each in harness.reports if each.error] == ["timeout", "timeout"]


async def test_a_handler_that_does_not_stop_is_abandoned_and_its_result_ignored(
    caplog: pytest.LogCaptureFixture,
) -> None:
    let_go = asyncio.Event()

    async def stubborn(config: Any, context: TaskContext) -> Any:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue
        return "late"

    harness = LocalHarness(stubborn, max_concurrent=1)
    harness.dispatcher.dispatch(assignment("a", timeout=SECOND))
    harness.dispatcher.dispatch(assignment("b"))
    with caplog.at_level(logging.INFO, "stepwell.worker"):
        await harness.advance(SECOND)
        assert harness.reports == []
        await harness.advance(SECOND // 2)
        assert [each.error.type for each in harness.reports if each.error] == ["timeout"]
        let_go.set()
        await harness.rest()
    assert [(each.step, each.result) for each in harness.reports] == [("a", None), ("b", "late")]
    assert [record.message for record in caplog.records] == [
        "e1/a/1 did not end when it was cancelled, and is abandoned",
        "e1/a/1 ended after it was abandoned; what it returned is ignored",
    ]


async def test_closing_does_not_wait_long_for_a_handler_that_does_not_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stepwell.worker.local.CLOSING_SECONDS", 0.01)
    let_go = asyncio.Event()

    async def stubborn(config: Any, context: TaskContext) -> Any:
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    harness = LocalHarness(stubborn)
    harness.dispatcher.dispatch(assignment())
    await harness.rest()
    async with asyncio.timeout(PATIENCE):
        await harness.worker.close()
    let_go.set()
    await harness.rest()
    assert harness.reports == []


async def test_work_can_be_stopped_before_its_first_line() -> None:
    called = False

    async def note(config: Any, context: TaskContext) -> Any:
        nonlocal called
        called = True

    harness = LocalHarness(note, max_concurrent=1)
    harness.dispatcher.dispatch(assignment("a"))
    harness.dispatcher.stop(assignment("a").id)
    await harness.rest()
    assert not called
    harness.dispatcher.dispatch(assignment("b"))
    await harness.rest()
    assert [each.step for each in harness.reports] == ["b"]


async def test_the_timer_is_withdrawn_when_the_work_ends() -> None:
    harness = LocalHarness(echo)
    harness.dispatcher.dispatch(assignment(timeout=SECOND))
    await harness.report()
    assert harness.clock.armed == 0


async def test_a_cancellation_that_nobody_asked_for_is_an_error_of_the_task() -> None:
    async def trip(config: Any, context: TaskContext) -> Any:
        raise asyncio.CancelledError

    harness = LocalHarness(trip)
    harness.dispatcher.dispatch(assignment())
    error = (await harness.report()).error
    assert error is not None
    assert (error.type, error.retryable) == ("CancelledError", True)


async def test_a_loop_that_ends_cancels_work_without_a_report() -> None:
    harness = LocalHarness(forever)
    harness.dispatcher.dispatch(assignment())
    await harness.rest()
    (attempt,) = harness.worker._running
    assert attempt.task is not None
    attempt.task.cancel()
    await harness.rest()
    assert attempt.task.cancelled()
    assert harness.reports == []
    assert not harness.worker._running


async def test_a_task_that_wants_to_end_the_process_only_fails() -> None:
    async def leave(config: Any, context: TaskContext) -> Any:
        sys.exit(3)

    harness = LocalHarness(leave)
    harness.dispatcher.dispatch(assignment())
    error = (await harness.report()).error
    assert error is not None
    assert error.type == "SystemExit"


async def test_further_names_for_the_output_mapping_are_reported_and_sealed() -> None:
    class WithScope(TaskHandler):
        async def run(self, config: Any, context: TaskContext) -> TaskResult:
            return TaskResult(None, {"response_headers": {"x": config["password"]}, "response_status": 200})

    harness = LocalHarness(echo, handlers={"scoped": WithScope()})
    harness.dispatcher.dispatch(assignment(type="scoped", config={"password": Sealed("hunter22")}))
    scope = (await harness.report()).scope
    assert scope == {"response_headers": {"x": Sealed("hunter22")}, "response_status": 200}


async def test_what_a_handler_opens_itself_is_hidden_too() -> None:
    async def open_more(config: Any, context: TaskContext) -> Any:
        return context.open({"auth": Sealed("service-pass")})["auth"]

    harness = LocalHarness(open_more)
    harness.dispatcher.dispatch(assignment())
    assert (await harness.report()).result == Sealed("service-pass")


async def test_handlers_are_closed_once_even_if_one_fails(caplog: pytest.LogCaptureFixture) -> None:
    class Closing(TaskHandler):
        def __init__(self) -> None:
            self.closed = 0

        async def run(self, config: Any, context: TaskContext) -> TaskResult:
            return TaskResult(None)

        async def close(self) -> None:
            self.closed += 1
            raise OSError("no")

    first, second = Closing(), Closing()
    harness = LocalHarness(echo, handlers={"a": first, "also_a": first, "b": second})
    await harness.worker.close()
    assert (first.closed, second.closed) == (1, 1)
    assert "could not be closed" in caplog.text


async def test_a_task_that_changes_its_result_later_does_not_change_what_was_reported() -> None:
    kept: dict[str, list[int]] = {"rows": [1]}

    async def give(config: Any, context: TaskContext) -> Any:
        return kept

    harness = LocalHarness(give)
    harness.dispatcher.dispatch(assignment())
    report = await harness.report()
    kept["rows"].append(2)
    assert report.result == {"rows": [1]}
