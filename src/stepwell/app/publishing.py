"""Events that come in where an engine runs: stored, handed to those who wait, and what they start started."""

from __future__ import annotations

import secrets
from typing import Any

from stepwell.app.approval_care import ApprovalCare
from stepwell.app.reading import Reading
from stepwell.app.session import Session
from stepwell.app.triggering import PublishedEvent
from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict, UsageError
from stepwell.execution.event import SIGNAL, Event, check_size, reserved_problem
from stepwell.ports.records import Published


class Publishing:
    """Takes events."""

    def __init__(self, session: Session, reading: Reading, approvals: ApprovalCare, clock: Clock) -> None:
        self._session = session
        self._reading = reading
        self._approvals = approvals
        self._clock = clock

    async def publish(self, event: Event) -> PublishedEvent:
        """Take an event from outside. Durable when this returns, and so is what it started.

        Raises:
            UsageError: (code `reserved-event`) only the engine sends such events; (code `event-too-large`) it is.
        """
        problem = reserved_problem(event)
        if problem is not None:
            raise UsageError(problem, code="reserved-event")
        check_size(event.data)
        return await self._session.triggering.publish_by(self._session.engine, event, self._clock.now())

    async def signal(self, execution: str, type_: str, data: Any) -> tuple[Event, Published]:
        """Send an event to one execution.

        Raises:
            NotFound: there is no such execution. Conflict: (code `execution-ended`) it would reach nobody.
            EventTooLarge: its data is.
        """
        event = await signal_event(self._reading, execution, type_, data, self._clock.now())
        return event, await self._session.engine.publish(event)

    async def answer(self, execution: str, step: str, response: Any, by: str) -> tuple[Event, Published]:
        """Answer the question of a step.

        Raises:
            NotFound, Conflict, UsageError: see `ApprovalCare.answer`; nothing was sent then.
        """
        event = await self._approvals.answer(execution, step, response, by)
        published = await self._session.engine.publish(event)
        if not published.waits:  # it was waiting a moment ago
            raise Conflict(f"step {step!r} of execution {execution} has just ceased to wait", code="not-waiting")
        return event, published


async def signal_event(reading: Reading, execution: str, type_: str, data: Any, at: int) -> Event:
    """The event that is meant for one execution, to be published.

    Raises:
        NotFound: there is no such execution. Conflict: (code `execution-ended`) it would reach nobody. EventTooLarge:
        its data is.
    """
    check_size(data)
    if await reading.is_over(execution):
        message = f"execution {execution} has ended, so a signal would reach nobody"
        raise Conflict(message, code="execution-ended")
    return Event(id=secrets.token_hex(16), type=type_, source=SIGNAL, data=data, subject=execution, time=at)
