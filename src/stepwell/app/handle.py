"""One execution, as Python programs operate it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any

from stepwell.app.lifecycle import LifecycleEvent
from stepwell.app.operating import Move, Operators
from stepwell.app.session import Session
from stepwell.app.who import this_user
from stepwell.base.errors import Conflict
from stepwell.base.values import check_json
from stepwell.engine.forking import Forked
from stepwell.engine.operating import Answer
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
    CompleteStep,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
)
from stepwell.ports.records import Published

Opened = Callable[[], Awaitable[tuple[Session, Operators]]]
"""Gives the engine of this process, and the way to executions that others run."""


class WorkflowHandle:
    """An execution and what an operator can do with it.

    Every method says who (`by`; this user, unless given) and why (`reason`); both are recorded with what is done. What
    was asked for is durable when a method returns, wherever the execution runs. Most return an `Answer`, which has
    `changed`, `said` and `status`.

    Raises (all methods):
        NotFound: there is no such execution, step or checkpoint. Conflict: it makes no sense in the status that the
        execution is in; nothing is recorded, and the message says what is possible.
    """

    def __init__(
        self,
        execution_id: str,
        opened: Opened,
        result: Callable[[str], Awaitable[dict[str, Any]]],
        events: Callable[[str, int], AsyncIterator[LifecycleEvent]],
        signal: Callable[[str, str, Any], Awaitable[Published]],
    ) -> None:
        self.id = execution_id
        self._opened = opened
        self._result = result
        self._events = events
        self._signal = signal

    async def result(self) -> dict[str, Any]:
        """Wait for the end; returns the report."""
        return await self._result(self.id)

    def events(self, after: int = 0) -> AsyncIterator[LifecycleEvent]:
        """What happens to it: first what has happened, then each event as it is committed, until the execution has
        ended. `async for event in handle.events()`.

        Args:
            after: the `seq` of the last event that is known already.
        """
        return self._events(self.id, after)

    async def signal(self, type: str, data: Any = None) -> Published:  # noqa: A002
        """Send an event to this execution alone: to its steps that wait for events of this type, now or later.

        Args:
            data: the payload, a JSON value.
        """
        return await self._signal(self.id, type, data)

    async def pause(self, reason: str = "", *, by: str | None = None) -> Answer:
        """What runs may end, and nothing new starts."""
        return await self._ask(Pause(by=by or this_user(), reason=reason))

    async def resume(self, reason: str = "", *, by: str | None = None) -> Answer:
        """Go on after a pause. Steps whose failure paused the execution are tried again."""
        return await self._ask(Resume(by=by or this_user(), reason=reason))

    async def cancel(
        self,
        reason: str = "",
        *,
        stop_running: bool | None = None,
        compensate: bool | None = None,
        by: str | None = None,
    ) -> Answer:
        """End it as cancelled, once what runs has ended.

        Args:
            stop_running: stop that instead; None: as the workflow says.
            compensate: undo what was done before; None: as the workflow says.
        """
        return await self._ask(Cancel(by=by or this_user(), reason=reason, stop=stop_running, compensate=compensate))

    async def terminate(self, reason: str = "", *, by: str | None = None) -> Answer:
        """End it as cancelled, at once: everything is stopped and nothing is undone."""
        return await self._ask(Terminate(by=by or this_user(), reason=reason))

    async def compensate(self, reason: str = "", *, by: str | None = None) -> Answer:
        """Start the compensation that waits for an operator."""
        return await self._ask(Compensate(by=by or this_user(), reason=reason))

    async def retry(
        self,
        steps: Sequence[str] = (),
        *,
        settings: Mapping[str, Any] | None = None,
        reason: str = "",
        by: str | None = None,
    ) -> Answer:
        """Try failed steps of a failed execution again, all or those named: the same work, with further attempts.

        Args:
            settings: JSON values that are put over the settings of the step, when it is one.
        """
        given = _json_object(settings)
        return await self._ask(Retry(by=by or this_user(), reason=reason, steps=tuple(steps), settings=given))

    async def rerun(
        self,
        step: str,
        *,
        settings: Mapping[str, Any] | None = None,
        keep_items: bool = False,
        reason: str = "",
        by: str | None = None,
    ) -> Answer:
        """Run a step and everything behind it again: other work, with idempotency keys of its own.

        Args:
            settings: JSON values that are put over the settings of the step.
            keep_items: of a step with `for_each`, run only what has not completed.
        """
        given = _json_object(settings)
        verb = Rerun(by=by or this_user(), reason=reason, step=step, settings=given, keep_items=keep_items)
        return await self._ask(verb)

    async def rollback(self, checkpoint: str, *, reason: str = "", by: str | None = None) -> Answer:
        """Undo what completed after a checkpoint, and go on from there."""
        return await self._ask(Rollback(by=by or this_user(), reason=reason, checkpoint=checkpoint))

    async def skip_step(self, step: str, *, force: bool = False, reason: str = "", by: str | None = None) -> Answer:
        """Let a step that has not completed count as skipped. `force`: stop it when it runs."""
        return await self._ask(SkipStep(by=by or this_user(), reason=reason, step=step, force=force))

    async def complete_step(
        self, step: str, output: Any = None, *, force: bool = False, reason: str = "", by: str | None = None
    ) -> Answer:
        """Let a step that has not completed count as completed with that output. `force`: stop it when it runs."""
        check_json(output, what="output")
        verb = CompleteStep(by=by or this_user(), reason=reason, step=step, output=output, force=force)
        return await self._ask(verb)

    async def migrate(
        self,
        version: str,
        *,
        names: Mapping[str, str] | None = None,
        dry_run: bool = False,
        reason: str = "",
        by: str | None = None,
    ) -> Move:
        """Go on with another registered version of the workflow, when all that has run fits into it.

        Args:
            names: new names of steps by their old ones.
            dry_run: only look: `problems` says why not.
        """
        session, operators = await self._opened()
        return await operators.move(
            self.id,
            version,
            names or {},
            by=by or this_user(),
            reason=reason,
            dry_run=dry_run,
            ask=lambda _, verb: self._ask_here_or(session, operators, verb),
        )

    async def fork(self, at: int, *, reason: str = "", by: str | None = None) -> Forked:
        """Begin another execution with the history of this one, to the end of the turn of event number `at`. It runs
        here; its id is in what is returned."""
        session, _ = await self._opened()
        return await session.engine.fork(self.id, at, by=by or this_user(), reason=reason)

    async def _ask(self, verb: Verb) -> Answer:
        session, operators = await self._opened()
        return await self._ask_here_or(session, operators, verb)

    async def _ask_here_or(self, session: Session, operators: Operators, verb: Verb) -> Answer:
        try:
            return await session.engine.operate(self.id, verb)
        except Conflict as conflict:
            if conflict.code != "run-elsewhere":
                raise
        return (await operators.ask(self.id, verb)).answer


def _json_object(settings: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if settings is None:
        return None
    check_json(settings, what="settings")
    return dict(settings)
