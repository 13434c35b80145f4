"""What progress shows of one execution: one row for each step, kept up to date by history events."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from stepwell.cli.narration import note_of
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import (
    AnswerRefused,
    ApprovalRequested,
    AttemptFailed,
    BlockEntered,
    BlockStarted,
    BranchPublished,
    CancelRequested,
    CheckpointReached,
    ChildStarted,
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    EndTurned,
    EventIgnored,
    EventLate,
    EventReceived,
    ExecutionAdmitted,
    ExecutionCancelled,
    ExecutionCompleted,
    ExecutionCreated,
    ExecutionFailed,
    ExecutionFailing,
    ExecutionForked,
    ExecutionHeld,
    ExecutionMigrated,
    ExecutionPaused,
    ExecutionResumed,
    ExecutionStarted,
    FallbackStarted,
    HistoryEvent,
    HooksStarted,
    Intervened,
    IterationStarted,
    LateCompletion,
    LockTaken,
    NotificationRequested,
    NotificationSettled,
    RateKeyed,
    ResultKeyed,
    ResultReused,
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
    VariablesSet,
    WaitStarted,
)
from stepwell.execution.status import ExecutionStatus, StepStatus

FAILURES_KEPT: Final = 5


class Row:
    """One step. The instants are those of its last attempt; `ended_at` is None while that goes on."""

    __slots__ = ("attempts", "ended_at", "name", "note", "started_at", "status")

    def __init__(self, name: str) -> None:
        self.name = name
        self.status = StepStatus.PENDING
        self.attempts = 0
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.note = ""

    def lasted(self, now: int) -> int | None:
        """How long it has been at it, or was; None when it never began."""
        if self.started_at is None:
            return None
        return (now if self.ended_at is None else self.ended_at) - self.started_at


class Board:
    """The steps of an execution and the execution as a whole.

    Attributes:
        rows: by name, in the order of the definition; compensation steps appear once compensation has begun.
        active: the rows that run, wait or stand before another attempt, in the order in which they came to it.
        failures: the last few rows that failed.
    """

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.rows = {step.name: Row(step.name) for step in definition.steps}
        self.active: dict[str, Row] = {}
        self.failures: deque[Row] = deque(maxlen=FAILURES_KEPT)
        self.counts: Counter[StepStatus] = Counter({StepStatus.PENDING: len(self.rows)})
        self.status = ExecutionStatus.PENDING
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.note = ""

    def take(self, events: Iterable[HistoryEvent]) -> None:
        """Note what happened."""
        for event in events:
            self._take(event)

    def lasted(self, now: int) -> int:
        """How long the execution has been at it, or was."""
        started = now if self.started_at is None else self.started_at
        return (now if self.ended_at is None else self.ended_at) - started

    def is_over(self) -> bool:
        """Whether the execution has ended."""
        return self.ended_at is not None

    def _take(self, event: HistoryEvent) -> None:
        match event:
            case ExecutionCreated():
                self.started_at = event.at
            case ExecutionStarted():
                self.status, self.started_at = ExecutionStatus.RUNNING, event.at
            case StepScheduled():
                row = self._move(event.step, StepStatus.RUNNING)
                row.attempts, row.started_at, row.ended_at = event.attempt, event.at, None
            case WaitStarted() | TimerStarted() | ApprovalRequested() | ChildStarted() | StepHeld():
                row = self._move(event.step, StepStatus.WAITING, note_of(event))
                row.attempts, row.started_at = max(row.attempts, 1), event.at
            case BlockStarted() | FallbackStarted() | BlockEntered():
                row = self._move(event.step, StepStatus.RUNNING, note_of(event))
                row.started_at, row.ended_at = row.started_at or event.at, None
            case AttemptFailed():
                row = self._move(event.step, StepStatus.RETRYING, note_of(event))
                row.started_at, row.ended_at = event.started_at, event.at
            case StepCompleted():
                self._end(event, StepStatus.COMPLETED)
            case StepFailed():
                self._end(event, StepStatus.FAILED, note_of(event))
                self.failures.append(self.rows[event.step])
            case StepSkipped():
                self._end(event, StepStatus.SKIPPED, note_of(event))
            case StepCancelled():
                self._end(event, StepStatus.CANCELLED, note_of(event))
            case CompensationStarted():
                self.status, self.note = ExecutionStatus.COMPENSATING, note_of(event)
                for step in self.definition.compensation.steps:
                    self._row(step.name)
            case ExecutionFailing() | CompensationEnded():
                self.note = note_of(event)
            case ExecutionCompleted():
                self._finish(event.at, ExecutionStatus.COMPLETED)
            case ExecutionFailed():
                self._finish(event.at, ExecutionStatus.FAILED)
            case ExecutionCancelled():
                self._finish(event.at, ExecutionStatus.CANCELLED)
            case HooksStarted() | CancelRequested() | EndTurned() | ExecutionHeld():
                self.note = note_of(event)
            case CompensationAwaited() | StepCompensated() | LateCompletion() | UndoingAsked():
                self._take_undoing(event)
            case ExecutionPaused() | ExecutionResumed() | RolledBack() | Intervened() | StepReset() | StepReopened():
                self._take_verb(event)
            case EventReceived() | EventLate() | VariablesSet() | BranchPublished() | EventIgnored() | AnswerRefused():
                pass
            case ExecutionAdmitted() | IterationStarted() | LockTaken() | StepsAdded() | CheckpointReached():
                pass
            case ExecutionMigrated() | ExecutionForked():
                pass
            case NotificationRequested() | NotificationSettled() | ResultKeyed() | ResultReused() | RateKeyed():
                pass
            case _:
                assert_never(event)

    def _take_undoing(self, event: CompensationAwaited | StepCompensated | LateCompletion | UndoingAsked) -> None:
        match event:
            case CompensationAwaited():
                self.status, self.note = ExecutionStatus.COMPENSATING, note_of(event)
            case StepCompensated():
                self._move(event.step, StepStatus.COMPENSATED, note_of(event))
            case LateCompletion():
                self._move(event.step, StepStatus.COMPLETED, note_of(event)).ended_at = event.at
            case UndoingAsked():
                self._move(event.step, StepStatus.WAITING, note_of(event)).started_at = event.at
            case _:
                assert_never(event)

    def _take_verb(
        self, event: ExecutionPaused | ExecutionResumed | RolledBack | Intervened | StepReset | StepReopened
    ) -> None:
        match event:
            case ExecutionPaused():
                self.status, self.note = ExecutionStatus.PAUSED, note_of(event)
            case ExecutionResumed() | RolledBack():
                self.status, self.note = ExecutionStatus.RUNNING, ""
            case Intervened():
                paused = self.status is ExecutionStatus.PAUSED
                self.status = ExecutionStatus.PAUSED if paused else ExecutionStatus.RUNNING
                self.ended_at, self.note = None, note_of(event)
            case StepReset():
                row = self._move(event.step, StepStatus.PENDING)
                row.started_at = row.ended_at = None
            case StepReopened():
                self._move(event.step, StepStatus.RUNNING).ended_at = None
            case _:
                assert_never(event)

    def _row(self, name: str) -> Row:
        if name not in self.rows:
            self.rows[name] = Row(name)
            self.counts[StepStatus.PENDING] += 1
        return self.rows[name]

    def _move(self, name: str, status: StepStatus, note: str = "") -> Row:
        row = self._row(name)
        self.counts[row.status] -= 1
        self.counts[status] += 1
        row.status, row.note = status, note
        if status in (StepStatus.RUNNING, StepStatus.RETRYING, StepStatus.WAITING):
            self.active[name] = row
        else:
            self.active.pop(name, None)
        return row

    def _end(
        self, event: StepCompleted | StepFailed | StepSkipped | StepCancelled, status: StepStatus, note: str = ""
    ) -> None:
        row = self._move(event.step, status, note)
        row.ended_at = event.at
        if isinstance(event, (StepCompleted, StepFailed)):
            row.started_at = event.started_at

    def _finish(self, at: int, status: ExecutionStatus) -> None:
        self.status, self.ended_at, self.note = status, at, ""


def rows_with(board: Board, statuses: Sequence[StepStatus]) -> list[Row]:
    """The active rows in one of these statuses, the longest in it first."""
    return [row for row in board.active.values() if row.status in statuses]
