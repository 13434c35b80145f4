"""Work that is fetched by workers elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest

from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict, ErrorInfo, UsageError
from stepwell.base.values import Sealed, SecretRef
from stepwell.execution.work import Assignment, Report
from stepwell.ports.work import TaskContext, TaskError
from stepwell.worker.answers import Whereabouts
from stepwell.worker.known import WORKER_KEPT
from stepwell.worker.queues import LEASE, MOST_DELIVERIES, Beat, Polled, Queues
from stepwell.worker.remote import REFUSED, Fetching, RemoteWorker
from stepwell.worker.routing import QueueDispatcher
from tests.conformance.dispatcher import (
    PATIENCE,
    SECRETS,
    DispatcherHarness,
    FetchedConformance,
    FetchedHarness,
    KnownSecrets,
    OpenHarness,
    Work,
    WorkHandler,
    assignment,
    echo,
)
from tests.virtual_clock import VirtualClock


def _steps(polled: Polled) -> list[str]:
    return [handed.step for handed in polled.assignments]


def everything(workflow: str) -> bool:
    return True


class Direct(Fetching):
    """Asks queues in the same process; cut off, it does not get through."""

    def __init__(
        self, queues: Queues, name: str = "w1", names: Sequence[str] = ("q",), labels: Mapping[str, str] = {}
    ) -> None:
        self.labels = labels
        self.queues = queues
        self.name = name
        self.names = names
        self.cut = False

    async def poll(self, limit: int, wait: int) -> Polled:
        self._through()
        return await self.queues.poll(self.name, self.names, limit, wait, everything, self.labels)

    async def heartbeat(self, ids: Collection[str]) -> Beat:
        self._through()
        return self.queues.heartbeat(self.name, ids, everything)

    async def complete(self, id_: str, result: Any, scope: dict[str, Any] | None) -> None:
        self._through()
        self.queues.complete(id_, result, scope, everything)

    async def fail(self, id_: str, error: ErrorInfo) -> None:
        self._through()
        failed = TaskError(error.type, error.message, details=error.details, retryable=error.retryable)
        self.queues.fail(id_, failed, everything)

    async def release(self, ids: Collection[str]) -> None:
        self._through()
        self.queues.release(self.name, ids, everything)

    def _through(self) -> None:
        if self.cut:
            raise ConnectionError("cut off")


class AllQueued(QueueDispatcher):
    """Puts what names no queue into the queue `q`."""

    def dispatch(self, assignment: Assignment) -> None:
        super().dispatch(msgspec.structs.replace(assignment, queue=assignment.queue or "q"))


class Harness(FetchedHarness):
    """An engine's side, and workers."""

    def __init__(self, work: Work, slots: int = 1_000) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.dispatcher = self.queued = AllQueued(self.take, self.clock, KnownSecrets(SECRETS))
        self.fetching = Direct(self.queued.queues)
        self.worker = RemoteWorker(self.fetching, {"work": WorkHandler(work)}, self.clock, slots)
        self.running = asyncio.create_task(self.worker.run())
        self.workers = {"w1": (self.fetching, self.running)}

    async def add_worker(self, name: str, work: Work, *, type_: str = "work", labels: Mapping[str, str] = {}) -> None:
        fetching = Direct(self.queued.queues, name, labels=labels)
        worker = RemoteWorker(fetching, {type_: WorkHandler(work)}, self.clock, 10)
        self.workers[name] = (fetching, asyncio.create_task(worker.run()))

    async def cut_off(self, name: str) -> None:
        self.workers[name][0].cut = True

    async def reconnect(self, name: str) -> None:
        self.workers[name][0].cut = False

    async def advance(self, duration: int) -> None:
        await self.clock.settle()
        await self.clock.advance(duration)

    async def rest(self) -> None:
        await self.clock.settle()

    async def close(self) -> None:
        running = [task for _, task in self.workers.values()]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self.queued.close()


class TestConformance(FetchedConformance):
    """A queue and a worker together do what every dispatcher does."""

    @pytest.fixture
    async def open_harness(self) -> AsyncIterator[OpenHarness]:
        opened: list[Harness] = []

        async def open_(work: Work) -> DispatcherHarness:
            harness = Harness(work)
            opened.append(harness)
            return harness

        yield open_
        for harness in opened:
            await harness.close()

    async def test_closing_stops_everything_without_a_report(self, open_harness: OpenHarness) -> None:
        """The worker elsewhere finds out when it says that it lives, and nobody knows of its work."""
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
            await harness.advance(LEASE)
            await stopped.wait()
        assert harness.reports == []

    async def test_secrets_are_opened_for_the_task_and_sealed_in_its_result(self, open_harness: OpenHarness) -> None:
        """The worker elsewhere is not told what is secret: the engine seals what comes back."""

        async def leak(config: Any, context: TaskContext) -> Any:
            return {"said": f"I know {config['password']}", "token": config["token"], "plain": "nothing"}

        harness = await open_harness(leak)
        config = {"password": Sealed("hunter22"), "token": SecretRef("TOKEN")}
        harness.dispatcher.dispatch(assignment(config=config))
        assert (await harness.report()).result == {
            "said": Sealed("I know hunter22"),
            "token": Sealed(SECRETS["TOKEN"]),
            "plain": "nothing",
        }


# The queues by themselves


class Scene:
    """Queues without a worker, on a virtual clock."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.reports: list[Report] = []
        self.dispatcher = QueueDispatcher(self.reports.append, self.clock, KnownSecrets(SECRETS))
        self.queues = self.dispatcher.queues

    async def put(self, *steps: str, queue: str = "q", **more: Any) -> None:
        for step in steps:
            self.dispatcher.dispatch(assignment(step, queue=queue, **more))
        await self.clock.settle()

    async def poll(
        self, worker: str = "w1", *queues: str, limit: int = 10, wait: int = 0, sees: Any = everything
    ) -> Any:
        polling = asyncio.create_task(self.queues.poll(worker, queues or ("q",), limit, wait, sees))
        await self.clock.settle()
        await self.clock.advance(wait)
        return _steps(await polling)

    async def advance(self, duration: int) -> None:
        await self.clock.advance(duration)
        await self.clock.settle()


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    made = Scene()
    yield made
    await made.dispatcher.close()


async def test_work_is_handed_out_in_the_order_in_which_it_came(scene: Scene) -> None:
    await scene.put("a", "b", "c")
    assert await scene.poll(limit=2) == ["a", "b"]
    assert await scene.poll("w2") == ["c"]
    assert await scene.poll("w3") == []


async def test_a_worker_gets_only_what_its_queues_and_namespaces_hold(scene: Scene) -> None:
    await scene.put("a", queue="gpu")
    await scene.put("b", workflow="payments.refund")
    assert await scene.poll("w1", "q", sees=lambda workflow: "." not in workflow) == []
    assert await scene.poll("w1", "cpu") == []
    assert await scene.poll("w1", "gpu", "q") == ["a", "b"]


async def test_who_waits_longest_gets_work_first(scene: Scene) -> None:
    first = asyncio.create_task(scene.queues.poll("w1", ["q"], 1, 10 * SECOND, everything))
    await scene.clock.settle()
    second = asyncio.create_task(scene.queues.poll("w2", ["q"], 1, 10 * SECOND, everything))
    await scene.clock.settle()
    await scene.put("a")
    assert _steps(await first) == ["a"]
    await scene.put("b")
    assert _steps(await second) == ["b"]


async def test_a_worker_without_a_sign_of_life_loses_its_work_to_others(scene: Scene) -> None:
    await scene.put("a")
    assert await scene.poll("w1") == ["a"]
    await scene.advance(LEASE - 1)
    assert scene.queues.heartbeat("w1", ["e1/a/1"]).kept == ["e1/a/1"]
    await scene.advance(LEASE - 1)
    assert await scene.poll("w2") == []
    await scene.advance(1)
    assert await scene.poll("w2") == ["a"]
    assert scene.queues.heartbeat("w1", ["e1/a/1"]).lost == ["e1/a/1"]


async def test_a_node_that_was_frozen_takes_nobody_for_lost_before_he_could_be_heard(scene: Scene) -> None:
    await scene.put("a")
    assert await scene.poll("w1") == ["a"]
    scene.clock.set(scene.clock.now() + 10 * LEASE)
    await scene.advance(1)
    assert await scene.poll("w2") == []
    await scene.advance(LEASE - SECOND)
    assert scene.queues.heartbeat("w1", ["e1/a/1"], everything).kept == ["e1/a/1"]
    await scene.advance(LEASE)
    assert await scene.poll("w2") == ["a"]


async def test_the_first_report_counts_whoever_it_comes_from(scene: Scene) -> None:
    await scene.put("a")
    await scene.poll("w1")
    await scene.advance(LEASE)
    await scene.poll("w2")
    scene.queues.complete("e1/a/1", "from w1", None, everything)
    with pytest.raises(Conflict) as raised:
        scene.queues.complete("e1/a/1", "from w2", None, everything)
    assert raised.value.code == "not-assigned"
    await scene.clock.settle()
    assert [report.result for report in scene.reports] == ["from w1"]


async def test_work_that_workers_are_lost_with_is_given_up(scene: Scene) -> None:
    await scene.put("a")
    for number in range(MOST_DELIVERIES):
        assert await scene.poll(f"w{number}") == ["a"]
        await scene.advance(LEASE)
    (report,) = scene.reports
    assert report.error is not None
    assert (report.error.type, report.error.retryable) == ("worker_lost", True)
    assert f"w{MOST_DELIVERIES - 1}" in report.error.message


async def test_the_time_of_an_attempt_begins_when_a_worker_takes_it(scene: Scene) -> None:
    await scene.put("a", timeout=10 * SECOND)
    await scene.advance(60 * SECOND)
    assert scene.reports == []
    assert await scene.poll() == ["a"]
    for _ in range(2):
        await scene.advance(5 * SECOND)
        scene.queues.heartbeat("w1", ["e1/a/1"])
    (report,) = scene.reports
    assert report.error is not None
    assert report.error.type == "timeout"
    assert scene.queues.heartbeat("w1", ["e1/a/1"]).lost == ["e1/a/1"]


async def test_what_is_given_back_is_there_for_others_at_once(scene: Scene) -> None:
    await scene.put("a", "b", "c")
    await scene.poll(limit=2)
    scene.queues.release("w1", ["e1/a/1", "e1/b/1", "e1/c/1", "nothing"], everything)
    assert await scene.poll("w2") == ["a", "b", "c"]


async def test_who_hangs_up_while_work_is_handed_to_it_does_not_take_it_away(scene: Scene) -> None:
    polling = asyncio.create_task(scene.queues.poll("w1", ["q"], 1, 10 * SECOND, everything))
    await scene.clock.settle()
    scene.dispatcher.dispatch(assignment("a", queue="q"))
    while not scene.queues._handed_out:
        await asyncio.sleep(0)
    polling.cancel()
    await asyncio.gather(polling, return_exceptions=True)
    assert await scene.poll("w2") == ["a"]


async def test_workers_and_queues_can_be_seen(scene: Scene) -> None:
    await scene.put("a", "b")
    await scene.put("c", queue="gpu")
    await scene.poll("w1", "q", limit=1)
    (worker,) = scene.queues.workers()
    assert (worker.name, worker.queues, worker.running) == ("w1", ("q",), 1)
    assert [(each.name, each.waiting, each.running) for each in scene.queues.states()] == [("gpu", 1, 0), ("q", 1, 1)]


async def test_a_worker_that_is_gone_for_long_is_forgotten_with_what_it_should_have_been_told(scene: Scene) -> None:
    await scene.put("a")
    await scene.poll("w1")
    scene.dispatcher.stop("e1/a/1")
    await scene.clock.settle()
    assert scene.queues._to_stop == {"w1": ["e1/a/1"]}
    await scene.advance(WORKER_KEPT + 1)
    await scene.poll("w2")
    assert [worker.name for worker in scene.queues.workers()] == ["w2"]
    assert scene.queues._to_stop == {}


async def test_what_is_stopped_is_handed_to_nobody(scene: Scene) -> None:
    await scene.put("a", "b")
    await scene.poll(limit=1)
    scene.dispatcher.stop("e1/a/1")
    scene.dispatcher.stop("e1/b/1")
    await scene.clock.settle()
    assert await scene.poll("w2") == []
    assert scene.queues.heartbeat("w1", ["e1/a/1"]).lost == ["e1/a/1"]
    assert scene.reports == []


# The worker


async def test_a_worker_goes_on_when_it_was_cut_off() -> None:
    done: list[str] = []
    gate = asyncio.Event()

    async def work(config: Any, context: TaskContext) -> str:
        await gate.wait()
        done.append(context.step)
        return context.step

    harness = Harness(work)
    harness.dispatcher.dispatch(assignment("a"))
    await harness.rest()
    harness.fetching.cut = True
    gate.set()
    await harness.advance(5 * SECOND)
    assert (done, harness.reports) == (["a"], [])
    harness.fetching.cut = False
    await harness.advance(20 * SECOND)
    assert [report.result for report in harness.reports] == ["a"]
    await harness.close()


async def test_where_a_job_stands_can_be_asked(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    await scene.put("a", timeout=100 * SECOND)
    assert scene.queues.whereabouts("e9/x/1") is None
    assert scene.queues.whereabouts("e1/a/1") == Whereabouts(
        worker=None, heard_at=None, deadline=None, able=0, refusal=None
    )
    now = scene.clock.now()
    assert await scene.poll("w1") == ["a"]
    with_w1 = Whereabouts(worker="w1", heard_at=now, deadline=now + 100 * SECOND, able=1, refusal=None)
    assert scene.queues.whereabouts("e1/a/1") == with_w1
    await scene.advance(20 * SECOND)
    scene.queues.fail("e1/a/1", TaskError("unknown_task", "there is no task"), everything)
    refused = scene.queues.whereabouts("e1/a/1")
    assert refused is not None
    assert (refused.worker, refused.able, refused.refusal) == (None, 1, "there is no task")
    assert await scene.poll("w2") == ["a"]
    await scene.advance(LEASE)
    assert "worker w2 gave no sign of life for 30s, and is taken for lost with e1/a/1" in caplog.text


async def test_a_worker_says_once_what_it_does_not_know(caplog: pytest.LogCaptureFixture) -> None:
    harness = Harness(echo)
    await harness.add_worker("w2", echo, type_="other")
    for step in ("a", "b", "c"):
        harness.dispatcher.dispatch(msgspec.structs.replace(assignment(step), type="other"))
    await harness.advance(SECOND)
    assert [report.error for report in harness.reports] == [None] * 3
    said = [record.getMessage() for record in caplog.records if "other workers are asked" in record.getMessage()]
    assert said == ["no worker here does steps of type 'other' (known: work); other workers are asked"]
    await harness.close()


async def test_who_names_a_queue_twice_gets_work_once(scene: Scene) -> None:
    await scene.put("a", "b")
    assert await scene.poll("w1", "q", "q") == ["a", "b"]


class Refusing(Direct):
    """Reports are refused as long as `refuses` says why."""

    refuses: Callable[[str], Exception | None] = staticmethod(lambda call: None)

    async def complete(self, id_: str, result: Any, scope: dict[str, Any] | None) -> None:
        self._check("complete")
        await super().complete(id_, result, scope)

    async def fail(self, id_: str, error: ErrorInfo) -> None:
        self._check("fail")
        await super().fail(id_, error)

    async def heartbeat(self, ids: Collection[str]) -> Beat:
        self._check("heartbeat")
        return await super().heartbeat(ids)

    def _check(self, call: str) -> None:
        error = self.refuses(call)
        if error is not None:
            raise error


@pytest.mark.parametrize("error", [ValueError("100 bytes are too many"), UsageError("100 bytes are too many")])
async def test_a_result_that_cannot_be_reported_is_the_error_of_the_attempt(error: Exception) -> None:
    async with refusing_worker(echo) as (harness, fetching):
        fetching.refuses = lambda call: error if call == "complete" else None
        harness.dispatcher.dispatch(assignment("a"))
        reported = (await harness.report()).error
        assert reported == ErrorInfo(REFUSED, "its result could not be reported: 100 bytes are too many")
        await harness.rest()
        assert harness.queued.queues.workers()[0].running == 0


async def test_an_error_that_cannot_be_reported_is_reported_without_what_it_says() -> None:
    async def fail(config: Any, context: TaskContext) -> Any:
        raise TaskError("too_bad", "x" * 50, details={"much": "y" * 50})

    async with refusing_worker(fail) as (harness, fetching):
        errors: list[Exception] = [ValueError("too large")]
        fetching.refuses = lambda call: errors.pop() if call == "fail" and errors else None
        harness.dispatcher.dispatch(assignment("a"))
        reported = (await harness.report()).error
        assert reported == ErrorInfo(REFUSED, "its error 'too_bad' could not be reported: too large")


async def test_signs_of_life_go_on_after_one_that_broke() -> None:
    begun = asyncio.Event()

    async def wait(config: Any, context: TaskContext) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with refusing_worker(wait) as (harness, fetching):
        errors: list[Exception] = [KeyError("a defect")]
        fetching.refuses = lambda call: errors.pop() if call == "heartbeat" and errors else None
        harness.dispatcher.dispatch(assignment("a"))
        await begun.wait()
        for _ in range(6):
            await harness.advance(LEASE // 3)
        assert [(each.waiting, each.running) for each in harness.queued.queues.states()] == [(0, 1)]
        assert errors == []


async def test_a_worker_that_was_held_up_says_what_that_means(caplog: pytest.LogCaptureFixture) -> None:
    begun = asyncio.Event()

    async def wait(config: Any, context: TaskContext) -> Any:
        begun.set()
        await asyncio.Event().wait()

    async with refusing_worker(wait) as (harness, _):
        harness.dispatcher.dispatch(assignment("a"))
        await begun.wait()
        await harness.advance(LEASE // 3)
        assert "no sign of life" not in caplog.text
        harness.clock.set(harness.clock.now() + 2 * LEASE)
        await harness.advance(1)
        assert "no sign of life was given for 1m" in caplog.text
        assert "a function that blocks must not be `async`" in caplog.text


@asynccontextmanager
async def refusing_worker(work: Work) -> AsyncIterator[tuple[Harness, Refusing]]:
    """One whose way to the engine can refuse what it says."""
    harness = Harness(work)
    harness.running.cancel()
    fetching = Refusing(harness.queued.queues)
    worker = RemoteWorker(fetching, {"work": WorkHandler(work)}, harness.clock, 10)
    harness.workers["w1"] = (fetching, asyncio.create_task(worker.run()))
    yield harness, fetching
    await harness.close()


async def test_a_worker_takes_no_more_than_it_has_places_for() -> None:
    gate = asyncio.Event()

    async def work(config: Any, context: TaskContext) -> None:
        await gate.wait()

    harness = Harness(work, slots=2)
    for step in "abcde":
        harness.dispatcher.dispatch(assignment(step))
    await harness.rest()
    assert harness.worker.running == 2
    gate.set()
    await harness.report(5)
    await harness.close()


async def test_a_worker_that_drains_ends_when_its_work_is_reported() -> None:
    gate = asyncio.Event()

    async def work(config: Any, context: TaskContext) -> None:
        await gate.wait()

    harness = Harness(work)
    harness.dispatcher.dispatch(assignment("a"))
    await harness.rest()
    harness.worker.drain()
    await harness.rest()
    harness.dispatcher.dispatch(assignment("b"))
    await harness.rest()
    assert not harness.running.done()
    gate.set()
    await asyncio.wait_for(harness.running, 10)
    assert [report.step for report in harness.reports] == ["a"]
    await harness.queued.close()


async def test_a_worker_that_gives_up_leaves_its_work_to_others() -> None:
    async def work(config: Any, context: TaskContext) -> None:
        await asyncio.Event().wait()

    harness = Harness(work)
    harness.dispatcher.dispatch(assignment("a"))
    await harness.rest()
    harness.worker.give_up()
    await asyncio.wait_for(harness.running, 10)
    other = asyncio.create_task(harness.queued.queues.poll("w2", ["q"], 1, 0, everything))
    await harness.rest()
    assert _steps(await other) == ["a"]
    await harness.queued.close()


async def test_a_worker_elsewhere_learns_in_which_trace_an_attempt_is() -> None:
    clock, seen = VirtualClock(), list[str | None]()

    async def work(config: Any, context: TaskContext) -> None:
        seen.append(context.traceparent)

    dispatcher = QueueDispatcher(lambda report: None, clock, KnownSecrets({}), lambda each: f"trace of {each.id}")
    worker = RemoteWorker(Direct(dispatcher.queues), {"work": WorkHandler(work)}, clock, 1)
    running = asyncio.create_task(worker.run())
    dispatcher.dispatch(assignment(queue="q"))
    await clock.settle()
    worker.drain()
    await clock.settle()
    await running
    await dispatcher.close()
    assert seen == ["trace of e1/work/1"]
