"""The engine as Python programs use it."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal

import msgspec

from stepwell.app.approvals import Approvals
from stepwell.app.configuration import Configuration, configuration_from
from stepwell.app.definitions import Definition
from stepwell.app.handle import WorkflowHandle
from stepwell.app.operating import Operators
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.registry import Registry, registration_report
from stepwell.app.session import Session, open_session, owner_name
from stepwell.app.who import this_user
from stepwell.base.clock import Clock, SystemClock
from stepwell.base.values import check_json
from stepwell.engine.gates import GateState
from stepwell.execution.event import Event
from stepwell.execution.status import ExecutionStatus
from stepwell.ports import Observer, Published

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
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._configuration = config if isinstance(config, Configuration) else configuration_from(config or {})
        self._registries = Registries(tasks)
        self._observer = observer
        self._clock = clock or SystemClock()
        self._stack: AsyncExitStack | None = None
        self._session: Session | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> WorkflowEngine:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop. Work in flight is stopped without a result and goes on when an engine next opens the store."""
        stack, self._stack, self._session = self._stack, None, None
        if stack is not None:
            await stack.aclose()

    async def start_workflow(self, definition: Definition, input: Any = None, *, key: str | None = None) -> str:  # noqa: A002
        """Start an execution; returns its id (a UUID) once the start is durable. It runs in the background.

        Args:
            definition: a dict, YAML or JSON text, or the path of a file.
            input: the workflow's input, an object as JSON has it.
            key: makes the start idempotent: the same key and input return the first execution.

        Raises:
            InvalidDefinition: with every finding. InvalidInput: with every violation. Conflict: the key was used with
            another input. In each case nothing is stored. StoreError: it could not be stored.
        """
        session = await self._open()
        plan = await session.definitions.plan_of(definition)
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
        return WorkflowHandle(execution_id, self._operators, self.result)

    async def execute_workflow(self, definition: Definition, input: Any = None) -> dict[str, Any]:  # noqa: A002
        """Start an execution and wait for its end; returns its report. Raises what `start_workflow` raises."""
        return await self.result(await self.start_workflow(definition, input))

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
    ) -> Published:
        """Publish an event to the steps that wait for it, now or later. Durable when it returns.

        Args:
            id: unique within `source`; a second event with both is a duplicate. Made when None.

        Raises:
            ValueError: the data is not a JSON value.
        """
        check_json(data, what="data")
        session = await self._open()
        event = Event(
            id=id or secrets.token_hex(16), type=type, source=source, data=data, subject=subject, time=self._clock.now()
        )
        return await session.engine.publish(event)

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
        """Answer the question of a step of type `approval`. Durable when it returns.

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

    def run(self, definition: Definition, input: Any = None) -> dict[str, Any]:  # noqa: A002
        """`execute_workflow` for callers without an event loop; opens and closes the engine."""

        async def whole() -> dict[str, Any]:
            async with self:
                return await self.execute_workflow(definition, input)

        return asyncio.run(whole())

    async def _open(self) -> Session:
        if self._session is not None:
            return self._session
        async with self._opening:
            if self._session is None:
                stack = AsyncExitStack()
                self._session = await stack.enter_async_context(
                    open_session(
                        self._configuration,
                        self._registries,
                        take_over=True,
                        observer=self._observer,
                        clock=self._clock,
                    )
                )
                self._stack = stack
        return self._session

    async def _operators(self) -> tuple[Session, Operators]:
        session = await self._open()
        operators = Operators(session.store, session.codec, session.definitions, self._clock, owner_name())
        return session, operators

    def _reading(self, session: Session) -> Reading:
        return Reading(session.store, session.codec, session.definitions)
