"""Which verb makes sense in which status, and the refusals where it does not. A refusal changes and records nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepwell.base.errors import Conflict
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.execution.status import ExecutionStatus as E
from stepwell.execution.verbs import DONE

_BY_HAND: Final = ("skip-step", "complete-step")
LEGAL: Final[Mapping[E, tuple[str, ...]]] = {
    E.PENDING: ("cancel", "terminate", "migrate"),
    E.RUNNING: ("pause", "cancel", "terminate", "rerun", "rollback", "fork", *_BY_HAND, "migrate"),
    E.PAUSED: ("resume", "cancel", "terminate", "rerun", "rollback", "fork", *_BY_HAND, "migrate"),
    E.COMPENSATING: ("cancel", "terminate", "compensate"),
    E.COMPLETED: ("rerun", "rollback", "fork"),
    E.FAILED: ("retry", "rerun", "rollback", "fork", *_BY_HAND),
    E.CANCELLED: ("rerun", "rollback", "fork"),
}
"""What an operator can do, by status. `pause` of a paused execution is no mistake: it changes nothing."""

REFUSALS: Final[Mapping[str, str]] = {
    "already-ended": "the execution has ended, and what was asked for makes no sense after the end",
    "being-cancelled": "the execution is being cancelled",
    "compensated": "what the execution had done was undone, or not all of it could be: nothing can be built on it",
    "compensating": "the execution undoes what it had done; that goes on, unless it is terminated",
    "failing": "the execution has failed, and only what runs still ends",
    "illegal-verb": "what was asked for makes no sense in the status that the execution is in",
    "not-awaited": "no compensation waits to be started",
    "not-failed": "only a failed execution can be retried",
    "not-paused": "only a paused execution can be resumed",
    "nothing-to-retry": "the execution failed as a whole, and no step so that it could be tried again",
}
"""The codes of refusals, and what they mean."""

_WHILE_CANCELLED: Final = frozenset({"cancel", "terminate", "compensate", "fork"})
_NOT_UNDONE: Final = frozenset({"retry", "rerun", "rollback", *_BY_HAND})
"""What builds on results: they must not have been undone."""


def check_legal(state: ExecutionState, verb: str) -> None:
    """Refuse what makes no sense in the status that the execution is in.

    Raises:
        Conflict: the code is one of `REFUSALS`.
    """
    against = _against(state, verb)
    if against is not None:
        raise refusal(state, verb, *against)


def is_legal(state: ExecutionState, verb: str) -> bool:
    """Whether `check_legal` lets the verb pass."""
    return _against(state, verb) is None


def _against(state: ExecutionState, verb: str) -> tuple[str, str] | None:
    """Why the verb makes no sense here: one of `REFUSALS`, and a clause."""
    if verb not in LEGAL[state.status] and not (verb == "pause" and state.status is E.PAUSED):
        return code_of(state, verb), f"it is {state.status}"
    if state.cancel is not None and state.status not in ENDED_EXECUTION and verb not in _WHILE_CANCELLED:
        return "being-cancelled", f"it is being cancelled: {state.cancel.reason or 'no reason given'}"
    if verb in _NOT_UNDONE and state.compensation in ("done", "failed"):
        return "compensated", "what it had done was undone, or not all of it could be"
    if verb == "compensate" and not state.compensation_awaited:
        return "not-awaited", "its compensation has begun already"
    return None


def refusal(state: ExecutionState, verb: str, code: str, because: str | None = None) -> Conflict:
    """The error for a verb that makes no sense here. The code is one of `REFUSALS`."""
    assert code in REFUSALS, "every code is explained"
    possible = [name for name in LEGAL[state.status] if name != verb and is_legal(state, name)]
    return Conflict(
        f"execution {state.id} cannot be {DONE[verb]}: {because or f'it is {state.status}'}",
        code=code,
        hint=f"possible now: {', '.join(possible)}" if possible else None,
    )


def code_of(state: ExecutionState, verb: str) -> str:
    """The code for a verb that its status does not allow."""
    if verb == "resume" and state.status not in ENDED_EXECUTION:
        return "not-paused"
    if verb == "retry":
        return "not-failed"
    if state.status in ENDED_EXECUTION:
        return "already-ended"
    return "compensating" if state.status is E.COMPENSATING else "illegal-verb"
