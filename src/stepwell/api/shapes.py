"""What is answered, as OpenAPI describes it. The same keys as the command line prints with `-o json`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Status = Literal["pending", "running", "waiting", "paused", "compensating", "completed", "failed", "cancelled"]
StepStatus = Literal[
    "pending", "running", "retrying", "waiting", "completed", "failed", "skipped", "cancelled", "compensated"
]


class Shape(BaseModel):
    """A part of an answer. Later versions may add keys."""

    model_config = ConfigDict(extra="allow")


class ErrorShape(Shape):
    """What went wrong in an execution."""

    type: str
    message: str
    details: dict[str, Any]
    retryable: bool


class CacheSource(Shape):
    """The execution whose result was taken."""

    execution_id: str
    made_at: str


class Step(Shape):
    """A step of an execution. Keys that need not be there are there where they apply: how a failure was `handled`, its
    latest sub-workflow (`child`), the `reason` of a skipped or cancelled one, what a waiting one waits for."""

    name: str
    status: StepStatus
    attempts: int
    started_at: str | None
    completed_at: str | None
    duration_ms: float | None
    output: Any
    error: ErrorShape | None
    input: Any
    handled: str | None = None
    child: str | None = None
    reason: str | None = None
    due_at: str | None = None
    waits_for: str | None = None
    from_cache: CacheSource | None = None


class StepPage(Shape):
    """Steps, in the order of the definition, with what ran inside them behind them."""

    items: list[Step]
    next: str | None


class Execution(Shape):
    """An execution. Secrets are shown as `***`."""

    execution_id: str
    workflow: str
    version: str
    status: Status
    output: Any
    error: ErrorShape | None
    created_at: str
    started_at: str | None
    completed_at: str | None
    duration_ms: float | None
    input: Any
    variables: dict[str, Any]
    steps: list[Step]
    completed_steps: list[str]
    failed_steps: list[str]
    skipped_steps: list[str]
    compensation: str | None
    compensation_reason: str | None
    compensation_problem: str | None
    compensation_steps: list[Step]
    paused: dict[str, Any] | None
    checkpoints: list[str]
    parent: str | None
    children: list[dict[str, Any]]
    forked_from: str | None
    notifications: list[dict[str, Any]]
    figures: dict[str, Any]


class PastExecution(Execution):
    """An execution as it stood when one of its history events had happened."""

    seq: int


class ExecutionItem(Shape):
    """A line of a list of executions."""

    execution_id: str
    workflow: str
    version: str
    status: Status
    created_at: str
    completed_at: str | None
    error: str | None
    tags: list[str]
    parent: str | None
    forked_from: str | None


class ExecutionPage(Shape):
    """Executions, newest first."""

    items: list[ExecutionItem]
    next: str | None = Field(description="The cursor of the following part, or null.")


class HistoryItem(Shape):
    """Something that happened to an execution; what else it says depends on what it is."""

    seq: int
    at: str
    event: str


class HistoryPage(Shape):
    """History events, in order."""

    items: list[HistoryItem]
    next: str | None


class Reason(Shape):
    """One thing that an execution waits for, or that made it end so."""

    kind: str
    step: str | None
    text: str
    since: str | None
    until: str | None
    wakes: str | None
    why: Explanation | None


class Explanation(Shape):
    """Why an execution does what it does."""

    execution_id: str
    workflow: str
    version: str
    status: Status
    created_at: str
    completed_at: str | None
    engine: str | None
    reasons: list[Reason]


class Comparison(Shape):
    """In what two executions differ. `parting` is where their ways part; `ratio` the time of `b` as a multiple of that
    of `a`, null as long as one of them has not ended."""

    a: dict[str, Any]
    b: dict[str, Any]
    definition: dict[str, Any]
    input: list[dict[str, Any]]
    parting: dict[str, Any] | None
    steps: list[dict[str, Any]]
    output: list[dict[str, Any]]
    ratio: float | None


class Graph(Shape):
    """A workflow as a graph; `status` of each node where it is that of an execution."""

    workflow: str
    version: str
    nodes: list[dict[str, Any]]
    edges: list[dict[str, Any]]
    compensation: list[dict[str, Any]]


class Deed(Shape):
    """Something that was done to a version."""

    what: str
    at: str
    by: str
    reason: str | None


class WorkflowVersion(Shape):
    """A registered version of a workflow."""

    name: str
    version: str
    lifecycle: Literal["draft", "active", "deprecated", "retired"]
    default: bool
    default_chosen: bool
    tags: list[str]
    digest: str
    registered_at: str
    registered_by: str
    log: list[Deed]


class Finding(Shape):
    """Something about a definition, with its place in the text."""

    code: str
    severity: Literal["error", "warning"]
    message: str
    hint: str | None
    file: str
    line: int | None
    column: int | None
    end_line: int | None
    end_column: int | None
    pointer: str


class RegisteredWorkflow(WorkflowVersion):
    """A version that was registered, with what is doubtful in it."""

    warnings: list[Finding]


class FullWorkflow(WorkflowVersion):
    """A registered version with its text, as it was given."""

    dialect: str
    source_name: str
    text: str


class DefinitionText(Shape):
    """What an execution runs, as it was given."""

    workflow: str
    version: str
    digest: str
    dialect: str
    source_name: str
    text: str


class WorkflowPage(Shape):
    """Registered versions, by name, the newest of each first."""

    items: list[WorkflowVersion]
    next: str | None


class Validation(Shape):
    """What was found in a definition; it is `valid` when there is no error among the findings."""

    valid: bool
    workflow: str | None
    version: str | None
    items: list[Finding]


class VersionShape(Shape):
    """One of two versions that are compared."""

    workflow: str
    version: str
    digest: str


class Difference(Shape):
    """What two versions mean differently."""

    from_: VersionShape = Field(alias="from")
    to: VersionShape
    same: bool
    steps: dict[str, Any]
    workflow: list[dict[str, Any]]


class UnboundedStep(Shape):
    """A step that makes the worst case unbounded, why, and in what: `duration`, `attempts`."""

    step: str
    reason: str
    duration: bool
    attempts: bool


class CompensationPlan(Shape):
    """What undoing everything comes to."""

    steps: list[dict[str, Any]]
    worst_case_attempts: int | None
    worst_case_ms: float | None


class WorkflowPlan(Shape):
    """What can be said of a workflow before it runs. Durations in milliseconds; null where nothing bounds a figure."""

    workflow: str
    version: str
    timeout_ms: float | None
    deadline_ms: float | None
    max_parallel_steps: int | None
    batches: list[list[str]]
    critical_path: list[str]
    critical_path_by: str
    steps: list[dict[str, Any]]
    worst_case_attempts: int | None
    worst_case_ms: float | None
    ended_by: str | None
    unbounded: list[UnboundedStep]
    without_timeout: list[str]
    without_compensation: list[str]
    compensation: CompensationPlan


class VerbAnswer(Shape):
    """What became of what was asked for; `changed` is false when it was so already.

    `next` is what the command line prints so that the execution goes on; a server runs it itself, and says null.
    """

    execution_id: str
    verb: str
    changed: bool
    message: str
    status: Status
    next: str | None


class RetryAnswer(VerbAnswer):
    """What became of a dead letter that was tried again; `execution_id` is null when an event started nothing."""

    execution_id: str | None  # type: ignore[assignment]


class ForkAnswer(Shape):
    """The execution that a fork began. `next` as in the answer to a verb."""

    execution_id: str
    forked_from: str
    seq: int
    next: str | None


class MoveAnswer(Shape):
    """Whether an execution can be moved to another version, and whether it was."""

    execution: str
    workflow: str
    version: str
    to: str
    moved: bool
    problems: list[str]


class SignalAnswer(Shape):
    """What became of a signal: so many waits have it."""

    execution_id: str
    event_id: str
    type: str
    waits: int


class ActionItem(Shape):
    """What became of one execution of many."""

    execution_id: str
    outcome: Literal["done", "unchanged", "refused", "possible"]
    message: str
    code: str | None
    status: str | None


class ActionsAnswer(Shape):
    """What became of each; `more` says whether the query finds more than were asked for."""

    items: list[ActionItem]
    more: bool


class Firing(Shape):
    """What the trigger of a workflow made of an event."""

    workflow: str
    version: str
    trigger: int
    outcome: Literal["started", "present", "filtered", "refused"]
    execution_id: str | None
    reason: str | None


class EventAnswer(Shape):
    """What became of an event: it is stored, and so is what it started."""

    id: str
    type: str
    source: str
    subject: str | None
    duplicate: bool
    waits: int
    engine_present: bool
    firings: list[Firing]


class EventsAnswer(Shape):
    """What became of each event of a batch, in its order."""

    items: list[EventAnswer]


class Question(Shape):
    """What an execution asks somebody."""

    execution_id: str
    workflow: str
    version: str
    status: Status
    step: str
    prompt: Any
    assigned_to: list[Any] | None
    response_schema: Any
    since: str | None
    due_at: str | None
    respond: str = Field(description="The command that answers it.")
    default: Any = Field(default=None, description="Of one that has a default: the answer when nobody gives one.")
    answered_by: str | None = Field(default=None, description="Of one whose answer was not looked at yet.")
    claimed_by: str | None = None
    claimed_at: str | None = None
    handed_on: list[dict[str, Any]] = []
    escalated_to: list[str] = []
    reminded: int = 0


class LinkShape(Shape):
    """A link with which a question is answered: `path` stands behind the address of the server."""

    path: str
    person: str
    expires_at: str


class QuestionPage(Shape):
    """Questions, those of the oldest executions first."""

    items: list[Question]
    next: str | None


class AnswerGiven(Shape):
    """An answer that was taken."""

    execution_id: str
    step: str
    by: str
    event_id: str
    engine_present: bool


class DeadLetter(Shape):
    """A step that failed for good and that nothing handled, or an event (`kind`: `event`) that was refused.

    Of an event `execution_id`, `step` and `seq` are null; `workflow`, `version` and `trigger` are those of the trigger
    that refused it, null when it came to none. Of a step `event` and `trigger` are null.
    """

    id: str
    execution_id: str | None
    workflow: str | None
    version: str | None
    step: str | None
    kind: Literal["step", "compensation", "event"]
    at: str
    seq: int | None
    attempts: int
    error: ErrorShape
    event: dict[str, str] | None
    trigger: int | None
    discarded: dict[str, Any] | None


class DeadLetterPage(Shape):
    """Dead letters, newest first."""

    items: list[DeadLetter]
    next: str | None


class FullDeadLetter(DeadLetter):
    """A dead letter with the input of its step; of an event that is the event."""

    input: Any


class DiscardedLetter(DeadLetter):
    """A dead letter that was discarded, now or before."""

    outcome: Literal["discarded", "unchanged"]
