"""Starting registered workflows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from stepwell.app.registry import Reference, Registry
from stepwell.app.session import Session
from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict
from stepwell.decider.create import Start, create
from stepwell.decider.plan import Plan
from stepwell.execution.state import ExecutionState
from stepwell.telemetry.tracing import parsed


class Started(msgspec.Struct, frozen=True):
    """An execution that was started.

    Attributes:
        warning: what speaks against starting this version, or None.
        is_new: False when one with the same key was there.
    """

    execution: str
    plan: Plan
    warning: str | None = None
    is_new: bool = True


class Closing(asyncio.Event):
    """Set when a server is about to end; calls those who asked for it."""

    def __init__(self) -> None:
        super().__init__()
        self._callbacks: set[Callable[[], None]] = set()

    def set(self) -> None:
        super().set()
        for callback in list(self._callbacks):
            callback()

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call back when it is set, as long as this lasts; at once when it is set."""
        self._callbacks.add(callback)
        try:
            if self.is_set():
                callback()
            yield
        finally:
            self._callbacks.discard(callback)


class Starting:
    """Starts workflows by their names."""

    def __init__(self, session: Session, clock: Clock) -> None:
        self._session = session
        self._clock = clock
        self._registry = Registry(session.store)
        self._known: dict[Reference, tuple[Plan, str | None]] = {}
        self._mark: Any = None

    async def start(
        self, reference: Reference, given: Any, *, key: str | None = None, tags: Sequence[str] = (), trace: str = ""
    ) -> Started:
        """Start an execution; durable when this returns.

        Args:
            key: makes the start idempotent among those of the same workflow: the same key and input return the first
                execution, whatever the default version is by now.
            tags: what it is listed under, beside the tags of the workflow.
            trace: the W3C `traceparent` of whoever asks, or empty; what is none is ignored.

        Raises:
            NotFound: it is not registered. InvalidInput. Conflict: it must not be started, or (code `start-key-reused`)
            the key was used with another input or version. NotAllowed: it uses what it may not any more.
        """
        start_key = f"http:{reference.name}:{key}" if key is not None else None
        if start_key is not None:
            first = await self._first(reference, given, start_key)
            if first is not None:
                return first
        plan, warning = await self._startable(reference)
        execution = await self._session.engine.start(
            plan, given, start_key=start_key, tags=tags, trace=trace if parsed(trace) else ""
        )
        return Started(execution, plan, warning)

    async def _startable(self, reference: Reference) -> tuple[Plan, str | None]:
        """The plan to start; read anew only when something that is registered has changed."""
        mark = await self._session.store.registry_mark()
        if mark != self._mark:
            self._known.clear()
            self._mark = mark
        known = self._known.get(reference)
        if known is None:
            found = await self._registry.startable(reference)
            plan = await self._session.definitions.plan(found.registration.digest)
            await self._session.allowances.check_start(found.registration, plan.definition)
            known = plan, found.warning
            self._known[reference] = known
        return known

    async def _first(self, reference: Reference, given: Any, start_key: str) -> Started | None:
        """What was started with this key before."""
        execution = await self._session.store.find_start(start_key)
        if execution is None:
            return None
        state = await self._session.engine.state(execution)
        plan = await self._session.definitions.plan(state.digest)
        wanted = create(plan, Start(id="", input=given, seed=b"", start_key=start_key), self._clock.now())
        if state.input != wanted.input or reference.version not in (None, state.version):
            raise Conflict(
                f"the key was used to start {state.workflow} {state.version} with another input or version",
                code="start-key-reused",
                hint=f"use another key, or look at execution {execution}",
            )
        return Started(execution, plan, is_new=False)

    async def ended(self, execution: str, longest: int, unless: Closing) -> ExecutionState | None:
        """The state in which the execution ended; None when it does not end within `longest` microseconds, or it is
        closing time, or another engine runs it."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as limit:

                def stop() -> None:
                    limit.reschedule(loop.time())

                timer = self._clock.call_at(self._clock.now() + longest, stop)
                try:
                    with unless.calling(stop):
                        return await self._session.engine.ended(execution)
                finally:
                    timer.cancel()
        except TimeoutError:
            return None
        except Conflict as conflict:
            if conflict.code != "run-elsewhere":
                raise
            return None
