"""The tries of activities, read from the history of an execution."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import masked
from stepwell.execution.history import (
    ApprovalRequested,
    AttemptFailed,
    ChildStarted,
    HistoryEvent,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepScheduled,
    TimerStarted,
    WaitStarted,
)

Attempt = dict[str, Any]
"""`{attempt, status, started_at, completed_at, error}`: the number of the try, from 1 on; `running`, `completed`,
`failed` or `cancelled`; RFC 3339 text."""


def attempts_of(history: Iterable[HistoryEvent]) -> dict[str, list[Attempt]]:
    """The tries of each step that has begun, in order. What waits is at work from when it began to wait."""
    found: dict[str, list[Attempt]] = {}
    for event in history:
        match event:
            case StepScheduled():
                _begin(found.setdefault(event.step, []), event.at, event.attempt)
            case WaitStarted() | TimerStarted() | ApprovalRequested() | ChildStarted():
                tries = found.setdefault(event.step, [])
                if _open(tries) is None:
                    _begin(tries, event.at)
            case AttemptFailed() | StepFailed():
                _end(found.setdefault(event.step, []), "failed", event.at, event.started_at, event.error)
            case StepCompleted():
                _end(found.setdefault(event.step, []), "completed", event.at, event.started_at)
            case StepCancelled() if _open(found.get(event.step, [])) is not None:
                _end(found[event.step], "cancelled", event.at)
            case _:
                pass
    return found


def _begin(tries: list[Attempt], at: int, number: int | None = None) -> Attempt:
    begun = {
        "attempt": number if number is not None else len(tries) + 1,
        "status": "running",
        "started_at": to_rfc3339(at),
        "completed_at": None,
        "error": None,
    }
    tries.append(begun)
    return begun


def _open(tries: list[Attempt]) -> Attempt | None:
    return tries[-1] if tries and tries[-1]["completed_at"] is None else None


def _end(
    tries: list[Attempt], status: str, at: int, started_at: int | None = None, error: ErrorInfo | None = None
) -> None:
    last = _open(tries) or _begin(tries, at if started_at is None else started_at)
    if started_at is not None:
        last["started_at"] = to_rfc3339(started_at)
    last |= {"status": status, "completed_at": to_rfc3339(at), "error": masked(error.as_dict()) if error else None}
