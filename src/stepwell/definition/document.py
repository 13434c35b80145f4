"""The native document as it is written: `apiVersion: workflow/v1`, `kind: Workflow`.

One model per mapping; `stepwell.definition.schema` makes the JSON Schema for editors from them. Parts that are read one
by one, so that a mistake in one hides nothing in another, are marked `Apart`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, Tag

from stepwell.definition.shapes import (
    FLAG,
    LIST,
    NUMBER,
    TEXT,
    Apart,
    Count,
    CountOrExpression,
    CpuQuantity,
    Doc,
    Duration,
    MemoryQuantity,
    Name,
    Names,
    Priority,
    Text,
    Timeout,
    Variables,
    Version,
    WorkflowName,
    optional,
    required,
    shape_tag,
    shapes,
)
from stepwell.definition.trigger_document import TriggerDoc
from stepwell.policy.retry import NO_LIMIT

JsonSchema = dict[str, Any]


class RetryDoc(Doc):
    """How often and how patiently a failing step is tried again."""

    max_attempts: Annotated[int, Field(ge=1, le=NO_LIMIT)] | None = optional("All tries counted, the first one too.")
    backoff: Literal["constant", "fixed", "linear", "exponential"] | None = optional(
        "How waits grow: constant (or fixed), linear, exponential."
    )
    initial_delay: Duration | None = optional("The wait after the first try.")
    max_delay: Duration | None = optional("No wait is longer.")
    multiplier: Annotated[float, Field(ge=1, le=1_000)] | None = optional("By how much an exponential wait grows.")
    jitter: Annotated[float, Field(ge=0, le=1)] | None = optional("By which fraction a wait varies.")
    when: Any = optional("An expression over `error`, `result` and `attempt`: whether to try again.")
    retry_on: Names | None = optional("Types of error that are tried again, and no others; whatever the task says.")
    give_up_on: Names | None = optional("Types of error that are not tried again; wins over `retry_on`.")
    delay: Any = optional("An expression that yields the seconds of every wait, in place of what else is said of them.")


class CircuitBreakerDoc(Doc):
    """Fail fast while a service is down."""

    threshold: Count | None = optional("Failures within `window` that open the circuit.")
    call_timeout: Timeout | None = optional("A call that takes longer is a failure.")
    open_for: Timeout | None = optional("How long calls fail fast before one is tried.")
    window: Timeout | None = optional("How long a failure counts.")
    half_open_calls: Count | None = optional("Calls tried at once when the circuit is half open.")


class BulkheadDoc(Doc):
    """At most so many at once."""

    max_concurrent: Count = required("Calls running at once.")
    max_queue_size: Annotated[int, Field(ge=0)] | None = optional("Calls waiting; the next one is rejected.")
    timeout: Timeout | None = optional("How long a call waits.")
    fallback: Any = optional("What a rejected call gives instead of an error; as in `on_failure`.")


class RateLimitDoc(Doc):
    """At most so many starts in a time."""

    limit: Count = required("Starts in every `per`.")
    per: Timeout = required("The time they are counted in.")
    key: Annotated[str, Field(min_length=1)] | None = optional(
        "What is counted together; expressions allowed. All starts are when left out."
    )


class PolicyDoc(Doc):
    """One policy that steps refer to by name; exactly one of the keys."""

    circuit_breaker: CircuitBreakerDoc | None = optional("A circuit breaker.")
    bulkhead: BulkheadDoc | None = optional("A bulkhead.")
    rate_limit: RateLimitDoc | None = optional("A rate limit.")


class ConcurrencyDoc(Doc):
    """How many executions of this workflow may run at once."""

    key: Any = optional("Executions with the same key are counted together; without one, all are.")
    limit: Count = required("Executions at once.")
    on_limit: Literal["queue", "reject", "replace"] | None = optional("What happens to one more.")


class CancellationDoc(Doc):
    """What happens to an execution that is cancelled."""

    policy: Literal["allow_finish", "cancel_running"] | None = optional("What happens to steps that are running.")
    compensate: bool | None = optional("Whether completed steps are undone.")


class NotifyDoc(Doc):
    """Who is told, and by which way."""

    channels: list[str] | None = optional("Names of channels from the server's configuration.")
    recipients: list[str] | None = optional("Who gets it.")
    title: str | None = optional("A title; expressions allowed.")
    message: str | None = optional("A message; expressions allowed.")
    priority: Priority | None = optional("How urgent it is.")


NotifyChoice = Annotated[
    Annotated[bool, Tag(FLAG)] | Annotated[NotifyDoc, Tag(shape_tag(NotifyDoc))],
    shapes("true or a mapping", boolean=FLAG, mapping=shape_tag(NotifyDoc)),
]


class ErrorStrategyDoc(Doc):
    """What happens after a failure that nothing handled."""

    strategy: Literal["compensate", "terminate", "continue"] | None = optional("Undo, stop, or carry on.")
    notify: NotifyDoc | None = optional("Who is told.")
    steps: Apart[Steps] | None = optional("Steps that run; they see `error`.")


Cancellation = Annotated[
    Annotated[Literal["allow_finish", "cancel_running"], Tag(TEXT)]
    | Annotated[CancellationDoc, Tag(shape_tag(CancellationDoc))],
    shapes("allow_finish, cancel_running or a mapping", text=TEXT, mapping=shape_tag(CancellationDoc)),
]


class ConfigDoc(Doc):
    """How the workflow as a whole runs."""

    timeout: Timeout | None = optional("Active time: time spent waiting for events, people and timers is not counted.")
    deadline: Timeout | None = optional("Wall-clock time, everything counted.")
    retry_policy: RetryDoc | None = optional("For every step that has none of its own.")
    max_parallel_steps: Count | None = optional("Steps of one execution running at once.")
    failure_mode: Literal["fail_fast", "drain"] | None = optional(
        "After an unhandled failure: start nothing new, or run whatever can still be reached."
    )
    concurrency: ConcurrencyDoc | None = optional("How many executions may run at once.")
    cancellation: Cancellation | None = optional("What happens when an execution is cancelled.")
    on_error: ErrorStrategyDoc | None = optional("What happens after a failure that nothing handled.")
    policies: dict[Name, PolicyDoc] | None = optional("Policies that steps refer to by name.")
    strict_failures: bool | None = optional("Whether an execution with a handled failure ends as failed.")
    branches: Literal["shared", "separate"] | None = optional(
        "Whether variables, and steps that several edges lead to, are shared by all branches; shared when left out."
    )
    checkpoints: Literal["named", "automatic"] | None = optional(
        "Whether every step at the top is a checkpoint of its own name once it has completed; else only named ones."
    )
    enabled: bool | None = optional("Whether it can be started; true when left out.")


class InputDoc(Doc):
    """What an execution is started with."""

    schema_: JsonSchema | None = optional("A JSON Schema 2020-12; `secret: true` hides a property.", alias="schema")


class OutputDoc(Doc):
    """What an execution gives back."""

    schema_: JsonSchema | None = optional("A JSON Schema 2020-12 that the output satisfies.", alias="schema")
    values: dict[str, Any] | None = optional("The output, written with expressions.")
    on_failure: bool | None = optional("Give the output also when the execution fails, if it can be built then.")


class CompensationDoc(Doc):
    """How completed steps are undone."""

    strategy: Literal["reverse", "forward", "parallel"] | None = optional("In which order.")
    mode: Literal["automatic", "manual"] | None = optional("At once, or when an operator says so.")
    timeout: Timeout | None = optional("For the compensation as a whole.")
    notification: NotifyChoice | None = optional("Who is told when it begins and when it has ended.")
    steps: Apart[Steps] | None = optional("Steps that undo, each with its own `when`.")


class DependencyDoc(Doc):
    """A step that must end first, and how."""

    step: str = required("The step.")
    on: Literal["success", "failure", "timeout", "complete", "skipped"] | None = optional("How it must end.")


class NextDoc(Doc):
    """Where to go on when the step has ended."""

    when: Any = optional("A condition; succeeded() failed() timed_out() skipped() result() are known here.")
    to: Names | None = optional("The steps to go on with; none handles the outcome and runs nothing.")
    publish: Variables | None = optional("Variables that are set when this way is taken.")
    delay: Duration | None = optional("How long to wait before the steps start.")
    handles: bool | None = optional("false: a failure stands although this way is taken; true when left out.")
    ends: bool | None = optional("true: the output sees what is published here although it leads on.")


DefaultBranch = Annotated[
    Annotated[bool, Tag(FLAG)] | Text | Annotated[list[str], Tag(LIST)],
    shapes("true or the name of a step", text=TEXT, list=LIST, boolean=FLAG),
]


class DecisionDoc(Doc):
    """One branch of a decision: `{when, next}`, `{default: true, next}` or `{default: name}`."""

    when: Any = optional("The condition of this branch.")
    next: Names | None = optional("The steps to go on with.")
    default: DefaultBranch | None = optional("This branch is taken when no other is.")


class FailureActionDoc(Doc):
    """What happens when the step has failed."""

    action: Literal["terminate", "continue", "skip", "retry", "compensate", "fallback", "pause"] = required(
        "What to do."
    )
    message: Any = optional("The execution's error message; expressions see `error`.")
    max_attempts: Annotated[int, Field(ge=1, le=NO_LIMIT)] | None = optional("For `retry`: all tries counted.")
    fallback: Any = optional(
        "For `fallback`: the name of a step beside this one, or a step (a mapping with `type`), to run instead; "
        "anything else is the value to use."
    )
    compensation_workflow: str | None = optional("For `compensate`: a workflow that undoes this one.")
    notify: NotifyChoice | None = optional("Who is told.")


OnFailure = Annotated[
    Text | Annotated[list[str], Tag(LIST)] | Annotated[FailureActionDoc, Tag(shape_tag(FailureActionDoc))],
    shapes(
        "a name, a list of names, or a mapping with `action`",
        text=TEXT,
        list=LIST,
        mapping=shape_tag(FailureActionDoc),
    ),
]
"""A name or names: edges. A mapping with `action`: a policy."""


class ForEachDoc(Doc):
    """Run the step once for every item."""

    items: Any = required("A list, or an expression that yields one.")
    as_: Name | None = optional("The name of the item in expressions; `item` when left out.", alias="as")
    index: Name | None = optional("The name of the item's number in expressions, from 0; `index` when left out.")
    batch_size: Count | None = optional("Items handed over at once, as a list.")
    concurrency: CountOrExpression | None = optional("Items at once; 10 when left out.")
    when: Any = optional("Which items.")
    on_error: Literal["fail", "continue"] | None = optional("What a failing item does to the step.")


class RepeatDoc(Doc):
    """Run the step again; exactly one of `while` and `until`."""

    while_: Any = optional("Again as long as this holds.", alias="while")
    until: Any = optional("Again until this holds.")
    max_iterations: Count | None = optional("At most so often; 100 when left out.")
    delay: Duration | None = optional("The wait in between.")


class StepBodyDoc(Doc):
    """A type and its settings, without a place in the graph."""

    type: Annotated[str, Field(min_length=1)] | None = optional("The type of the step; service_call when left out.")
    config: Apart[dict[str, Any]] | None = optional("The settings of the type.")
    with_: Apart[dict[str, Any]] | None = optional("The same as `config`.", alias="with")
    retry: RetryDoc | None = optional("How often it is tried.")
    timeout: Timeout | None = optional("How long one try may take.")


class UndoDoc(StepBodyDoc):
    """What undoes a step: a type and its settings, without a place in the graph."""

    when: Any = optional("A condition; when it does not hold, the step is not undone.")
    condition: Any = optional("The same as `when`.")


class CpuDoc(Doc):
    """Processors."""

    request: CpuQuantity | None = optional("What must be free for the step to start.")
    limit: CpuQuantity | None = optional("What it may use.")


class MemoryDoc(Doc):
    """Memory."""

    request: MemoryQuantity | None = optional("What must be free for the step to start.")
    limit: MemoryQuantity | None = optional("What it may use.")


class ResourcesDoc(Doc):
    """What a step needs of the machine."""

    cpu: CpuDoc | None = optional("Processors: 2, 0.5, 500m.")
    memory: MemoryDoc | None = optional("Memory: 512Mi, 2Gi.")


class CacheDoc(Doc):
    """Reuse a recorded result."""

    key: Any = required("Results with the same key are reused.")
    ttl: Timeout | None = optional("How long.")


_Dependency = Annotated[
    Text | Annotated[DependencyDoc, Tag(shape_tag(DependencyDoc))],
    shapes("a name or a mapping with `step` and `on`", text=TEXT, mapping=shape_tag(DependencyDoc)),
]
DependsOn = Annotated[
    Text | Annotated[list[_Dependency], Tag(LIST)] | Annotated[DependencyDoc, Tag(shape_tag(DependencyDoc))],
    shapes("a name or a list of names", text=TEXT, list=LIST, mapping=shape_tag(DependencyDoc)),
]
_NextEntry = Annotated[
    Text | Annotated[NextDoc, Tag(shape_tag(NextDoc))],
    shapes("a name or a mapping with `to` and `when`", text=TEXT, mapping=shape_tag(NextDoc)),
]
Next = Annotated[
    Text | Annotated[list[_NextEntry], Tag(LIST)] | Annotated[NextDoc, Tag(shape_tag(NextDoc))],
    shapes("a name, or a list of names or mappings", text=TEXT, list=LIST, mapping=shape_tag(NextDoc)),
]
JoinDoc = Annotated[
    Annotated[Literal["all", "sync", "any", "each"], Tag(TEXT)] | Annotated[Count, Tag(NUMBER)],
    shapes("all, sync, any, each or a number", text=TEXT, number=NUMBER),
]
CircuitBreakerChoice = Annotated[
    Text | Annotated[CircuitBreakerDoc, Tag(shape_tag(CircuitBreakerDoc))],
    shapes("a mapping or the name of a policy", text=TEXT, mapping=shape_tag(CircuitBreakerDoc)),
]
BulkheadChoice = Annotated[
    Text | Annotated[BulkheadDoc, Tag(shape_tag(BulkheadDoc))],
    shapes("a mapping or the name of a policy", text=TEXT, mapping=shape_tag(BulkheadDoc)),
]
RateLimitChoice = Annotated[
    Text | Annotated[RateLimitDoc, Tag(shape_tag(RateLimitDoc))],
    shapes("a mapping or the name of a policy", text=TEXT, mapping=shape_tag(RateLimitDoc)),
]


MutexKey = Annotated[str, Field(min_length=1)]


class MutexDoc(Doc):
    """A lock that one step at a time holds, of whatever execution."""

    key: MutexKey = required("The lock's name; expressions allowed.")
    timeout: Timeout | None = optional("How long to wait for it; for ever when left out.")


class MilestoneDoc(Doc):
    """When the step may start, once it is due; at least one of both."""

    after: Names | None = optional("Only when these have completed; it waits for them.")
    before: Names | None = optional("Only when none of these has ended; otherwise it is skipped.")


MutexChoice = Annotated[
    Annotated[MutexKey, Tag(TEXT)] | Annotated[MutexDoc, Tag(shape_tag(MutexDoc))],
    shapes("the name of a lock or a mapping with `key`", text=TEXT, mapping=shape_tag(MutexDoc)),
]


MOST_LABELS = 8

LabelValue = Annotated[
    Text | Annotated[bool, Tag(FLAG)] | Annotated[int, Tag(NUMBER)],
    shapes("text, a whole number, true or false", text=TEXT, boolean=FLAG, number=NUMBER),
]


class QueueDoc(Doc):
    """The workers that do a step."""

    name: Annotated[str, Field(min_length=1)] = required("The queue that they serve.")
    labels: Annotated[dict[Name, LabelValue], Field(max_length=MOST_LABELS)] | None = optional(
        "What they must be labelled with, all of it; others are not given the step."
    )


QueueChoice = Annotated[
    Annotated[str, Field(min_length=1), Tag(TEXT)] | Annotated[QueueDoc, Tag(shape_tag(QueueDoc))],
    shapes("the name of a queue or a mapping with `name` and `labels`", text=TEXT, mapping=shape_tag(QueueDoc)),
]


class StepDoc(Doc):
    """A step."""

    name: Name | None = optional("Unique in the workflow; left out when the steps are a mapping by name.")
    type: Annotated[str, Field(min_length=1)] | None = optional("The type of the step; service_call when left out.")
    description: str | None = optional("For people.")
    depends_on: DependsOn | None = optional("Steps that must end first.")
    next: Next | None = optional("Where to go on when the step has ended.")
    on_success: Names | None = optional("Steps to go on with when it succeeded.")
    on_failure: OnFailure | None = optional("Steps to go on with when it failed, or what to do then.")
    on_timeout: OnFailure | None = optional("Steps to go on with when it timed out, or what to do then.")
    on_complete: Names | None = optional("Steps to go on with however it ended.")
    decision: list[DecisionDoc] | None = optional("Branches, of which the first whose condition holds is taken.")
    join: JoinDoc | None = optional("How many inbound edges must be taken.")
    when: Any = optional("Skip the step unless this holds.")
    condition: Any = optional("The same as `when`.")
    config: Apart[dict[str, Any]] | None = optional("The settings of the type; expressions allowed anywhere.")
    with_: Apart[dict[str, Any]] | None = optional("The same as `config`.", alias="with")
    output: dict[str, Any] | None = optional("The step's output; expressions see `response`, the raw result.")
    publish: Variables | None = optional("Variables that are set when it succeeded; later ones see earlier ones.")
    for_each: ForEachDoc | None = optional("Run the step once for every item.")
    with_items: Any = optional("Short for `for_each: {items: ...}`.")
    batch_size: Count | None = optional("With `with_items`: items handed over at once.")
    concurrency: Count | None = optional("With `with_items`: items at once.")
    repeat: RepeatDoc | None = optional("Run the step again while or until a condition holds.")
    retry: RetryDoc | None = optional("How often it is tried; what is left out is taken from the workflow's policy.")
    timeout: Timeout | None = optional("How long one try may take.")
    delay: Duration | None = optional("How long to wait before it starts.")
    compensate: UndoDoc | None = optional("What undoes the step.")
    circuit_breaker: CircuitBreakerChoice | None = optional("A circuit breaker, or the name of one.")
    bulkhead: BulkheadChoice | None = optional("A bulkhead, or the name of one.")
    rate_limit: RateLimitChoice | None = optional("A rate limit, or the name of one.")
    queue: QueueChoice | None = optional("The queue whose workers do it, and which of them.")
    resources: ResourcesDoc | None = optional("What it needs of the machine.")
    cache: CacheDoc | None = optional("Reuse a recorded result.")
    checkpoint: Annotated[str, Field(min_length=1)] | None = optional("A name to roll the execution back to.")
    max_visits: Count | None = optional("How often a step of a cycle may run; without it a cycle is an error.")
    mutex: MutexChoice | None = optional("A lock that it holds from its start to its end.")
    cancels: Names | None = optional("Steps that are cancelled when it completes, if they have not ended.")
    milestone: MilestoneDoc | None = optional("Between which other steps it may start.")
    parallel: bool | None = optional("A hint; independent steps run side by side anyway.")


Steps = list[StepDoc] | dict[Name, StepDoc]
"""A list of named steps, or a mapping from name to step."""


class MetadataDoc(Doc):
    """What the workflow is called."""

    name: WorkflowName = required("The name it is stored under.")
    version: Version = required('A semantic version such as "1.2.0".')
    description: str | None = optional("For people.")
    tags: list[str] | None = optional("For finding it.")


class SpecDoc(Doc):
    """What the workflow does."""

    config: Apart[ConfigDoc] | None = optional("How it runs as a whole.")
    input: Apart[InputDoc] | None = optional("What it is started with.")
    vars: Apart[Variables] | None = optional("Variables and their first values; later ones see earlier ones.")
    variables: Apart[Variables] | None = optional("The same as `vars`.")
    triggers: Apart[list[TriggerDoc]] | None = optional("What starts it.")
    steps: Apart[Steps] = required("Its steps.")
    compensation: Apart[CompensationDoc] | None = optional("How completed steps are undone.")
    output: Apart[OutputDoc] | None = optional("What it gives back.")


class WorkflowDoc(Doc):
    """A workflow definition."""

    api_version: Literal["workflow/v1"] = required("The language this is written in.", alias="apiVersion")
    kind: Literal["Workflow"] = required("What the document is.")
    metadata: Apart[MetadataDoc] = required("What it is called.")
    spec: Apart[SpecDoc] = required("What it does.")
