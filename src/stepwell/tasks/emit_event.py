"""`emit_event {type, data, subject}`: an event from inside a workflow, as durable as one from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from stepwell.base.clock import Clock
from stepwell.execution.event import Event, EventTooLarge, check_size, reserved_problem
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.tasks.settings import invalid_config, read_settings

Publish = Callable[[Event, str], Awaitable[bool]]
"""Stores an event that came in a trace (as the W3C writes it; empty for none), and all that it starts; whether it was
new. Durable when it returns."""


class _EmitEventSettings(msgspec.Struct, forbid_unknown_fields=True):
    type: str
    data: Any = None
    subject: str | None = None


class EmitEventHandler(TaskHandler):
    """Publishes. The event's id is the step's idempotency key, so that one that is published again is a duplicate.

    The result is `{id, type, source}`; the source is `stepwell/{workflow}`.
    """

    def __init__(self, publish: Publish, clock: Clock) -> None:
        self._publish = publish
        self._clock = clock

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Publish the event.

        Raises:
            TaskError: (type `invalid_config`) it cannot be one; (type `event_too_large`) its data takes too much.
            StoreError: it was not stored; may be tried again.
        """
        settings = read_settings(config, _EmitEventSettings, "emit_event")
        if not settings.type.strip():
            raise invalid_config("emit_event", "its type is empty")
        event = Event(
            id=context.idempotency_key,
            type=settings.type,
            source=f"stepwell/{context.workflow}",
            data=settings.data,
            subject=settings.subject,
            time=self._clock.now(),
        )
        problem = reserved_problem(event)
        if problem is not None:
            raise invalid_config("emit_event", problem)
        try:
            check_size(event.data)
        except EventTooLarge as error:
            raise TaskError("event_too_large", str(error)) from None
        await self._publish(event, context.traceparent or "")
        return TaskResult({"id": event.id, "type": event.type, "source": event.source})
