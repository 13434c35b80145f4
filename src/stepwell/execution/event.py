"""Events from outside: what a `wait_for_event` step waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stepwell.base.instants import from_rfc3339, to_rfc3339

ANSWER: Final = "stepwell.approval.answered"
"""The type of the events with which people answer approvals: `data` is `{execution, step, response, by}`."""


SIGNAL: Final = "stepwell.signal"
"""The source of the events that are meant for one execution: `subject` is its id."""

RESERVED: Final = "stepwell."
"""Types of events that begin so are the engine's own: nobody else may send them, or anybody could answer for others."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """A CloudEvent (CloudEvents 1.0 attribute names).

    Attributes:
        id: unique within `source`; the two together identify the event, and a second one with both is a duplicate.
        type: such as `user.email_verified`.
        source: who sent it.
        data: the payload, a JSON value.
        subject: what it is about, or None.
        time: when it happened, in microseconds since the Unix epoch.
    """

    id: str
    type: str
    source: str
    data: Any = None
    subject: str | None = None
    time: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The event as expressions see it."""
        return {
            "id": self.id,
            "type": self.type,
            "source": self.source,
            "data": self.data,
            "subject": self.subject,
            "time": to_rfc3339(self.time),
        }

    def is_for_another_than(self, execution: str) -> bool:
        """Whether it is a signal to another execution."""
        return self.source == SIGNAL and self.subject != execution

    @staticmethod
    def from_dict(seen: Mapping[str, Any]) -> Event:
        """The event that expressions saw so."""
        return Event(**{**seen, "time": from_rfc3339(seen["time"])})


def reserved_problem(event: Event) -> str | None:
    """Why an event from outside, or from a step, is not accepted, or None: it has a name that is the engine's own."""
    if event.type.startswith(RESERVED):
        return f"types that begin with {RESERVED!r} are the engine's own, saw {event.type!r}"
    if event.source.startswith(RESERVED):
        return f"sources that begin with {RESERVED!r} are the engine's own, saw {event.source!r}"
    return None
