"""What every dispatcher must do, whatever carries the work.

A test module of a dispatcher subclasses `DispatcherConformance` and provides the fixture `open_harness`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias

import pytest

from stepwell.base.errors import NotFound
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.work import Assignment, Report
from stepwell.ports.services import SecretSource
from stepwell.ports.work import Dispatcher, TaskContext, TaskError, TaskHandler, TaskResult

SECOND = 1_000_000
PATIENCE = 10
"""Seconds after which a test gives up on a report."""

Work: TypeAlias = Callable[[Any, TaskContext], Awaitable[Any]]


def assignment(step: str = "work", config: Any = None, **changes: Any) -> Assignment:
    """An assignment of type `work`, with what a test does not care about filled in."""
    fields: dict[str, Any] = {
        "execution": "e1",
        "workflow": "shop",
        "version": "1.0.0",
        "step": step,
        "type": "work",
        "config": {} if config is None else config,
        "attempt": 1,
        "idempotency_key": f"e1/{step}",
        "scheduled_at": 0,
    }
    return Assignment(**(fields | changes))


class WorkHandler(TaskHandler):
    """A handler that is a function of the configuration and the context."""

    def __init__(self, work: Work) -> None:
        self._work = work

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        return TaskResult(await self._work(config, context))


class KnownSecrets(SecretSource):
    """Secrets from a dictionary."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._secrets = secrets

    def get(self, name: str) -> str:
        if name not in self._secrets:
            raise NotFound(f"there is no secret {name!r}", code="unknown-secret")
        return self._secrets[name]


class DispatcherHarness(ABC):
    """A dispatcher with one handler for steps of type `work`, and everything it reported."""

    dispatcher: Dispatcher

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self._arrived = asyncio.Event()

    def take(self, report: Report) -> None:
        """The dispatcher's callback."""
        self.reports.append(report)
        self._arrived.set()

    async def report(self, count: int = 1) -> Report:
        """The `count`-th report, when it has come."""
        async with asyncio.timeout(PATIENCE):
            while len(self.reports) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.reports[count - 1]

    @abstractmethod
    async def advance(self, duration: int) -> None:
        """Let so many microseconds pass for the dispatcher."""

    @abstractmethod
    async def rest(self) -> None:
        """Return when everything that could be reported by now has been."""


OpenHarness: TypeAlias = Callable[[Work], Awaitable[DispatcherHarness]]

SECRETS = {"TOKEN": "tok-5ecret-value", "SHORT": "xyzzy"}


async def echo(config: Any, context: TaskContext) -> Any:
    return config


class DispatcherConformance:
    """The tests. `open_harness` makes a harness for a function; its secrets are `SECRETS`."""

    async def test_work_is_done_and_reported_with_its_identity(self, open_harness: OpenHarness) -> None:
        harness = await open_harness(echo)
        harness.dispatcher.dispatch(assignment("pack", {"count": 3}, attempt=2))
        report = await harness.report()
        assert (report.execution, report.step, report.attempt) == ("e1", "pack", 2)
        assert report.result == {"count": 3}
        assert report.error is None
        assert report.started_at > 0

    async def test_the_task_sees_the_attempt_it_serves(self, open_harness: OpenHarness) -> None:
        async def tell(config: Any, context: TaskContext) -> Any:
            return [context.execution, context.workflow, context.step, context.attempt, context.idempotency_key]

        harness = await open_harness(tell)
        harness.dispatcher.dispatch(assignment("pay", attempt=3))
        assert (await harness.report()).result == ["e1", "shop", "pay", 3, "e1/pay"]

    async def test_every_one_of_many_assignments_is_reported_once(self, open_harness: OpenHarness) -> None:
        harness = await open_harness(echo)
        for number in range(300):
            harness.dispatcher.dispatch(assignment(f"s{number}", {"n": number}))
        await harness.report(300)
        await harness.rest()
        assert sorted(report.result["n"] for report in harness.reports) == list(range(300))

    async def test_an_assignment_in_flight_is_not_done_twice(self, open_harness: OpenHarness) -> None:
        harness = await open_harness(echo)
        for _ in range(3):
            harness.dispatcher.dispatch(assignment())
        await harness.report()
        await harness.rest()
        assert len(harness.reports) == 1

    @pytest.mark.parametrize(
        ("error", "retryable"),
        [
            (ValueError("wrong"), False),
            (KeyError("wrong"), False),
            (TypeError("wrong"), False),
            (ConnectionError("wrong"), True),
            (OSError("wrong"), True),
            (TimeoutError("wrong"), True),
            (RuntimeError("wrong"), True),
        ],
    )
    async def test_an_exception_is_reported_under_its_name(
        self, open_harness: OpenHarness, error: Exception, retryable: bool
    ) -> None:
        async def fail(config: Any, context: TaskContext) -> Any:
            raise error

        harness = await open_harness(fail)
        harness.dispatcher.dispatch(assignment())
        found = (await harness.report()).error
        assert found is not None
        assert (found.type, found.retryable) == (type(error).__name__, retryable)
        assert "wrong" in found.message
        assert found.details is None

    async def test_a_task_error_is_reported_as_it_was_given(self, open_harness: OpenHarness) -> None:
        async def fail(config: Any, context: TaskContext) -> Any:
            raise TaskError("http_error", "it said no", details={"status": 503}, retryable=True)

        harness = await open_harness(fail)
        harness.dispatcher.dispatch(assignment())
        error = (await harness.report()).error
        assert error is not None
        assert error.as_dict() == {
            "type": "http_error",
            "message": "it said no",
            "details": {"status": 503},
            "retryable": True,
        }

    async def test_a_type_nobody_does_is_an_error(self, open_harness: OpenHarness) -> None:
        harness = await open_harness(echo)
        harness.dispatcher.dispatch(assignment(type="wrok"))
        error = (await harness.report()).error
        assert error is not None
        assert (error.type, error.retryable) == ("unknown_type", False)
        assert "did you mean 'work'?" in error.message

    async def test_work_that_takes_too_long_is_stopped(self, open_harness: OpenHarness) -> None:
        stopped = asyncio.Event()

        async def hang(config: Any, context: TaskContext) -> Any:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stopped.set()
                raise

        harness = await open_harness(hang)
        harness.dispatcher.dispatch(assignment("slow", timeout=5 * SECOND))
        await harness.advance(4_900_000)
        assert harness.reports == []
        await harness.advance(200_000)
        error = (await harness.report()).error
        assert error is not None
        assert (error.type, error.message, error.retryable) == ("timeout", "step 'slow' timed out after 5s", True)
        assert stopped.is_set()

    async def test_stopped_work_is_cancelled_and_not_reported(self, open_harness: OpenHarness) -> None:
        begun, stopped = asyncio.Event(), asyncio.Event()

        async def hang(config: Any, context: TaskContext) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        harness = await open_harness(hang)
        work = assignment()
        harness.dispatcher.dispatch(work)
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            harness.dispatcher.stop(work.id)
            await stopped.wait()
        await harness.rest()
        assert harness.reports == []

    async def test_stopping_what_is_unknown_or_over_does_nothing(self, open_harness: OpenHarness) -> None:
        harness = await open_harness(echo)
        harness.dispatcher.stop("e1/nothing/1")
        harness.dispatcher.dispatch(assignment())
        await harness.report()
        harness.dispatcher.stop(assignment().id)
        await harness.rest()
        assert len(harness.reports) == 1

    async def test_closing_stops_everything_without_a_report(self, open_harness: OpenHarness) -> None:
        begun, stopped = asyncio.Event(), asyncio.Event()

        async def hang(config: Any, context: TaskContext) -> Any:
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                stopped.set()

        harness = await open_harness(hang)
        harness.dispatcher.dispatch(assignment())
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            await harness.dispatcher.close()
            await harness.dispatcher.close()
        assert stopped.is_set()
        assert harness.reports == []

    async def test_results_become_json_values(self, open_harness: OpenHarness) -> None:
        @dataclasses.dataclass
        class Receipt:
            number: int
            at: datetime.datetime

        async def give(config: Any, context: TaskContext) -> Any:
            return {"receipts": (Receipt(1, datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)),)}

        harness = await open_harness(give)
        harness.dispatcher.dispatch(assignment())
        assert (await harness.report()).result == {"receipts": [{"number": 1, "at": "2026-01-02T00:00:00Z"}]}

    @pytest.mark.parametrize("value", [math.nan, math.inf, 2**64, b"bytes", object(), {1: 2}, "\ud800"])
    async def test_a_result_that_cannot_be_stored_is_an_error_that_says_where(
        self, open_harness: OpenHarness, value: Any
    ) -> None:
        async def give(config: Any, context: TaskContext) -> Any:
            return {"rows": [0, {"x": value}]}

        harness = await open_harness(give)
        harness.dispatcher.dispatch(assignment())
        error = (await harness.report()).error
        assert error is not None
        assert (error.type, error.retryable) == ("invalid_result", False)
        assert "rows[1].x" in error.message

    async def test_secrets_are_opened_for_the_task_and_sealed_in_its_result(self, open_harness: OpenHarness) -> None:
        seen: list[Any] = []

        async def leak(config: Any, context: TaskContext) -> Any:
            seen.append((config, sorted(context.sealed())))
            return {"said": f"I know {config['password']}", "token": config["token"], "plain": "nothing"}

        harness = await open_harness(leak)
        config = {
            "password": Sealed("hunter22"),
            "token": SecretRef("TOKEN"),
            "header": SecretText(("Bearer ", SecretRef("TOKEN"))),
        }
        harness.dispatcher.dispatch(assignment(config=config))
        report = await harness.report()
        opened = {"password": "hunter22", "token": SECRETS["TOKEN"], "header": f"Bearer {SECRETS['TOKEN']}"}
        assert seen[0][0] == opened
        assert {"hunter22", SECRETS["TOKEN"]} <= set(seen[0][1])
        assert report.result == {
            "said": Sealed("I know hunter22"),
            "token": Sealed(SECRETS["TOKEN"]),
            "plain": "nothing",
        }

    async def test_secrets_are_hidden_in_errors(self, open_harness: OpenHarness) -> None:
        async def leak(config: Any, context: TaskContext) -> Any:
            raise TaskError("refused", f"bad {config['password']}", details={"body": [config["password"]]})

        harness = await open_harness(leak)
        harness.dispatcher.dispatch(assignment(config={"password": Sealed("hunter22")}))
        error = (await harness.report()).error
        assert error is not None
        assert error.message == "bad ***"
        assert error.details == {"body": ["***"]}

    async def test_an_unknown_secret_is_an_error_and_the_task_is_not_called(self, open_harness: OpenHarness) -> None:
        called = False

        async def note(config: Any, context: TaskContext) -> Any:
            nonlocal called
            called = True

        harness = await open_harness(note)
        harness.dispatcher.dispatch(assignment(config={"token": SecretRef("NOPE")}))
        error = (await harness.report()).error
        assert error is not None
        assert (error.type, error.retryable) == ("unknown_secret", False)
        assert "NOPE" in error.message
        assert not called
