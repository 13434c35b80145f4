"""History events from what users are shown of them: the way back from `report.event_report`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec
from msgspec.structs import fields

from stepwell.base.instants import from_rfc3339
from stepwell.execution.event import Event
from stepwell.execution.history import HistoryEvent

_KINDS: Final[Mapping[str, type[Any]]] = {kind.__name__: kind for kind in get_args(HistoryEvent)}
_INSTANTS: Final = frozenset({"at", "started_at", "retry_at", "due", "deadline"})
_WITH_EVENTS: Final = frozenset(
    kind for kind in _KINDS.values() if any(each.name == "event" and each.type is Event for each in fields(kind))
)
"""Elsewhere the event is kept as expressions see it."""
_UNKNOWN: Final = {"seed": b""}
"""What is never shown."""


def event_of(report: Mapping[str, Any]) -> HistoryEvent | None:
    """The event that a report shows, with `***` where it shows that; None when it is of a kind that is not known here.

    Raises:
        ValueError: it is no report of such an event.
    """
    kind = _KINDS.get(str(report.get("event")))
    if kind is None:
        return None
    values = [_value(kind, name, report) for name in kind.__struct_fields__]
    try:
        event: HistoryEvent = msgspec.convert([kind.__struct_config__.tag, *values], kind)
    except (msgspec.ValidationError, TypeError) as error:
        raise ValueError(f"{report['event']}: {error}") from None
    return event


def _value(kind: type[Any], name: str, report: Mapping[str, Any]) -> Any:
    if name in _UNKNOWN:
        return _UNKNOWN[name]
    shown = report.get("received" if name == "event" else name)
    if name in _INSTANTS and shown is not None:
        return from_rfc3339(shown)
    if name == "event" and kind in _WITH_EVENTS and isinstance(shown, Mapping):
        return msgspec.to_builtins(Event.from_dict(shown))
    if name == "error" and isinstance(shown, Mapping) and not shown.get("details"):
        return {**shown, "details": None}
    return shown
