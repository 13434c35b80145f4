"""The state of an execution: the fold of its history. `evolve` is the only thing that changes it."""

from __future__ import annotations

from typing import Any

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.execution.status import ExecutionStatus, StepStatus


class StepState(msgspec.Struct, array_like=True, gc=False):
    """What is known of one step. Steps that nothing happened to have no state. Instants in microseconds.

    Attributes:
        input: the recorded rendered settings, or None when they are derived.
        scheduled_at: when its first attempt was scheduled, or its wait began. What `now()` gives in its settings.
        started_at: when the last attempt began, as its worker reported.
        completed_at: when the step ended.
        handled: how its failure was handled (see `StepFailed`).
        reason, message: why it was skipped or cancelled.
        due: when its retry, timer or wait is due.
        taken: numbers of the conditional edges taken.
        event_type, filter: what it waits for.
        order: the number of the history event that ended it; compensation goes by it.
        block: which block of it runs, of a control construct that has begun; None for a step that has no blocks.
        items: what it is repeated for.
        iteration: the number of the latest round that began; -1 before the first.
        held: why it has not started although it is due: see `StepHeld`; empty when it has, or was never held.
        lock: the name of the lock that it holds until it ends, or empty.
        names: see `StepCompleted`.
        earlier: `items` of its earlier tries, by their numbers: what ran for them may have to be undone.
        child: the id of the execution that it started as a sub-workflow, or empty.
        attempts_before: how many attempts were made before it was last reset: retry policies do not count those.
        since: the number of the history event with which its wait for an event began.
        short: when it is due its time is up, and it has not waited as long as it should.
        question: what its task asks people, or has asked; what a step of type `approval` asks is its `input`.
    """

    status: StepStatus = StepStatus.PENDING
    attempts: int = 0
    scheduled_at: int | None = None
    started_at: int | None = None
    completed_at: int | None = None
    output: Any = None
    error: ErrorInfo | None = None
    input: dict[str, Any] | None = None
    handled: str = ""
    reason: str = ""
    message: str = ""
    due: int | None = None
    taken: tuple[int, ...] = ()
    event_type: str | None = None
    filter: Any = None
    order: int = 0
    block: str | None = None
    items: list[Any] | None = None
    iteration: int = -1
    held: str = ""
    lock: str = ""
    names: dict[str, Any] | None = None
    earlier: dict[int, list[Any]] | None = None
    child: str = ""
    attempts_before: int = 0
    short: bool = False
    since: int = 0
    question: dict[str, Any] | None = None


class Reset(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """What remains of a step that was reset (see `StepReset`).

    Attributes:
        attempts: how many were made, so that the next has another number.
        generation: how often it was made another piece of work.
        input, scheduled_at: the settings of the same work, and the instant that they were rendered for; None for other
            work.
        settings: what is put over them.
    """

    attempts: int = 0
    generation: int = 0
    input: dict[str, Any] | None = None
    scheduled_at: int | None = None
    settings: dict[str, Any] | None = None


class Checkpoint(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """A point that the execution can be rolled back to: the number of its event, and the variables as they were."""

    seq: int
    step: str
    variables: dict[str, Any]


class Delivery(msgspec.Struct, array_like=True, gc=False):
    """One recipient who is told over one channel.

    Attributes:
        outcome: `pending`, `delivered`, `undelivered`, or `elsewhere` (the execution that this one was forked from sees
            to it).
        reason: why it could not be made.
        at: when its end was recorded.
    """

    channel: str
    recipient: str
    outcome: str = "pending"
    reason: str = ""
    at: int | None = None


class Notification(msgspec.Struct, array_like=True, gc=False):
    """What somebody is told; see `NotificationRequested`. Once nothing of it is pending, `message` is empty."""

    at: int
    about: str
    step: str
    title: str
    message: str
    priority: str
    deliveries: list[Delivery]


class CachedResult(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """How a step stands to the cache of results.

    Attributes:
        key: under which its result is looked up and put.
        execution, made_at: where, and when, the result was made that it has from there; empty when it has none.
    """

    key: str
    execution: str = ""
    made_at: int = 0


class Cancellation(msgspec.Struct, array_like=True, gc=False, frozen=True):
    """How the execution is being cancelled; see `CancelRequested`."""

    by: str
    reason: str
    stop: bool
    compensate: bool


def published_key(step: str, edge: int | None) -> str:
    """Under which is kept what an instance of a step publishes along one of its edges, or (None) along all."""
    return step if edge is None else f"{step}>{edge}"


class ExecutionState(msgspec.Struct, gc=False):
    """Everything there is to know about an execution. Mutable: one writer owns it and `evolve` changes it in place.

    Attributes:
        seq: how many history events were folded; the number of the last one.
        steps: by name, in the order in which something first happened to them.
        failure: the first unhandled error of a step, or one that the execution as a whole met; see `Run.is_stopping`.
        failed_step: the step that raised it, or None when it is the execution's own.
        consumed: `source id` of the events that woke a step here, and the number of the history event that first said
            so: a wait that began after that is not woken by them.
        in_flight: how many steps are running.
        waiting: how many steps wait for an event, a timer or their next attempt.
        active_before, active_since: time spent active (with a step in flight) up to, and since, `active_since`.
        held_for: the name of the lock that it holds, or waits for, as a whole; empty for none.
        unplaced: it goes on after its end, and has not got that lock again yet: no step starts before.
        hooks_began: the steps of `on_error` have begun.
        compensation: None, or how it ended (see `CompensationEnded`); `compensation_problem`: why before its time.
        final_error: with what the execution ends, once that is settled: what compensation does, does not change it.
        to_undo: the instances that are undone by what their steps say, in the order in which that begins.
        compensation_awaited: it waits for an operator to start it.
        compensation_then, compensation_by, compensation_due, compensation_listed, compensation_instead: see
            `CompensationStarted`.
        resets: what remains of steps that were reset, by key.
        checkpoints: those reached, by name.
        pause_reason, paused_by: why it was paused last, and by whom; empty when nothing is known.
        paused_steps: the steps whose failure paused it: they are tried again when it goes on.
        cancel: how it is being cancelled, or None.
        forked_from: the execution whose history it began with.
        rolling_back: the checkpoint that it is being rolled back to, or empty.
        compensation_asked: who asked for the compensation first; `compensation_by` may have turned its end since.
        turned: why an operator cancelled the execution while it compensated, or None.
        notifications: in the order in which they were asked for.
        untold: how many of their deliveries are pending.
        cached: of the steps whose results go through the cache, by key.
        published: where branches are separate, what was published, by `published_key`.
        rate_values: under which value the rate limit of a step counts it, by key; see `RateKeyed`.
        trace: see `ExecutionCreated`.
        asked: the instant as which the lock is known that was asked for last; see `TakeLock`.
        held_since: the same of the lock that it holds or waits for as a whole.
    """

    id: str
    workflow: str
    version: str
    digest: str
    input: Any
    seed: bytes
    created_at: int
    start_key: str | None = None
    timeout: int | None = None
    deadline: int | None = None
    seq: int = 0
    status: ExecutionStatus = ExecutionStatus.PENDING
    started_at: int | None = None
    completed_at: int | None = None
    variables: dict[str, Any] = {}
    steps: dict[str, StepState] = {}
    output: Any = None
    failure: ErrorInfo | None = None
    failed_step: str | None = None
    error: ErrorInfo | None = None
    consumed: dict[str, int] = {}
    in_flight: int = 0
    waiting: int = 0
    active_before: int = 0
    active_since: int | None = None
    compensation: str | None = None
    compensation_reason: str = ""
    cancel_reason: str = ""
    hooks_began: bool = False
    final_error: ErrorInfo | None = None
    to_undo: tuple[str, ...] = ()
    compensation_awaited: bool = False
    compensation_then: str = "fail"
    compensation_by: str = ""
    compensation_asked: str = ""
    compensation_due: int | None = None
    compensation_listed: bool = True
    compensation_instead: str = ""
    compensation_problem: str = ""
    turned: str | None = None
    held_for: str = ""
    unplaced: bool = False
    parent: str | None = None
    parent_step: str | None = None
    depth: int = 0
    resets: dict[str, Reset] = {}
    checkpoints: dict[str, Checkpoint] = {}
    pause_reason: str = ""
    paused_by: str = ""
    paused_steps: list[str] = []
    cancel: Cancellation | None = None
    forked_from: str | None = None
    rolling_back: str = ""
    notifications: list[Notification] = []
    untold: int = 0
    cached: dict[str, CachedResult] = {}
    published: dict[str, dict[str, Any]] = {}
    trace: str = ""
    asked: int = 0
    held_since: int = 0
    rate_values: dict[str, str] = {}

    def is_out_of_time(self) -> bool:
        """Whether a bound of the execution as a whole was passed."""
        return self.failure is not None and self.failed_step is None and self.failure.type == "timeout"


def event_identity(source: str, event_id: str) -> str:
    """Source and id of an event in one text, unambiguously."""
    return f"{len(source)}:{source}{event_id}"
