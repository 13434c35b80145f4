"""The legal moves, as data: (status, what happened) → new status. Anything else raises `InvalidTransition`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from stepwell.execution.history import (
    AnswerRefused,
    ApprovalRequested,
    AttemptFailed,
    BlockEntered,
    BlockStarted,
    CancelRequested,
    ChildStarted,
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    EndTurned,
    EventIgnored,
    EventReceived,
    ExecutionAdmitted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionFailing,
    ExecutionForked,
    ExecutionHeld,
    ExecutionMigrated,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    FallbackStarted,
    HooksStarted,
    Intervened,
    IterationStarted,
    LateCompletion,
    LockTaken,
    RolledBack,
    StepCancelled,
    StepCompensated,
    StepCompleted,
    StepFailed,
    StepHeld,
    StepReopened,
    StepReset,
    StepsAdded,
    StepScheduled,
    StepSkipped,
    TimerStarted,
    UndoingAsked,
    WaitStarted,
)
from stepwell.execution.status import ExecutionStatus as E
from stepwell.execution.status import StepStatus as S

STEP_TRANSITIONS: Final[Mapping[tuple[S, type], S]] = {
    # A leaf step is scheduled, and tried again after a failed attempt.
    (S.PENDING, StepScheduled): S.RUNNING,
    (S.RUNNING, AttemptFailed): S.RETRYING,
    (S.RETRYING, StepScheduled): S.RUNNING,
    (S.RUNNING, StepCompleted): S.COMPLETED,
    (S.RUNNING, StepFailed): S.FAILED,
    (S.RUNNING, StepCancelled): S.CANCELLED,
    (S.RETRYING, StepCancelled): S.CANCELLED,
    # Control steps do their work in the turn in which they are due; so does a step whose settings cannot be rendered.
    (S.PENDING, StepCompleted): S.COMPLETED,
    (S.PENDING, StepFailed): S.FAILED,
    (S.PENDING, StepSkipped): S.SKIPPED,
    (S.PENDING, StepCancelled): S.CANCELLED,
    # A construct: what is inside it runs, and it ends when that has.
    (S.PENDING, BlockStarted): S.RUNNING,
    (S.RETRYING, BlockStarted): S.RUNNING,
    (S.RUNNING, IterationStarted): S.RUNNING,
    (S.RUNNING, BlockEntered): S.RUNNING,
    (S.RUNNING, EventIgnored): S.RUNNING,
    (S.RUNNING, StepsAdded): S.RUNNING,
    (S.RETRYING, StepFailed): S.FAILED,
    # Something else is tried in place of a step that failed.
    (S.PENDING, FallbackStarted): S.RUNNING,
    (S.RUNNING, FallbackStarted): S.RUNNING,
    (S.WAITING, FallbackStarted): S.RUNNING,
    (S.RETRYING, FallbackStarted): S.RUNNING,
    # Due, but held back.
    (S.PENDING, StepHeld): S.WAITING,
    (S.WAITING, StepHeld): S.WAITING,
    (S.WAITING, LockTaken): S.WAITING,
    (S.WAITING, StepScheduled): S.RUNNING,
    (S.WAITING, BlockStarted): S.RUNNING,
    (S.WAITING, WaitStarted): S.WAITING,
    (S.WAITING, TimerStarted): S.WAITING,
    (S.WAITING, StepSkipped): S.SKIPPED,
    # Waiting for an event or a timer.
    (S.PENDING, WaitStarted): S.WAITING,
    (S.PENDING, TimerStarted): S.WAITING,
    (S.PENDING, ChildStarted): S.WAITING,
    (S.WAITING, ChildStarted): S.WAITING,
    (S.RETRYING, ChildStarted): S.WAITING,
    (S.PENDING, ApprovalRequested): S.WAITING,
    (S.WAITING, ApprovalRequested): S.WAITING,
    (S.RETRYING, ApprovalRequested): S.WAITING,
    (S.RUNNING, ApprovalRequested): S.WAITING,  # its task asks
    (S.WAITING, AnswerRefused): S.WAITING,
    (S.WAITING, EventReceived): S.WAITING,
    (S.WAITING, AttemptFailed): S.RETRYING,
    (S.RETRYING, WaitStarted): S.WAITING,
    (S.RETRYING, TimerStarted): S.WAITING,
    (S.WAITING, StepCompleted): S.COMPLETED,
    (S.WAITING, StepFailed): S.FAILED,
    (S.WAITING, StepCancelled): S.CANCELLED,
    # Compensation.
    (S.COMPLETED, StepCompensated): S.COMPENSATED,
    (S.CANCELLED, LateCompletion): S.COMPLETED,
    (S.PENDING, UndoingAsked): S.WAITING,
    # What an operator does. A pause asked for by a failure may come before the step, or its next try, has begun.
    (S.PENDING, AttemptFailed): S.RETRYING,
    (S.RETRYING, AttemptFailed): S.RETRYING,
    (S.RUNNING, StepReset): S.PENDING,
    (S.RETRYING, StepReset): S.PENDING,
    (S.WAITING, StepReset): S.PENDING,
    (S.COMPLETED, StepReset): S.PENDING,
    (S.FAILED, StepReset): S.PENDING,
    (S.SKIPPED, StepReset): S.PENDING,
    (S.CANCELLED, StepReset): S.PENDING,
    (S.COMPENSATED, StepReset): S.PENDING,
    (S.RUNNING, StepReopened): S.RUNNING,
    (S.RETRYING, StepReopened): S.RUNNING,  # it goes on with the try that failed, rather than begin another
    (S.COMPLETED, StepReopened): S.RUNNING,
    (S.FAILED, StepReopened): S.RUNNING,
    (S.CANCELLED, StepReopened): S.RUNNING,
}

EXECUTION_TRANSITIONS: Final[Mapping[tuple[E, type], E]] = {
    (E.PENDING, ExecutionStarted): E.RUNNING,
    (E.PENDING, ExecutionHeld): E.PENDING,
    (E.RUNNING, ExecutionAdmitted): E.RUNNING,
    (E.PAUSED, ExecutionAdmitted): E.PAUSED,
    (E.COMPENSATING, ExecutionAdmitted): E.COMPENSATING,  # rolled back after its end
    (E.PENDING, ExecutionFailing): E.PENDING,  # it waited too long for a place
    (E.PENDING, ExecutionFailed): E.FAILED,
    (E.PENDING, ExecutionCancelled): E.CANCELLED,
    (E.RUNNING, ExecutionFailing): E.RUNNING,  # running steps may still finish
    (E.RUNNING, HooksStarted): E.RUNNING,
    (E.RUNNING, ExecutionCompleted): E.COMPLETED,
    (E.RUNNING, ExecutionFailed): E.FAILED,
    (E.RUNNING, ExecutionCancelled): E.CANCELLED,
    (E.RUNNING, CompensationStarted): E.COMPENSATING,
    (E.RUNNING, CompensationAwaited): E.COMPENSATING,
    (E.COMPLETED, CompensationStarted): E.COMPENSATING,  # a sub-workflow whose parent undoes what it did
    (E.COMPLETED, CompensationAwaited): E.COMPENSATING,
    (E.COMPENSATING, CompensationStarted): E.COMPENSATING,  # an operator started it, or another way was taken
    (E.COMPENSATING, EndTurned): E.COMPENSATING,
    (E.COMPENSATING, CompensationEnded): E.COMPENSATING,
    (E.COMPENSATING, ExecutionFailed): E.FAILED,
    (E.COMPENSATING, ExecutionCancelled): E.CANCELLED,
    # What an operator does. Only this leads out of an ended execution.
    (E.RUNNING, ExecutionPaused): E.PAUSED,
    (E.PAUSED, ExecutionPaused): E.PAUSED,  # a second step asks for it
    (E.PAUSED, ExecutionResumed): E.RUNNING,
    (E.PAUSED, ExecutionFailing): E.PAUSED,  # a join that can no longer be met
    (E.RUNNING, CancelRequested): E.RUNNING,
    (E.PAUSED, CancelRequested): E.RUNNING,
    (E.PAUSED, ExecutionCancelled): E.CANCELLED,
    (E.RUNNING, Intervened): E.RUNNING,
    (E.PAUSED, Intervened): E.PAUSED,
    (E.COMPLETED, Intervened): E.RUNNING,
    (E.FAILED, Intervened): E.RUNNING,
    (E.CANCELLED, Intervened): E.RUNNING,
    (E.COMPENSATING, RolledBack): E.RUNNING,
    (E.PENDING, ExecutionMigrated): E.PENDING,
    (E.RUNNING, ExecutionMigrated): E.RUNNING,
    (E.PAUSED, ExecutionMigrated): E.PAUSED,
    (E.RUNNING, ExecutionForked): E.RUNNING,
    (E.PAUSED, ExecutionForked): E.PAUSED,
}
