"""What comes in to an execution and is decided on."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.execution.event import Event
from stepwell.execution.verbs import Verb
from stepwell.execution.work import Report


class Begin(msgspec.Struct, frozen=True, gc=False):
    """A place under the engine's limit is free."""


class QueueTimedOut(msgspec.Struct, frozen=True, gc=False):
    """The execution waited longer for a place than the engine allows. `waited` in microseconds."""

    waited: int


class TimersDue(msgspec.Struct, frozen=True, gc=False):
    """The instant of at least one timer has come."""


class EventArrived(msgspec.Struct, frozen=True, gc=False):
    """An event that the waiting step could want.

    `early`: it was found in the store rather than handed over as it came; such an event wakes nothing when it has
    already woken a step of this execution.
    """

    step: str
    event: Event
    early: bool = False


class ChildEnded(msgspec.Struct, frozen=True, gc=False):
    """The sub-workflow that a step waits for has ended, or could not be started. `status` is an execution's."""

    step: str
    child: str
    status: str
    output: Any = None
    error: ErrorInfo | None = None


class LockGranted(msgspec.Struct, frozen=True, gc=False):
    """The step has the lock that it asked for.

    `at`: see `TakeLock`; 0 where it is not known.
    """

    step: str
    name: str
    at: int = 0


class ResultFound(msgspec.Struct, frozen=True, gc=False):
    """The result of the step's attempt was in the cache; nothing was dispatched.

    Attributes:
        scope: see `Report`.
        execution, made_at: where, and when, it was made.
    """

    step: str
    attempt: int
    result: Any
    scope: dict[str, Any] | None
    execution: str
    made_at: int


class CompensateSelf(msgspec.Struct, frozen=True, gc=False):
    """The execution `parent`, which started this one as a sub-workflow, undoes its step; `step` is that undoing."""

    parent: str
    step: str
    reason: str


class ChildCompensated(msgspec.Struct, frozen=True, gc=False):
    """A sub-workflow is through with undoing itself. `outcome` is as in `CompensationEnded`."""

    step: str
    outcome: str
    message: str = ""


class LockRefused(msgspec.Struct, frozen=True, gc=False):
    """A lock was not free, and was not to be waited for."""

    step: str
    name: str


Input: TypeAlias = (
    Begin
    | QueueTimedOut
    | TimersDue
    | EventArrived
    | LockGranted
    | LockRefused
    | ChildEnded
    | CompensateSelf
    | ChildCompensated
    | ResultFound
    | Report
    | Verb
)
