"""What happened to an execution, in words: for the lines of a log and the notes of a table."""

from __future__ import annotations

from typing import Final, assert_never

from stepwell.base.errors import ErrorInfo
from stepwell.cli.words import count, moment, took
from stepwell.definition.diagnostics import printable
from stepwell.execution.event import ANSWER, Event
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

SKIPPED: Final = {
    "condition": "its condition is false",
    "dead_path": "no way led to it",
    "unavailable": "there is nothing to undo",
    "not_taken": "another branch was taken",
    "milestone": "its milestone has passed",
    "operator": "skipped by hand",
}
HELD: Final = {"delay": "is delayed", "mutex": "waits for the lock {}", "milestone": "waits for {}"}
HANDLED: Final = {
    "continue": "; the execution goes on",
    "edge": "; another step deals with it",
    "fallback": "; its fallback stands in",
}
OUTCOMES: Final = {"done": "done", "failed": "failed: not everything is undone", "nothing": "had nothing to undo"}


def told(event: HistoryEvent) -> str:
    """What a line of a log says of the event, without the step's name; empty when it is not worth a line."""
    note = note_of(event)
    match event:
        case StepCompleted():
            return f"completed in {took(event.at - event.started_at)}"
        case AttemptFailed():
            return f"attempt {event.attempt} failed: {note}"
        case StepFailed() | ExecutionFailed():
            return f"failed: {note}"
        case StepSkipped():
            return f"skipped: {note}"
        case StepCancelled() | ExecutionCancelled():
            return f"cancelled: {note}" if note else "cancelled"
        case EventReceived():
            return _received(event.event)
        case ExecutionFailing():
            return f"fails: {note}"
        case ExecutionCompleted():
            return "completed"
        case WaitStarted() | TimerStarted() | CompensationStarted() | CompensationEnded() | HooksStarted():
            return note
        case StepHeld() | FallbackStarted() | ApprovalRequested() | AnswerRefused() | ChildStarted() | EventIgnored():
            return note
        case BlockStarted() | BlockEntered() | StepsAdded() | ExecutionHeld():
            return note
        case CompensationAwaited() | StepCompensated() | LateCompletion() | UndoingAsked() | EndTurned():
            return note
        case (
            ExecutionCreated() | ExecutionStarted() | StepScheduled() | EventLate() | VariablesSet() | BranchPublished()
        ):
            return ""
        case ExecutionPaused() | ExecutionResumed() | CancelRequested() | Intervened() | RolledBack():
            return note
        case CheckpointReached() | ExecutionMigrated() | ExecutionForked():
            return note
        case NotificationRequested() | NotificationSettled() | ResultReused():
            return note
        case ResultKeyed() | RateKeyed():
            return ""
        case ExecutionAdmitted() | IterationStarted() | LockTaken() | StepReset() | StepReopened():
            return ""
        case _:
            assert_never(event)


def _received(event: Event) -> str:
    if event.type == ANSWER and isinstance(event.data, dict):
        return one_line(f"answered by {event.data.get('by') or 'somebody'}")
    return one_line(f"received {event.type} from {event.source}")


def note_of(event: HistoryEvent) -> str:
    """What is to be known of the step, or the execution, beside the status that the event gave it."""
    match event:
        case AttemptFailed():
            when = f"; tried again at {moment(event.retry_at, event.at)}" if event.retry_at > event.at else ""
            return error_text(event.error) + when
        case StepFailed():
            return error_text(event.error) + HANDLED.get(event.handled, "")
        case StepSkipped():
            return one_line(event.message) or SKIPPED.get(event.reason, event.reason)
        case StepCancelled():
            return one_line(event.reason)
        case WaitStarted():
            until = f" until {moment(event.due, event.at)}" if event.due is not None else ""
            return f"waits for {one_line(event.event_type)}{until}"
        case TimerStarted():
            return f"waits until {moment(event.due, event.at)}"
        case ExecutionFailing() | ExecutionFailed():
            return error_text(event.error)
        case ExecutionCancelled():
            return one_line(f"by {event.by}" + (f": {event.reason}" if event.reason else ""))
        case CompensationStarted():
            return one_line(f"compensation begins: {event.reason}")
        case BlockStarted() | BlockEntered() | StepsAdded() | HooksStarted():
            return _note_of_construct(event)
        case StepHeld() | FallbackStarted() | ApprovalRequested() | AnswerRefused() | ChildStarted() | EventIgnored():
            return _note_of_holding(event)
        case ExecutionPaused() | ExecutionResumed() | CancelRequested() | Intervened() | RolledBack():
            return _note_of_verb(event)
        case CompensationAwaited() | StepCompensated() | LateCompletion() | UndoingAsked() | EndTurned():
            return _note_of_undoing(event)
        case ExecutionHeld():
            return one_line(f"waits for the place {event.name!r}")
        case CheckpointReached() | ExecutionMigrated() | ExecutionForked():
            return _note_of_place(event)
        case CompensationEnded():
            return f"compensation {OUTCOMES.get(event.outcome, event.outcome)}"
        case NotificationRequested() | NotificationSettled():
            return _note_of_telling(event)
        case ResultReused():
            return f"its result is reused, from execution {event.execution}"
        case _:
            return ""


def _note_of_telling(event: NotificationRequested | NotificationSettled) -> str:
    match event:
        case NotificationRequested():
            return one_line(f"{count(len(event.deliveries), 'notification')}: {event.title}")
        case NotificationSettled():
            which = f"notification {event.notification}.{event.delivery}"
            return one_line(
                f"{which} was delivered" if event.delivered else f"{which} was not delivered: {event.reason}"
            )
        case _:
            assert_never(event)


def _note_of_undoing(
    event: CompensationAwaited | StepCompensated | LateCompletion | UndoingAsked | EndTurned,
) -> str:
    match event:
        case CompensationAwaited():
            return one_line(f"its compensation waits to be started: {event.reason}")
        case StepCompensated():
            return "is undone"
        case LateCompletion():
            return "had been done all the same"
        case UndoingAsked():
            return f"execution {event.execution} is asked to undo itself"
        case EndTurned():
            return one_line(f"is cancelled after that, by {event.by}" + (f": {event.reason}" if event.reason else ""))
        case _:
            assert_never(event)


def _note_of_verb(event: ExecutionPaused | ExecutionResumed | CancelRequested | Intervened | RolledBack) -> str:
    if isinstance(event, RolledBack):
        return one_line(f"rolled back to {event.checkpoint!r}")
    what = {ExecutionPaused: "paused", ExecutionResumed: "resumed", CancelRequested: "is being cancelled"}
    done = event.verb if isinstance(event, Intervened) else what[type(event)]
    return one_line(done + (f" by {event.by}" if event.by else "") + (f": {event.reason}" if event.reason else ""))


def _note_of_place(event: CheckpointReached | ExecutionMigrated | ExecutionForked) -> str:
    match event:
        case CheckpointReached():
            return one_line(f"checkpoint {event.name!r} is reached")
        case ExecutionMigrated():
            return one_line(f"goes on with version {event.version}, by {event.by}")
        case ExecutionForked():
            return one_line(f"forked from {event.origin}, by {event.by}")
        case _:
            assert_never(event)


def _note_of_construct(event: BlockStarted | BlockEntered | StepsAdded | HooksStarted) -> str:
    match event:
        case BlockStarted():
            items = f"{count(len(event.items), 'item')}" if event.items is not None else ""
            return f"takes branch {event.block!r}" if event.block in ("then", "else", "default") else items
        case BlockEntered():
            return f"is in {event.block}"
        case StepsAdded():
            return f"adds {count(len(event.steps), 'step')}"
        case HooksStarted():
            return "the steps for failures run"
        case _:
            assert_never(event)


def _note_of_holding(
    event: StepHeld | FallbackStarted | ApprovalRequested | AnswerRefused | ChildStarted | EventIgnored,
) -> str:
    match event:
        case StepHeld():
            until = f" until {moment(event.due, event.at)}" if event.due is not None else ""
            return one_line(HELD.get(event.reason, "may start").format(event.detail)) + until
        case FallbackStarted():
            return f"{error_text(event.error)}; its fallback runs"
        case ApprovalRequested():
            until = f" until {moment(event.due, event.at)}" if event.due is not None else ""
            return one_line(f"asks: {event.question.get('prompt')}") + until
        case AnswerRefused():
            return one_line(f"an answer was refused: {event.reason}")
        case ChildStarted():
            return one_line(f"{event.workflow} runs as {event.child}")
        case EventIgnored():
            return one_line(f"{event.event.type} means nothing in state {event.state}")
        case _:
            assert_never(event)


def error_text(error: ErrorInfo) -> str:
    """The type and the message, on one line."""
    return one_line(message_of(error.type, error.message))


def message_of(type_: str, message: str) -> str:
    """The message, with its type before it where the message alone would say too little."""
    return message if type_ in ("", "step_failed", "timeout") else f"{type_}: {message}"


def one_line(text: str) -> str:
    """The text on one line, without anything that a terminal would act on."""
    text = " ".join(text.split())
    return text if text.isprintable() else printable(text)


def attempts_text(attempts: int) -> str:
    """`3 attempts`; empty for a single one."""
    return count(attempts, "attempt") if attempts > 1 else ""
