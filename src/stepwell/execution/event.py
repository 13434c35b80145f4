"""Events from outside: what a `wait_for_event` step waits for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from stepwell.base.errors import UsageError
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.base.values import unsealed

ANSWER: Final = "stepwell.approval.answered"
"""The type of the events with which people answer approvals: `data` is `{execution, step, response, by}`."""


SIGNAL: Final = "stepwell.signal"
"""The source of the events that are meant for one execution: `subject` is its id."""

LARGEST_DATA: Final = 256 * 1024
"""The most that the `data` of an event may take, in bytes of JSON (UTF-8, without spaces)."""

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


class EventTooLarge(UsageError):
    """The data of an event takes more than `LARGEST_DATA`."""

    code = "event-too-large"


def reserved_problem(event: Event) -> str | None:
    """Why an event from outside, or from a step, is not accepted, or None: it has a name that is the engine's own."""
    if event.type.startswith(RESERVED):
        return f"types that begin with {RESERVED!r} are the engine's own, saw {event.type!r}"
    if event.source.startswith(RESERVED):
        return f"sources that begin with {RESERVED!r} are the engine's own, saw {event.source!r}"
    return None


def check_size(data: Any) -> None:
    """Refuse what is too much for an event: nothing of it is stored then.

    Args:
        data: the `data` of an event, a JSON value.

    Raises:
        EventTooLarge: it takes more than `LARGEST_DATA`.
    """
    size = len(msgspec.json.encode(unsealed(data)))
    if size > LARGEST_DATA:
        message = f"the data of an event takes at most {LARGEST_DATA:,} bytes as JSON, and this {size:,}"
        raise EventTooLarge(message, hint="keep what is large elsewhere, and say in the event where it is")
