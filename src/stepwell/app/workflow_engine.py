"""The engine as Python programs use it."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar

import msgspec

from stepwell.app.approvals import Approvals
from stepwell.app.cluster import joining_of
from stepwell.app.configuration import Configuration, configuration_from
from stepwell.app.definitions import Definition
from stepwell.app.handle import WorkflowHandle
from stepwell.app.keeping import Kept
from stepwell.app.lifecycle import Bell, LifecycleEvent
from stepwell.app.monitoring import Monitoring, activity_states, workflow_state
from stepwell.app.operating import Operators
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.registry import Registry, registration_report
from stepwell.app.session import Session, open_session, owner_name
from stepwell.app.synchronous import LoopThread, refuse_inside_a_loop, run_on
from stepwell.app.telemetry import node_name
from stepwell.app.triggering import PublishedEvent
from stepwell.app.who import this_user
from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import Conflict, UsageError
from stepwell.base.values import check_json
from stepwell.dialects.step_map.dialect import STEP_MAP
from stepwell.dialects.step_map.shapes import result_of
from stepwell.engine.gates import GateState
from stepwell.execution.event import SIGNAL, Event, check_size
from stepwell.execution.status import ExecutionStatus
from stepwell.ports.models import ModelProvider
from stepwell.ports.records import Published
from stepwell.ports.work import Observer
from stepwell.tasks.executors import Executor

T = TypeVar("T")

WorkflowStatus = ExecutionStatus
"""The statuses of an execution, under the name they have in Python programs."""


class WorkflowExecution(msgspec.Struct, frozen=True, kw_only=True):
    """What is recorded of an execution. Secrets are masked.

    Attributes:
        status: see `WorkflowStatus`.
        output_data: the workflow's output, once it has completed.
        error_message: what ended it, when it failed.
        started_at, completed_at: RFC 3339 text, or None.
        report: everything, as `stepwell execution show -o json` prints it.
    """

    id: str
    workflow: str
    version: str
    status: WorkflowStatus
    input_data: Any
    output_data: Any
    error_message: str | None
    started_at: str | None
    completed_at: str | None
    report: dict[str, Any]


class WorkflowEngine:
    """Runs workflows durably in this process.

        async with WorkflowEngine({"state_store": {"type": "sqlite", "path": "orders.db"}}, tasks=[charge]) as engine:
            execution_id = await engine.start_workflow(definition, {"order": 7})
            report = await engine.result(execution_id)

    It opens itself on first use, takes up what engines that are gone left unfinished in the same store, and is closed
    by leaving the `async with` block or by `close`. Two engines do not share anything but the store.

    Args:
        config: the configuration, as it stands in `stepwell.yaml`.
        tasks: Python functions that steps of type `python` may call, by their name or the one `@task` gave them.
        executors: classes or objects that do steps, by the name of the type; beside those that `StepExecutorFactory`
            has at this moment. What is registered there later is for engines made later.
        models: asks language models for steps of type `ai`. Without one a built-in provider answers that asks no model.
        observer: told what was committed.
        clock: for tests.

    Raises:
        ConfigurationError: the configuration or a task is wrong.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | Configuration | None = None,
        *,
        tasks: Iterable[Callable[..., Any]] = (),
        executors: Mapping[str, Executor] | None = None,
        models: ModelProvider | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._configuration = config if isinstance(config, Configuration) else configuration_from(config or {})
        self._registries = Registries(tasks, executors=executors, models=models)
        self._bell = Bell(*([observer] if observer is not None else []))
        self._clock = clock or SystemClock()
        self._kept = Kept(self._new_session)
        self._thread = LoopThread(self.close)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop. Work in flight is stopped without a result and goes on when an engine next opens the store."""
        await self._kept.close()

    async def start_workflow(
        self,
        definition: Definition,
        input: Any = None,  # noqa: A002
        *,
        key: str | None = None,
        dialect: str | None = None,
    ) -> str:
        """Start an execution; returns its id (a UUID) once the start is durable. It runs in the background.

        Args:
            definition: a dict, a `Workflow`, YAML or JSON text, the path of a file, or the name of a registered
                workflow (`NAME` or `NAME@VERSION`).
            input: the workflow's input, an object as JSON has it.
            key: makes the start idempotent: the same key and input return the first execution.
            dialect: the name of the dialect that the definition is written in; told from it when None.

        Raises:
            InvalidDefinition: with every finding. InvalidInput: with every violation. Conflict: the key was used with
            another input. In each case nothing is stored. StoreError: it could not be stored.
        """
        session = await self._open()
        plan = await session.definitions.plan_of(definition, dialect=dialect)
        return await session.engine.start(plan, input, start_key=key)

    async def result(self, execution_id: str) -> dict[str, Any]:
        """Wait for the end of an execution; returns its report.

        Raises:
            NotFound: there is no such execution.
        """
        session = await self._open()
        await session.engine.ended(execution_id)
        return await self._reading(session).execution(execution_id)

    def handle(self, execution_id: str) -> WorkflowHandle:
        """An execution to operate: pause, resume, cancel, retry it and so on, wherever it runs."""
        return WorkflowHandle(execution_id, self._operators, self.result, self._events, self._send_signal)

    async def execute_workflow(
        self,
        definition: Definition,
        input: Any = None,  # noqa: A002
        *,
        dialect: str | None = None,
    ) -> dict[str, Any]:
        """Start an execution and wait for its end; returns its report, or the result of a step map as those have it:
        `{status, results, execution_time}`. Takes and raises what `start_workflow` does."""
        session = await self._open()
        plan = await session.definitions.plan_of(definition, dialect=dialect)
        report = await self.result(await session.engine.start(plan, input))
        return result_of(report) if plan.definition.dialect == STEP_MAP.name else report

    async def get_workflow_status(self, execution_id: str) -> WorkflowExecution:
        """What is recorded of an execution, during its run and after.

        Raises:
            NotFound: there is no such execution.
        """
        report = await self._reading(await self._open()).execution(execution_id)
        status = report["status"] if report["status"] != "waiting" else WorkflowStatus.RUNNING
        return WorkflowExecution(
            id=execution_id,
            workflow=report["workflow"],
            version=report["version"],
            status=WorkflowStatus(status),
            input_data=report["input"],
            output_data=report["output"],
            error_message=report["error"]["message"] if report["error"] else None,
            started_at=report["started_at"],
            completed_at=report["completed_at"],
            report=report,
        )

    async def load(self) -> dict[str, dict[str, int | None]]:
        """How busy this engine is: `at_work`, `in_line` and `limit` of `workflows` and of `tasks`."""
        session = await self._open()
        return {"workflows": session.engine.load(), "tasks": session.worker.load()}

    async def get_workflow_state(self, execution_id: str) -> dict[str, Any]:
        """`id`, `status`, `started_at`, `current_activity` (a list when there are several) and `variables`, in the
        words of workflows of activities.

        Raises:
            NotFound: there is no such execution.
        """
        return await workflow_state(self._reading(await self._open()), execution_id)

    async def get_activity_states(self, execution_id: str) -> list[dict[str, Any]]:
        """Of each activity, also of those that undo: `id`, `name`, `status`, `started_at`, `completed_at`, `input`,
        `output` and `attempts`, a list of the tries: `attempt`, `status`, `started_at`, `completed_at`, `error`.

        Raises:
            NotFound: there is no such execution.
        """
        return await activity_states(self._reading(await self._open()), execution_id)

    async def monitoring(self) -> dict[str, Any]:
        """How things stand in the store: `active_workflows`, `completed_today` and `failed_today` (a day in UTC),
        `average_duration` of what ended today, and `current_load`: `low`, `medium` or `high`."""
        store = (await self._open()).store
        limit = self._configuration.execution.max_workflows
        return await Monitoring(store, self._clock, limit, fresh=0).monitoring()

    async def metrics(self) -> dict[str, Any]:
        """Figures of the last 24 hours: `execution_time` with `avg`, `p95` and `p99` in seconds, `success_rate` and
        `error_rate` in percent, `throughput` in executions per hour. Times and rates of nothing are None."""
        return await Monitoring((await self._open()).store, self._clock, None, fresh=0).metrics()

    async def gates(self) -> list[GateState]:
        """The circuit breakers, bulkheads and rate limits that were used since the engine was opened, in order of name:
        their state, who runs and waits, what was rejected; of circuit breakers also error rate and latency."""
        return (await self._open()).engine.gates()

    async def publish_event(
        self,
        type: str,  # noqa: A002
        data: Any = None,
        *,
        source: str = "stepwell",
        id: str | None = None,  # noqa: A002
        subject: str | None = None,
    ) -> PublishedEvent:
        """Publish an event: it wakes the steps that wait for it, now or later, and starts the registered workflows that
        have a trigger for it. Durable when it returns, and so is what it started.

        Args:
            id: unique within `source`; a second event with both is a duplicate. Made when None.

        Raises:
            ValueError: the data is not a JSON value. UsageError: the type is empty, or the source that of signals;
            (code `event-too-large`) the data takes more than 256 KiB as JSON.
        """
        check_json(data, what="data")
        check_size(data)
        if not type.strip():
            raise UsageError("an event needs a type", code="invalid-event")
        if source == SIGNAL:
            message = f"{SIGNAL!r} is the source of signals to one execution"
            raise UsageError(message, hint="send it with `engine.handle(id).signal(...)`")
        session, event = await self._open(), self._event(type, data, source, id, subject)
        return await session.triggering.publish_by(session.engine, event, self._clock.now())

    async def trigger_counts(self) -> list[dict[str, Any]]:
        """How often the event triggers of workflows fired since the engine was opened: for each `workflow` and
        `trigger` (its position), how many events `started` an execution, found one `present` that such an event had
        started before, were `filtered`, or `refused` for their input. Only events published by this engine count."""
        return (await self._open()).triggering.counts()

    async def register_workflow(
        self,
        definition: Definition,
        *,
        lifecycle: Literal["draft", "active"] = "active",
        by: str | None = None,
        reason: str | None = None,
    ) -> dict[str, Any]:
        """Register a workflow under its name and version, for ever; then it can be started, and be a step of others, by
        its name. Returns the registered version as `stepwell workflow show -o json` prints it, without its text.

        Args:
            definition: a dict, YAML or JSON text, or the path of a file.
            lifecycle: a `draft` is not to be started yet.
            by: who registers it; the user of this process when None. `reason`: why, for the record.

        Raises:
            InvalidDefinition: with every finding. Conflict: (code `version-exists`) the version is there with other
            content.
        """
        session = await self._open()
        plan = await session.definitions.plan_of(definition)
        registered = await Registry(session.store).register(
            plan.definition,
            draft=lifecycle == "draft",
            at=self._clock.now(),
            by=by if by is not None else this_user(),
            reason=reason,
        )
        return registration_report(registered.registration)

    async def approvals(self, *, limit: int = 1_000) -> list[dict[str, Any]]:
        """The questions that wait for an answer, those of the oldest executions first.

        Each has `execution_id`, `workflow`, `version`, `status`, `step`, `prompt`, `assigned_to` (a list, or None for
        anybody), `response_schema`, `since`, `due_at`, and `default` when there is one.
        """
        session = await self._open()
        page = await Approvals(session.store, self._reading(session)).list(limit=limit)
        items: list[dict[str, Any]] = page["items"]
        return items

    async def respond(self, execution_id: str, step: str, response: Any, *, by: str = "") -> Published:
        """Answer what a step of type `approval`, or a task, asks. Durable when it returns.

        Args:
            step: its key, such as `approve` or `approve[2]`.
            response: a JSON value.
            by: who answers; empty for nobody in particular.

        Raises:
            NotFound: there is no such execution or step. Conflict: (code `already-answered`, `not-waiting`) it waits
            for no answer. UsageError: (code `invalid-answer`) this person may not answer, or not in this way.
        """
        session = await self._open()
        asked = Approvals(session.store, self._reading(session))
        event = await asked.answer(execution_id, step, response, by, self._clock.now())
        return await session.engine.publish(event)

    def run(
        self,
        definition: Definition,
        input: Any = None,  # noqa: A002
        *,
        dialect: str | None = None,
    ) -> dict[str, Any]:
        """`execute_workflow` for callers without an event loop, from any thread and from several at once.

        An engine that is not open is opened, and closed when nobody runs anything on it any more.

        Raises:
            UsageError: (code `inside-event-loop`) an event loop runs in this thread. What `execute_workflow` raises.
        """
        refuse_inside_a_loop("run()", "engine.execute_workflow(...)")
        return self._waited_for(lambda: self.execute_workflow(definition, input, dialect=dialect))

    def _waited_for(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What a coroutine gives, for a thread without an event loop: on the loop that the engine is open on."""
        loop = self._kept.loop
        return self._thread.run(work) if loop is None or self._thread.owns(loop) else run_on(loop, work)

    async def _open(self) -> Session:
        return await self._kept.open()

    def _new_session(self) -> AbstractAsyncContextManager[Session]:
        configuration = self._configuration
        return open_session(
            configuration,
            self._registries,
            take_over=True,
            observer=self._bell,
            clock=self._clock,
            joins=joining_of(configuration, node_name()) if configuration.cluster.enabled else None,
        )

    async def _operators(self) -> tuple[Session, Operators]:
        session = await self._open()
        operators = Operators(
            session.store, session.codec, session.definitions, self._clock, owner_name(), box=session.engine.post_box
        )
        return session, operators

    async def _events(self, execution_id: str, after: int) -> AsyncIterator[LifecycleEvent]:
        reading = self._reading(await self._open())
        async for event in self._bell.events(execution_id, reading, after):
            yield event

    async def _send_signal(self, execution_id: str, type_: str, data: Any) -> Published:
        check_json(data, what="data")
        check_size(data)
        session = await self._open()
        if await self._reading(session).is_over(execution_id):
            message = f"execution {execution_id} has ended, so a signal would reach nobody"
            raise Conflict(message, code="execution-ended")
        return await session.engine.publish(self._event(type_, data, SIGNAL, None, execution_id))

    def _event(self, type_: str, data: Any, source: str, id_: str | None, subject: str | None) -> Event:
        unique, now = id_ or secrets.token_hex(16), self._clock.now()
        return Event(id=unique, type=type_, source=source, data=data, subject=subject, time=now)

    def _reading(self, session: Session) -> Reading:
        return Reading(session.store, session.codec, session.definitions)
