"""What every dispatcher must do, whatever carries the work.

A test module of a dispatcher subclasses `DispatcherConformance` and provides the fixture `open_harness`; of one whose
workers fetch, `FetchedConformance`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeAlias, cast

import pytest

from stepwell.base.errors import NotFound
from stepwell.base.values import Sealed, SecretRef, SecretText
from stepwell.execution.work import Assignment, Report
from stepwell.ports.services import SecretSource
from stepwell.ports.work import Dispatcher, TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.worker.queues import LEASE, MOST_DELIVERIES, REFUSED_FOR

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


class FetchedHarness(DispatcherHarness):
    """The same, with workers of which there may be several; the first is called `w1`. They all do steps of type `work`,
    and others by their names."""

    @abstractmethod
    async def add_worker(self, name: str, work: Work, *, type_: str = "work", labels: Mapping[str, str] = {}) -> None:
        """One worker more, for steps of one type."""

    @abstractmethod
    async def cut_off(self, name: str) -> None:
        """Let nothing reach a worker, nor it anybody."""

    @abstractmethod
    async def reconnect(self, name: str) -> None:
        """Let it be heard again."""


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
        await harness.advance(REFUSED_FOR + SECOND)  # a worker elsewhere might know it
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

    async def test_a_stopped_assignment_may_be_dispatched_again(self, open_harness: OpenHarness) -> None:
        begun, gate = asyncio.Event(), asyncio.Event()

        async def wait(config: Any, context: TaskContext) -> Any:
            begun.set()
            await gate.wait()
            return "done"

        harness = await open_harness(wait)
        harness.dispatcher.dispatch(assignment())
        async with asyncio.timeout(PATIENCE):
            await begun.wait()
            harness.dispatcher.stop(assignment().id)
            await harness.rest()
            begun.clear()
            harness.dispatcher.dispatch(assignment())
            await begun.wait()
        gate.set()
        assert (await harness.report()).result == "done"
        await harness.rest()
        assert len(harness.reports) == 1

    async def test_what_comes_after_the_close_is_not_done(self, open_harness: OpenHarness) -> None:
        done: list[str] = []

        async def note(config: Any, context: TaskContext) -> Any:
            done.append(context.step)

        harness = await open_harness(note)
        harness.dispatcher.dispatch(assignment("before"))
        await harness.report()
        await harness.dispatcher.close()
        harness.dispatcher.dispatch(assignment("after"))
        await harness.rest()
        assert (done, len(harness.reports)) == (["before"], 1)

    async def test_slow_work_does_not_hold_up_what_is_quick(self, open_harness: OpenHarness) -> None:
        gate = asyncio.Event()

        async def work(config: Any, context: TaskContext) -> Any:
            if context.step == "slow":
                await gate.wait()
            return context.step

        harness = await open_harness(work)
        for step in ("slow", "a", "b"):
            harness.dispatcher.dispatch(assignment(step))
        await harness.report(2)
        assert {report.step for report in harness.reports} == {"a", "b"}
        gate.set()
        assert (await harness.report(3)).result == "slow"

    async def test_large_configurations_and_results_come_whole(self, open_harness: OpenHarness) -> None:
        harness = await open_harness(echo)
        texts = {f"t{number}": chr(ord("a") + number) * 1_200_000 for number in range(3)}
        harness.dispatcher.dispatch(assignment("large", texts))
        harness.dispatcher.dispatch(assignment("small", {"n": 1}))
        await harness.report(2)
        found = {report.step: report.result for report in harness.reports}
        assert found == {"large": texts, "small": {"n": 1}}

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


class FetchedConformance(DispatcherConformance):
    """The tests of what workers fetch. `open_harness` makes a `FetchedHarness`."""

    async def test_work_of_a_lost_worker_is_done_by_another(self, open_harness: OpenHarness) -> None:
        harness, begun = cast("FetchedHarness", await open_harness(_hang)), asyncio.Event()
        harness.dispatcher.dispatch(assignment())
        await harness.rest()
        await harness.cut_off("w1")

        async def work(config: Any, context: TaskContext) -> Any:
            begun.set()
            return "by w2"

        await harness.add_worker("w2", work)
        await harness.advance(LEASE - 2 * SECOND)
        assert not begun.is_set()
        await harness.advance(4 * SECOND)
        assert (await harness.report()).result == "by w2"

    async def test_the_first_report_counts_and_a_late_one_changes_nothing(self, open_harness: OpenHarness) -> None:
        gates = {"w1": asyncio.Event(), "w2": asyncio.Event()}

        async def first(config: Any, context: TaskContext) -> Any:
            await gates["w1"].wait()
            return "by w1"

        async def second(config: Any, context: TaskContext) -> Any:
            await gates["w2"].wait()
            return "by w2"

        harness = cast("FetchedHarness", await open_harness(first))
        harness.dispatcher.dispatch(assignment())
        await harness.rest()
        await harness.cut_off("w1")
        await harness.add_worker("w2", second)
        await harness.advance(LEASE + SECOND)
        gates["w2"].set()
        assert (await harness.report()).result == "by w2"
        gates["w1"].set()
        await harness.rest()
        await harness.reconnect("w1")
        await harness.advance(LEASE)
        assert [report.result for report in harness.reports] == ["by w2"]

    async def test_a_worker_that_was_taken_for_lost_may_still_be_the_first(self, open_harness: OpenHarness) -> None:
        gate = asyncio.Event()

        async def work(config: Any, context: TaskContext) -> Any:
            await gate.wait()
            return "by w1"

        harness = cast("FetchedHarness", await open_harness(work))
        harness.dispatcher.dispatch(assignment())
        await harness.rest()
        await harness.cut_off("w1")
        await harness.advance(LEASE + SECOND)
        gate.set()
        await harness.rest()
        await harness.reconnect("w1")
        await harness.advance(LEASE)
        assert (await harness.report()).result == "by w1"
        await harness.rest()
        assert len(harness.reports) == 1

    async def test_work_that_is_left_to_another_engine_goes_on_for_it(self, open_harness: OpenHarness) -> None:
        begun, gate = list[str](), asyncio.Event()

        async def work(config: Any, context: TaskContext) -> Any:
            begun.append(context.step)
            await gate.wait()
            return "done"

        harness = cast("FetchedHarness", await open_harness(work))
        dispatcher = harness.dispatcher
        dispatcher.dispatch(assignment())
        await harness.rest()
        dispatcher.leave(assignment().id)
        await harness.rest()
        assert not dispatcher.outlives(assignment().id)
        dispatcher.dispatch(assignment())
        await harness.advance(LEASE // 3)
        gate.set()
        assert (await harness.report()).result == "done"
        await harness.rest()
        assert (begun, len(harness.reports)) == (["work"], 1)

    async def test_work_that_workers_are_lost_with_is_an_error(self, open_harness: OpenHarness) -> None:
        harness = cast("FetchedHarness", await open_harness(_hang))
        harness.dispatcher.dispatch(assignment())
        for number in range(1, MOST_DELIVERIES + 1):
            if number > 1:
                await harness.add_worker(f"w{number}", _hang)
            await harness.rest()
            await harness.cut_off(f"w{number}")
            await harness.advance(LEASE + SECOND)
        error = (await harness.report()).error
        assert error is not None
        assert (error.type, error.retryable) == ("worker_lost", True)

    async def test_a_worker_gets_only_what_its_labels_allow(self, open_harness: OpenHarness) -> None:
        harness = cast("FetchedHarness", await open_harness(echo))
        asks = {"gpu": "true", "zone": "eu"}
        harness.dispatcher.dispatch(assignment("heavy", labels=asks))
        harness.dispatcher.dispatch(assignment("light"))
        assert (await harness.report()).step == "light"
        await harness.add_worker("w2", echo, labels={"gpu": "true"})
        await harness.rest()
        assert len(harness.reports) == 1
        await harness.add_worker("w3", echo, labels={"gpu": "true", "zone": "eu", "disk": "ssd"})
        assert (await harness.report(2)).step == "heavy"

    async def test_what_one_worker_does_not_know_goes_to_another(self, open_harness: OpenHarness) -> None:
        harness = cast("FetchedHarness", await open_harness(echo))
        harness.dispatcher.dispatch(assignment(type="rare"))
        await harness.rest()
        await harness.add_worker("w2", echo, type_="rare")
        await harness.advance(2 * SECOND)
        assert (await harness.report()).error is None


async def _hang(config: Any, context: TaskContext) -> Any:
    await asyncio.Event().wait()
