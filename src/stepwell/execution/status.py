"""The statuses of an execution and of a step. Which moves are legal is in `transitions`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from stepwell.base.members import direct_members


@direct_members
class ExecutionStatus(StrEnum):
    """Of a whole execution."""

    PENDING = "pending"  # created and stored; waits for a free place under the engine's limit
    RUNNING = "running"  # has begun; `waiting` is what a running execution shows when it only waits
    PAUSED = "paused"  # an operator, or the failure of a step, halted it: what runs may end, and nothing new starts
    COMPENSATING = "compensating"  # failed; undoes what was done
    COMPLETED = "completed"  # reached its end; failures, if any, were handled
    FAILED = "failed"  # a failure was not handled; compensation, if any, is over
    CANCELLED = "cancelled"  # an operator ended it


@direct_members
class StepStatus(StrEnum):
    """Of a step."""

    PENDING = "pending"  # in the definition, not yet due
    RUNNING = "running"  # handed to a dispatcher, no result recorded; or what is inside it runs
    RETRYING = "retrying"  # an attempt failed; the next one is due at a recorded instant
    WAITING = "waiting"  # waits for an event, a timer, a lock; holds no worker
    COMPLETED = "completed"  # ended well; its output is recorded
    FAILED = "failed"  # failed for good: no try is left, and its error is recorded
    SKIPPED = "skipped"  # its condition was false or its path is dead
    CANCELLED = "cancelled"  # stopped before it ended
    COMPENSATED = "compensated"  # had ended well and was undone


WAITING: Final = "waiting"
"""How a running execution with nothing to do but wait is listed."""

BEFORE_THE_END: Final = frozenset({ExecutionStatus.RUNNING, ExecutionStatus.PAUSED})
"""Steps of the definition itself may be at work."""
ENDED_EXECUTION: Final = frozenset({ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED})
ENDED_STEP: Final = frozenset(
    {StepStatus.COMPLETED, StepStatus.FAILED, StepStatus.SKIPPED, StepStatus.CANCELLED, StepStatus.COMPENSATED}
)
PARKED_STEP: Final = frozenset({StepStatus.WAITING, StepStatus.RETRYING})
