"""The documents of the dialect as they are written: one model for each mapping."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, SkipValidation, Tag

from stepwell.definition.shapes import (
    TEXT,
    Count,
    CpuQuantity,
    Doc,
    Duration,
    MemoryQuantity,
    Names,
    Text,
    Timeout,
    optional,
    required,
    shape_tag,
    shapes,
)
from stepwell.policy.retry import NO_LIMIT

Filled = Annotated[str, Field(min_length=1)]
Component = Literal["workflow_engine", "activity_executor", "state_manager"]


class BackoffDoc(Doc):
    """How waits grow: the i-th is `initial * multiplier^(i-1)`."""

    initial: Duration | None = optional("The wait after the first try; 1s when left out.")
    multiplier: Annotated[float, Field(ge=1, le=1_000)] | None = optional("By how much a wait grows; 2 when left out.")


class RetryDoc(Doc):
    """How often a failing activity is tried."""

    max_attempts: Annotated[int, Field(ge=1, le=NO_LIMIT)] = required("All tries counted, the first one too.")
    backoff: BackoffDoc | None = optional("The waits in between.")


class FallbackDoc(Doc):
    """What happens after the last try."""

    activity: Filled = required("`skip`, or the activity that runs instead.")
    notify: bool | None = optional("Whether somebody is told.")


class NotificationDoc(Doc):
    """Who is told, over which channels."""

    channels: list[Filled] = required("Names of channels of the configuration.")
    recipients: list[Filled] | None = optional("Who gets it.")


class ActivityErrorDoc(Doc):
    """When an activity fails."""

    retry: RetryDoc | None = optional("How often it is tried.")
    fallback: FallbackDoc | None = optional("What happens after the last try.")


class WorkflowErrorDoc(Doc):
    """When an activity has failed and nothing handled it."""

    strategy: Literal["compensate", "abort", "continue"] | None = optional("Undo, stop, or carry on.")
    notification: NotificationDoc | None = optional("Who is told.")


class ErrorHandlingDoc(Doc):
    """What happens when something fails."""

    activity_error: ActivityErrorDoc | None = optional("When an activity fails.")
    workflow_error: WorkflowErrorDoc | None = optional("When an activity has failed and nothing handled it.")


class UndoDoc(Doc):
    """An activity that undoes another one."""

    activity: Filled = required("The activity.")
    params: dict[str, Any] | None = optional("What it is given.")
    input: dict[str, Any] | None = optional("The same as `params`.")


class ListedDoc(Doc):
    """An activity of the list that undoes the workflow as a whole."""

    name: Filled = required("Its name, and the activity's when `activity` does not say.")
    activity: Filled | None = optional("The activity.")
    params: dict[str, Any] | None = optional("What it is given.")
    input: dict[str, Any] | None = optional("The same as `params`.")


class CompensationDoc(Doc):
    """How what was done is undone."""

    strategy: Literal["reverse", "forward", "parallel"] | None = optional("In which order; reverse when left out.")
    mode: Literal["automatic", "manual"] | None = optional("At once, or when an operator says so.")
    timeout: Timeout | None = optional("For the compensation as a whole.")
    notification: bool | None = optional("Whether somebody is told when it begins and when it has ended.")
    activities: SkipValidation[list[ListedDoc]] | None = optional("Activities that undo, whatever was done.")


class ApprovalDoc(Doc):
    """Whether somebody must agree first."""

    required: bool | None = optional("Whether it is needed; true when left out.")
    approver: Any = optional("Who may agree: a name or a list of names; anybody when left out.")


UndoChoice = Annotated[
    Text | Annotated[UndoDoc, Tag(shape_tag(UndoDoc))],
    shapes("the name of an activity, or a mapping with `activity`", text=TEXT, mapping=shape_tag(UndoDoc)),
]


class WorkDoc(Doc):
    """What activities of workflows and of sagas have in common."""

    input: dict[str, Any] | None = optional("What it is given; the variables of its parameters' names when left out.")
    params: dict[str, Any] | None = optional("The same as `input`.")
    output: dict[str, Any] | None = optional("Variables that it sets; expressions see `output`, its result.")
    publish: dict[str, Any] | None = optional("The same as `output`.")
    filters: Any = optional("It runs only when the variables satisfy this filter.")
    retry: RetryDoc | None = optional("How often it is tried.")
    timeout: Timeout | None = optional("How long one try may take.")
    on_failure: Literal["abort", "continue", "compensate"] | None = optional("What its failure does.")
    depends_on: Names | None = optional("Activities that must end first; the one before it when left out.")
    approval: ApprovalDoc | None = optional("Whether somebody must agree first.")
    fallback: FallbackDoc | None = optional("What happens after the last try.")
    compensation: UndoChoice | None = optional("The activity that undoes it.")


class ActivityDoc(WorkDoc):
    """An activity of a workflow."""

    name: Filled = required("Its name in the workflow, and the activity's when `activity` does not say.")
    activity: Filled | None = optional("The activity that is run.")


class PairDoc(WorkDoc):
    """An activity of a saga, and the one that undoes it."""

    activity: Filled = required("The activity that is run.")
    name: Filled | None = optional("Its name in the workflow; the activity's when left out.")


class TriggerDoc(Doc):
    """The event that starts the workflow."""

    event: Filled = required("A type of event, such as ticket:created or ticket:*.")
    conditions: Any = optional("Which events: paths in their payload, and values or operators.")
    active: bool | None = optional("Whether it starts anything; true when left out.")


class ExecutionDoc(Doc):
    """A workflow."""

    workflow: Filled = required("Its name.")
    version: Any = optional("Its version: a number, or a semantic version; 1.0.0 when left out.")
    description: str | None = optional("For people.")
    trigger: SkipValidation[TriggerDoc] | None = optional("The event that starts it.")
    activities: SkipValidation[list[ActivityDoc]] = required("What it does, in this order.")
    compensation: SkipValidation[CompensationDoc] | None = optional("How what was done is undone.")


class SagaDoc(Doc):
    """Activities that are undone when a later one fails."""

    workflow: Filled | None = optional("The name of the workflow; saga when left out.")
    steps: SkipValidation[list[PairDoc]] = required("The activities, in this order.")


class BreakerMonitoringDoc(Doc):
    """What of a circuit breaker is watched."""

    enabled: bool | None = optional("Whether it is.")
    metrics: list[Literal["error_rate", "latency"]] | None = optional("Which figures.")


class CircuitBreakerDoc(Doc):
    """Activities fail fast while they are broken."""

    threshold: Count | None = optional("Failures that open the circuit; 5 when left out.")
    timeout: Timeout | None = optional("A call that takes longer is a failure.")
    reset: Timeout | None = optional("How long calls fail fast before one is tried; 5m when left out.")
    monitoring: BreakerMonitoringDoc | None = optional("What of it is watched; its state always is.")


class RejectedDoc(Doc):
    """What a rejected call runs instead."""

    activity: Filled = required("The activity.")


class BulkheadDoc(Doc):
    """At most so many calls of an activity at once."""

    max_concurrent: Count = required("Calls running at once.")
    max_queue_size: Annotated[int, Field(ge=0)] | None = optional("Calls waiting; the next one is rejected.")
    timeout: Timeout | None = optional("How long a call waits.")
    fallback: RejectedDoc | None = optional("What a rejected call runs instead.")


class QueuingDoc(Doc):
    """What happens beyond the limits."""

    strategy: Literal["fifo"] | None = optional("In the order in which they came.")
    timeout: Timeout | None = optional("How long to wait for a place.")


class ConcurrencyDoc(Doc):
    """How much the engine does at once."""

    max_workflows: Count | None = optional("Workflows at work.")
    max_activities: Count | None = optional("Activities at work.")
    queuing: QueuingDoc | None = optional("What happens to more.")


class CpuDoc(Doc):
    """Processors."""

    request: CpuQuantity | None = optional("What must be free.")
    limit: CpuQuantity | None = optional("What may be used.")


class MemoryDoc(Doc):
    """Memory."""

    request: MemoryQuantity | None = optional("What must be free.")
    limit: MemoryQuantity | None = optional("What may be used.")


class ResourcesDoc(Doc):
    """What the activities need of the machine."""

    cpu: CpuDoc | None = optional("Processors: 2, 0.5, 500m.")
    memory: MemoryDoc | None = optional("Memory: 512Mi, 2Gi.")


class LoggingDoc(Doc):
    """What is logged."""

    level: Literal["debug", "info", "warning", "error"] | None = optional("From which level on.")
    components: list[Component] | None = optional("Of which parts.")
    format: dict[str, Literal["string", "number", "integer", "boolean"]] | None = optional("The fields of a line.")


class TracingDoc(Doc):
    """What is traced."""

    enabled: bool | None = optional("Whether anything is.")
    sampling_rate: Annotated[float, Field(ge=0, le=1)] | None = optional("Which part of the executions: 0 to 1.")
    components: list[Component] | None = optional("Of which parts.")


class ThrottlerDoc(Doc):
    """At most so many calls in a time."""

    enabled: bool | None = optional("Whether it is in force; true when left out.")
    limit: Count = required("Calls in every `ttl`.")
    ttl: Timeout = required("The time they are counted in.")
    key: str | None = optional("What is counted together.")


class HttpConfigDoc(Doc):
    """How an activity is called."""

    endpoint_url: Filled = required("Where to.")
    http_verb: Literal["GET", "POST", "PUT", "PATCH", "DELETE"] | None = optional(
        "The method; POST when left out.", alias="httpVerb"
    )
    headers: dict[str, Any] | None = optional("Headers of the request.")


class ManifestDoc(Doc):
    """An activity that is a service on the net."""

    name: Filled = required("What workflows call it.")
    description: str | None = optional("For people.")
    http_config: HttpConfigDoc = required("How it is called.")
    request_schema: dict[str, Any] | None = optional("A JSON Schema that what it is given satisfies.")
    response_schema: dict[str, Any] | None = optional("A JSON Schema that its answer satisfies.")
    throttler: ThrottlerDoc | None = optional("How often it may be called.")


class WholeDoc(Doc):
    """The parts of the documents of a source together."""

    execution: SkipValidation[ExecutionDoc] | None = optional("The workflow.")
    saga: SkipValidation[SagaDoc] | None = optional("Activities and what undoes them.")
    error_handling: SkipValidation[ErrorHandlingDoc] | None = optional("What happens when something fails.")
    compensation: SkipValidation[CompensationDoc] | None = optional("How what was done is undone.")
    compensation_activities: SkipValidation[dict[str, UndoDoc]] | None = optional("What undoes each activity.")
    circuit_breaker: SkipValidation[CircuitBreakerDoc] | None = optional("Activities fail fast while they are broken.")
    bulkhead: SkipValidation[BulkheadDoc] | None = optional("At most so many calls at once.")
    concurrency: SkipValidation[ConcurrencyDoc] | None = optional("How much the engine does at once.")
    resources: SkipValidation[ResourcesDoc] | None = optional("What the activities need of the machine.")
    logging: SkipValidation[LoggingDoc] | None = optional("What is logged.")
    tracing: SkipValidation[TracingDoc] | None = optional("What is traced.")
    activities: SkipValidation[list[ManifestDoc]] | None = optional("Activities that are services on the net.")
    state: SkipValidation[Any] = optional("What is given out of an execution.")
    activity_state: SkipValidation[Any] = optional("What is given out of an activity.")
    monitoring: SkipValidation[Any] = optional("Figures that are given out.")
    metrics: SkipValidation[Any] = optional("Figures that are given out.")
    dialect: Any = optional("The dialect: execution.")


OUTPUTS = ("state", "activity_state", "monitoring", "metrics")
"""Keys of what the engine gives out; they are never read."""
