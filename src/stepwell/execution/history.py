"""History events: what happened to an execution, in the past tense, each with its time. History is the truth.

They are stored as MessagePack arrays, so a field's place is its name: new fields go to the end and have a default,
nothing is ever renumbered or reused. All instants are microseconds since the Unix epoch.

They stand in one file because they are one closed union: whoever adds one sees every tag that is taken.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.execution.event import Event

UNHANDLED: Final = frozenset({"", "compensate"})
"""Values of `StepFailed.handled` after which the execution as a whole fails."""


class _Happened(msgspec.Struct, frozen=True, array_like=True, gc=False):
    at: int


class ExecutionCreated(_Happened, frozen=True, array_like=True, tag=1):
    """The start was accepted.

    Attributes:
        digest: of the definition this execution keeps for its whole life.
        input: the checked input, defaults applied, secrets sealed.
        seed: the source of everything random in this execution.
        start_key: the caller's idempotency key.
        timeout: the bound on active time in microseconds, from the definition or the engine's default.
        deadline: the instant after which the execution is ended whatever it does.
        parent, parent_step: the execution, and the step of it, that started this one as a sub-workflow.
        depth: how many executions are above it.
        trace: the trace that whoever asked for the start was in, as the W3C writes it (`traceparent`); empty for none.
    """

    id: str
    workflow: str
    version: str
    digest: str
    input: Any
    seed: bytes
    start_key: str | None = None
    timeout: int | None = None
    deadline: int | None = None
    variables: dict[str, Any] = {}
    parent: str | None = None
    parent_step: str | None = None
    depth: int = 0
    trace: str = ""


class ExecutionStarted(_Happened, frozen=True, array_like=True, tag=2):
    """A place under the engine's limit was free; steps may run."""


class StepScheduled(_Happened, frozen=True, array_like=True, tag=3):
    """An attempt of a leaf step is due and will be dispatched.

    `input` holds the rendered configuration only where it could not be rendered the same again later (it reads
    variables or a step that may still change); otherwise it is None and derived.
    """

    step: str
    attempt: int
    input: dict[str, Any] | None = None


class StepCompleted(_Happened, frozen=True, array_like=True, tag=4):
    """The step ended well. `taken` names the conditional edges that were taken, by number.

    `names`: what the expressions of its undoing see beside the usual names, where that could not be found again later.
    """

    step: str
    started_at: int
    output: Any
    taken: tuple[int, ...] = ()
    names: dict[str, Any] | None = None


class AttemptFailed(_Happened, frozen=True, array_like=True, tag=5):
    """A try failed and another one will be made at `retry_at`."""

    step: str
    attempt: int
    started_at: int
    error: ErrorInfo
    retry_at: int


class StepFailed(_Happened, frozen=True, array_like=True, tag=6):
    """The step has failed for good.

    `handled`: `continue` when its action lets the execution go on, `edge` when a failure edge was taken, `fallback`
    when something else stands in for it, with that as `output`, `compensate` when its action asks for compensation,
    `up` when the construct around it has to answer for it, empty when nothing handled it.
    """

    step: str
    started_at: int
    error: ErrorInfo
    handled: str = ""
    taken: tuple[int, ...] = ()
    output: Any = None


class StepSkipped(_Happened, frozen=True, array_like=True, tag=7):
    """The step will not run. `reason`: `condition`, `dead_path`, `unavailable` (it refers to what never came to be).

    `taken` names the edges that ask for that, by number.
    """

    step: str
    reason: str
    message: str = ""
    taken: tuple[int, ...] = ()


class StepCancelled(_Happened, frozen=True, array_like=True, tag=8):
    """The step was stopped before it ended."""

    step: str
    reason: str


class WaitStarted(_Happened, frozen=True, array_like=True, tag=9):
    """The step waits for an event of `event_type` that matches the rendered `filter`, at most until `due`."""

    step: str
    event_type: str
    filter: Any
    due: int | None = None


class TimerStarted(_Happened, frozen=True, array_like=True, tag=10):
    """The step waits until `due`. `short`: its time is up then, and it would have had to wait longer."""

    step: str
    due: int
    short: bool = False


class EventReceived(_Happened, frozen=True, array_like=True, tag=11):
    """An event woke the waiting step; its completion follows."""

    step: str
    event: Event


class EventLate(_Happened, frozen=True, array_like=True, tag=12):
    """An event came for a wait that had already ended; recorded, without effect."""

    step: str
    source: str
    event_id: str


class VariablesSet(_Happened, frozen=True, array_like=True, tag=13):
    """Variables got new values, by the publishing or setting step."""

    step: str
    values: dict[str, Any]


class ExecutionFailing(_Happened, frozen=True, array_like=True, tag=14):
    """The execution as a whole met an error that no step carries: a timeout, an output that cannot be built.

    It counts more than the failure of a step before it.
    """

    error: ErrorInfo


class CompensationStarted(_Happened, frozen=True, array_like=True, tag=15):
    """From here on only compensation runs.

    Attributes:
        error: with what the execution ends after it, where it ends with an error.
        steps: the instances that are undone, in the order in which that begins.
        then: what follows: `fail`, `cancel`, `answer` (whoever asked for it), or what an operator's verb goes on with.
        by: who asked for it.
        due: when its time is up, or None.
        listed: the steps of `compensation.steps` run after the undoings.
        instead: the instance whose action names a workflow that compensates in place of both.
        started_by, why: which operator started it, and why, when it had waited for one.
    """

    reason: str
    error: ErrorInfo | None = None
    steps: tuple[str, ...] = ()
    then: str = "fail"
    by: str = ""
    due: int | None = None
    listed: bool = True
    instead: str = ""
    started_by: str = ""
    why: str = ""


class CompensationEnded(_Happened, frozen=True, array_like=True, tag=16):
    """`outcome`: `done`, `failed` (at least one compensation failed, or did not run) or `nothing` (there was nothing to
    undo). `reason`: why it ended before everything had run."""

    outcome: str
    reason: str = ""


class ExecutionCompleted(_Happened, frozen=True, array_like=True, tag=17):
    """The end, with the output."""

    output: Any


class ExecutionFailed(_Happened, frozen=True, array_like=True, tag=18):
    """The end, with what went wrong.

    Attributes:
        output: what is given all the same, where the definition says so.
    """

    error: ErrorInfo
    output: Any = None


class ExecutionCancelled(_Happened, frozen=True, array_like=True, tag=19):
    """The end, by an operator."""

    by: str
    reason: str


class BlockStarted(_Happened, frozen=True, array_like=True, tag=20):
    """A control construct began: from now on what is inside it runs.

    Attributes:
        block: which of its blocks, where it has several: the branch of a condition, the first state of a machine.
        items: what it is repeated for, one after the other or side by side; None where a condition or a number decides.
        due: when its time is up, or None.
    """

    step: str
    attempt: int
    block: str = ""
    items: list[Any] | None = None
    due: int | None = None


class IterationStarted(_Happened, frozen=True, array_like=True, tag=21):
    """A loop began the round of that number, counted from 0."""

    step: str
    index: int


class StepHeld(_Happened, frozen=True, array_like=True, tag=22):
    """The step is due and must wait before it may start.

    `reason`: `delay` (until `due`), `mutex` (for the lock named `detail`, at most until `due`), `milestone`, or
    `nothing` (it may start as soon as there is a place for it).
    """

    step: str
    reason: str
    due: int | None = None
    detail: str = ""


class FallbackStarted(_Happened, frozen=True, array_like=True, tag=23):
    """The step has failed, and something else is tried in its place."""

    step: str
    error: ErrorInfo
    started_at: int


class LockTaken(_Happened, frozen=True, array_like=True, tag=24):
    """The step holds the lock of that name until it ends."""

    step: str
    name: str


class HooksStarted(_Happened, frozen=True, array_like=True, tag=25):
    """The execution has failed, with this error for good, and the steps run that its definition has for that."""

    error: ErrorInfo | None = None


class BlockEntered(_Happened, frozen=True, array_like=True, tag=55):
    """A construct went on to another of its blocks; `event` is what made it.

    Of a state machine: `states.NAME.transitions.n`, `states.NAME.on_enter`, or `states.NAME.waiting` while it waits for
    an event. `index` counts the transitions.
    """

    step: str
    block: str
    index: int
    event: dict[str, Any] | None = None


class EventIgnored(_Happened, frozen=True, array_like=True, tag=56):
    """An event came that a state machine has no use for in its present state."""

    step: str
    state: str
    event: Event


class ApprovalRequested(_Happened, frozen=True, array_like=True, tag=57):
    """People are asked, at most until `due`. `question` holds what they see and what an answer must be."""

    step: str
    question: dict[str, Any]
    filter: dict[str, Any]
    due: int | None = None


class AnswerRefused(_Happened, frozen=True, array_like=True, tag=58):
    """Somebody answered who may not, or in a way that the schema of answers does not allow."""

    step: str
    by: str
    reason: str


class StepsAdded(_Happened, frozen=True, array_like=True, tag=59):
    """A dynamic step has its steps: as they would be written in a definition, but with every text taken as it is."""

    step: str
    steps: list[Any]


class ChildStarted(_Happened, frozen=True, array_like=True, tag=50):
    """A sub-workflow is started as execution `child`; if `wait`, the step waits for its end, at most until `due`."""

    step: str
    attempt: int
    child: str
    workflow: str
    version: str | None = None
    wait: bool = True
    due: int | None = None


class CompensationAwaited(_Happened, frozen=True, array_like=True, tag=45):
    """There is something to undo, and an operator decides when. For the fields see `CompensationStarted`."""

    reason: str
    error: ErrorInfo | None = None
    then: str = "fail"
    by: str = ""


class StepCompensated(_Happened, frozen=True, array_like=True, tag=46):
    """What the step did was undone."""

    step: str


class LateCompletion(_Happened, frozen=True, array_like=True, tag=47):
    """The work of a step that had been stopped was done all the same: it has completed after all, and is undone.

    `place`: where among the steps that are undone, counted from 0; -1 when it is not undone by itself, or when that is
    decided later.
    """

    step: str
    started_at: int
    output: Any
    place: int = -1


class UndoingAsked(_Happened, frozen=True, array_like=True, tag=48):
    """The sub-workflow `execution`, which had completed, is asked to undo itself."""

    step: str
    execution: str


class EndTurned(_Happened, frozen=True, array_like=True, tag=49):
    """An operator cancelled the execution while it compensated: it goes on with that, and then ends as cancelled."""

    by: str
    reason: str


class ExecutionPaused(_Happened, frozen=True, array_like=True, tag=30):
    """Nothing new starts from here on; what runs may end. `step`: the one whose failure asked for it, or empty."""

    by: str
    reason: str
    step: str = ""


class ExecutionResumed(_Happened, frozen=True, array_like=True, tag=31):
    """The pause is over."""

    by: str
    reason: str


class CancelRequested(_Happened, frozen=True, array_like=True, tag=32):
    """Nothing new starts any more. `stop`: what ran was stopped too. `compensate`: then what was done is undone."""

    by: str
    reason: str
    stop: bool = False
    compensate: bool = False


class Intervened(_Happened, frozen=True, array_like=True, tag=33):
    """An operator stepped in; what follows in the same turn is what he asked for. What had ended goes on.

    `verb`: `retry`, `rerun`, `skip-step`, `complete-step` or `rollback`; `details`: what it was told.
    """

    verb: str
    by: str
    reason: str
    details: dict[str, Any] = {}


class StepReset(_Happened, frozen=True, array_like=True, tag=34):
    """It is as if the step had not run: it is pending again.

    Attributes:
        anew: it will be another piece of work, with an idempotency key of its own, rather than a further try of the
            same.
        settings: what is put over its rendered settings when it runs, or None.
    """

    step: str
    anew: bool = False
    settings: dict[str, Any] | None = None


class StepReopened(_Happened, frozen=True, array_like=True, tag=35):
    """A construct runs again, because something inside it does. `iteration`: the latest round that has begun."""

    step: str
    iteration: int = -1
    due: int | None = None


class CheckpointReached(_Happened, frozen=True, array_like=True, tag=36):
    """The execution can be rolled back to this point, with the variables as they are."""

    step: str
    name: str


class RolledBack(_Happened, frozen=True, array_like=True, tag=37):
    """What was done after the checkpoint is undone: the variables are what they were there."""

    checkpoint: str


class ExecutionMigrated(_Happened, frozen=True, array_like=True, tag=38):
    """The execution goes on with another version of its definition.

    Attributes:
        names: new names of steps by their old ones.
        variables: first values of variables that it did not have.
        settings: of steps that have begun, by key: the new version would render others.
    """

    by: str
    reason: str
    version: str
    digest: str
    names: dict[str, str] = {}
    variables: dict[str, Any] = {}
    settings: dict[str, Any] = {}


class ExecutionForked(_Happened, frozen=True, array_like=True, tag=39):
    """From here on this is another execution than the one whose history it began with.

    Attributes:
        id: of the new execution.
        origin: the id of the other one.
        seed: the source of everything random from here on.
        passed: microseconds since the event before, which do not count: whatever is due is due that much later.
    """

    by: str
    reason: str
    id: str
    origin: str
    seed: bytes
    passed: int = 0


class ExecutionHeld(_Happened, frozen=True, array_like=True, tag=60):
    """The execution may begin when it has the lock of that name: a place under its workflow's `concurrency`."""

    name: str


class ExecutionAdmitted(_Happened, frozen=True, array_like=True, tag=61):
    """An execution that goes on after its end has its place under the workflow's `concurrency` again."""


class NotificationRequested(_Happened, frozen=True, array_like=True, tag=62):
    """Somebody is to be told something. However that ends, it changes nothing else.

    Attributes:
        about: `failure` (of the step), `error` (the execution fails), `compensation-awaited`, `compensation-started`,
            `compensation-ended`.
        deliveries: the channel and the recipient of each; an empty recipient is whoever the channel leads to.
        step: whose failure it is about, or empty.
    """

    about: str
    deliveries: tuple[tuple[str, str], ...]
    title: str
    message: str
    priority: str = ""
    step: str = ""


class NotificationSettled(_Happened, frozen=True, array_like=True, tag=63):
    """A delivery of a notification was made, or is given up because of `reason`.

    `notification` and `delivery` are numbers, counted from 1: the how many-th notification of the execution, and which
    of its deliveries.
    """

    notification: int
    delivery: int
    delivered: bool
    reason: str = ""


class ResultKeyed(_Happened, frozen=True, array_like=True, tag=64):
    """The result of the step is looked up in the cache, and is put into it, under this key: a digest."""

    step: str
    key: str


class ResultReused(_Happened, frozen=True, array_like=True, tag=65):
    """The result of the step was in the cache since `made_at`, from that execution; its completion follows."""

    step: str
    execution: str
    made_at: int


class RateKeyed(_Happened, frozen=True, array_like=True, tag=67):
    """The rate limit of the step has a key, and counts the attempts of the step under this value of it."""

    step: str
    value: str


class BranchPublished(_Happened, frozen=True, array_like=True, tag=66):
    """Where branches are separate: variables got values for what follows from the step along one of its edges.

    Attributes:
        edge: the place of the edge among those of the step; None: along all of them.
    """

    step: str
    edge: int | None
    values: dict[str, Any]


HistoryEvent: TypeAlias = (
    ExecutionCreated
    | ExecutionStarted
    | StepScheduled
    | StepCompleted
    | AttemptFailed
    | StepFailed
    | StepSkipped
    | StepCancelled
    | WaitStarted
    | TimerStarted
    | EventReceived
    | EventLate
    | VariablesSet
    | ExecutionFailing
    | CompensationStarted
    | CompensationEnded
    | ExecutionCompleted
    | ExecutionFailed
    | ExecutionCancelled
    | BlockStarted
    | IterationStarted
    | StepHeld
    | FallbackStarted
    | LockTaken
    | HooksStarted
    | BlockEntered
    | EventIgnored
    | ApprovalRequested
    | AnswerRefused
    | StepsAdded
    | CompensationAwaited
    | StepCompensated
    | LateCompletion
    | UndoingAsked
    | EndTurned
    | ChildStarted
    | ExecutionHeld
    | ExecutionAdmitted
    | ExecutionPaused
    | ExecutionResumed
    | CancelRequested
    | Intervened
    | StepReset
    | StepReopened
    | CheckpointReached
    | RolledBack
    | ExecutionMigrated
    | ExecutionForked
    | NotificationRequested
    | NotificationSettled
    | ResultKeyed
    | ResultReused
    | BranchPublished
    | RateKeyed
)
