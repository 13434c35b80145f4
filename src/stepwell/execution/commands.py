"""Commands: what must be done because of what was decided. They are carried out only after the decision is committed.

A command can be derived again from the state (see `decider.outstanding`), so none is ever stored.
"""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec

from stepwell.execution.work import Assignment
from stepwell.policy.gates import Gates


class RunStep(msgspec.Struct, frozen=True, gc=False):
    """Dispatch this attempt, through the gates of its step if it has any.

    `cached`: its result is looked up in the cache under this key first; `ResultFound` comes in when it is there.
    """

    assignment: Assignment
    gates: Gates | None = None
    cached: str | None = None


class StopStep(msgspec.Struct, frozen=True, gc=False):
    """Stop this attempt; its report is no longer wanted."""

    assignment_id: str


class AwaitEvent(msgspec.Struct, frozen=True, gc=False):
    """Hand over events of this type to the step: those that came since the execution was created, and those to come."""

    step: str
    event_type: str
    filter: Any


class ForgetWait(msgspec.Struct, frozen=True, gc=False):
    """The step no longer waits for events."""

    step: str
    event_type: str
    filter: Any


Otherwise = Literal["queue", "refuse", "replace"]
"""What happens when a lock is not free: wait for it, be refused, or have those who hold it cancelled."""


class TakeLock(msgspec.Struct, frozen=True, gc=False):
    """Ask for the lock of that name, for this step of this execution; `LockGranted` comes in when it has it.

    `limit` executions or steps may hold it at once. `at`: when it was asked for, and no other request of the execution
    was; a grant names it, for it may come when what it was asked for was given up and the lock is wanted anew.
    """

    name: str
    step: str
    limit: int = 1
    otherwise: Otherwise = "queue"
    at: int = 0


class ReleaseLock(msgspec.Struct, frozen=True, gc=False):
    """The step needs the lock no more, or wants it no longer."""

    name: str
    step: str


class StartChild(msgspec.Struct, frozen=True, gc=False):
    """Start a sub-workflow as the execution `child`. `ChildEnded` comes in when it has ended, or cannot be started."""

    step: str
    child: str
    workflow: str
    version: str | None
    input: Any
    depth: int


class TellChild(msgspec.Struct, frozen=True, gc=False):
    """Do with a sub-workflow what was done with the step that waits for it."""

    child: str
    verb: Literal["cancel", "terminate", "pause", "resume"]
    by: str
    reason: str


class CompensateChild(msgspec.Struct, frozen=True, gc=False):
    """Ask the sub-workflow `child`, which has completed, to undo itself; `ChildCompensated` comes in for `step`."""

    step: str
    child: str
    reason: str


class AnswerParent(msgspec.Struct, frozen=True, gc=False):
    """Tell the execution that asked this one to undo itself how that ended: `outcome` as in `CompensationEnded`."""

    parent: str
    step: str
    outcome: str
    message: str = ""


class ResolveDeadLetter(msgspec.Struct, frozen=True, gc=False):
    """What failed for good is tried again, or was settled in another way: it is no dead letter any more."""

    id: str


class Deliver(msgspec.Struct, frozen=True, gc=False):
    """Have a delivery of a notification made. It belongs to no step; its report comes in under its own name."""

    assignment: Assignment


class KeepResult(msgspec.Struct, frozen=True, gc=False):
    """Put the result of a completed step into the cache: what it gave, and until when it may be reused, or None."""

    key: str
    result: Any
    scope: dict[str, Any] | None
    expires_at: int | None


class EndExecution(msgspec.Struct, frozen=True, gc=False):
    """The execution has ended; nothing of it is outstanding any more. Its parent, if it has one, is told."""


Command: TypeAlias = (
    RunStep
    | StopStep
    | AwaitEvent
    | ForgetWait
    | TakeLock
    | ReleaseLock
    | StartChild
    | TellChild
    | CompensateChild
    | AnswerParent
    | ResolveDeadLetter
    | Deliver
    | KeepResult
    | EndExecution
)
