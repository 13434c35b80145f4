"""The canonical model of a workflow: what every surface is read into, and the only thing the engine knows.

Everything is frozen. Values that may hold expressions are kept as they were written (`Any`); the decider compiles them
into its plan. Durations are integers of microseconds. `path` says where in the document a part stands; a definition's
`spans` turn a path into a line and a column.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from stepwell.base.spans import Source, Span
from stepwell.policy.limits import Bulkhead as Bulkhead
from stepwell.policy.limits import CircuitBreaker as CircuitBreaker
from stepwell.policy.limits import RateLimit as RateLimit
from stepwell.policy.retry import RetryPolicy

Path = tuple[str | int, ...]

LEAF_TYPES = frozenset({
    "service_call", "http", "python", "shell", "sql", "file", "notify", "ai", "emit_event",
    "validation", "transform", "input", "process", "output",
})  # fmt: skip
"""Built-in step types that a worker does."""

CONTROL_TYPES = frozenset({
    "wait_for_event", "wait", "approval", "workflow", "parallel_group", "conditional", "loop",
    "state_machine", "dynamic", "set", "checkpoint", "fail", "noop",
})  # fmt: skip
"""Step types that the engine does itself; no worker sees them."""

BLOCK_TYPES = frozenset({"parallel_group", "conditional", "loop", "state_machine", "dynamic"})
"""Control types that hold steps of their own."""

DependencyOn = Literal["satisfied", "success", "failure", "timeout", "complete", "skipped"]
EdgeOn = Literal["success", "failure", "timeout", "complete"]
Join = Literal["all", "sync", "any", "each"] | int
Action = Literal["terminate", "continue", "skip", "retry", "compensate", "fallback", "pause"]


class Dependency(msgspec.Struct, frozen=True, kw_only=True):
    """A pulled edge: this step waits for `step`.

    `on` is `satisfied` when nothing was said: completed, skipped by its own condition, or failed and continued.
    """

    step: str
    on: DependencyOn = "satisfied"
    path: Path = ()


class Edge(msgspec.Struct, frozen=True, kw_only=True):
    """A pushed edge: when this step ends so and `when` holds, go on with `to`.

    Attributes:
        to: the steps to run; empty handles the outcome and runs nothing.
        on: the outcome that takes the edge.
        when: a raw condition, or None.
        publish: ordered (name, raw template) pairs, put into `vars` when the edge is taken.
        delay: microseconds to wait before the targets start.
        decision: edges of one step with the same number are alternatives: the first whose `when` holds is taken.
        handles: to take it after a failure is to have dealt with that; otherwise the failure stands.
        ends: a way ends here too, though it leads on: where branches are separate, the output sees what it publishes.
    """

    to: tuple[str, ...]
    on: EdgeOn = "success"
    when: Any = None
    publish: tuple[tuple[str, Any], ...] = ()
    delay: int = 0
    decision: int | None = None
    handles: bool = True
    ends: bool = False
    path: Path = ()


class Iteration(msgspec.Struct, frozen=True, kw_only=True):
    """`for_each`: run the step once for every item."""

    items: Any
    as_name: str = "item"
    index_name: str = "index"
    batch_size: int | None = None
    concurrency: int | str = 10
    when: Any = None
    on_error: Literal["fail", "continue"] = "fail"


class Repetition(msgspec.Struct, frozen=True, kw_only=True):
    """`repeat`: run the step again while (or until) a condition holds."""

    condition: Any
    until: bool = False
    max_iterations: int = 100
    delay: int = 0


class StepBody(msgspec.Struct, frozen=True, kw_only=True):
    """A type and its settings, without a place in the graph: what `compensate` and a fallback hold.

    `when`: of `compensate`, the raw condition of running it, or None.
    """

    type: str
    config: Mapping[str, Any] = {}
    retry: RetryPolicy | None = None
    timeout: int | None = None
    path: Path = ()
    when: Any = None


class Fallback(msgspec.Struct, frozen=True, kw_only=True):
    """What takes the place of a step that failed, or of a call that a bulkhead rejected: one of three.

    Attributes:
        step: the name of a step of the same group, which is run instead. No edge leads to it, and it runs only so
            (see `stepwell.definition.graph.fallback_steps`).
        body: a type and settings that are run instead.
        value: with neither of them, the raw template of the value that becomes the output.
    """

    step: str | None = None
    body: StepBody | None = None
    value: Any = None
    path: Path = ()


class FailureAction(msgspec.Struct, frozen=True, kw_only=True):
    """What `on_failure` or `on_timeout` says when it holds a mapping with `action`.

    `fallback` is there exactly when `action` is `fallback`.
    """

    action: Action = "terminate"
    message: Any = None
    max_attempts: int | None = None
    fallback: Fallback | None = None
    compensation_workflow: str | None = None
    notify: Any = None
    path: Path = ()


class Concurrency(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit` executions of this workflow at once for the same `key`."""

    limit: int
    key: Any = None
    on_limit: Literal["queue", "reject", "replace"] = "queue"


class Cache(msgspec.Struct, frozen=True, kw_only=True):
    """Reuse a recorded result for the same `key` for `ttl` microseconds."""

    key: Any
    ttl: int | None = None


class Mutex(msgspec.Struct, frozen=True, kw_only=True):
    """A lock that the step holds from its start to its end; no other step of any execution holds it meanwhile.

    Attributes:
        key: the raw template of the lock's name.
        timeout: the most microseconds to wait for it; None waits for ever.
    """

    key: Any
    timeout: int | None = None
    path: Path = ()


class Milestone(msgspec.Struct, frozen=True, kw_only=True):
    """When a step that is due may start: once all of `after` have completed, and before any of `before` has ended.

    The named steps stand in the same group, or in one around it. At least one of both is not empty.
    """

    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    path: Path = ()


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A node of a workflow.

    Attributes:
        config: the type's own settings as written; expressions are allowed anywhere in it. Steps nested in a control
            construct are not in here but in `blocks`.
        blocks: the nested steps of a control construct by block name (`then`, `else`, `cases.0`, `steps`, ...).
        retry: None means the workflow's own policy (`WorkflowConfig.retry`).
        cancels: the names of steps, of the same group or of one around it, that are cancelled when this one completes,
            as far as they have not ended.
        parallel: a hint kept from the document; independent steps run side by side anyway.
    """

    name: str
    type: str = "service_call"
    path: Path = ()
    depends_on: tuple[Dependency, ...] = ()
    edges: tuple[Edge, ...] = ()
    join: Join | None = None
    when: Any = None
    config: Mapping[str, Any] = {}
    blocks: tuple[tuple[str, tuple[Step, ...]], ...] = ()
    output: Mapping[str, Any] | None = None
    publish: tuple[tuple[str, Any], ...] = ()
    for_each: Iteration | None = None
    repeat: Repetition | None = None
    retry: RetryPolicy | None = None
    timeout: int | None = None
    delay: int = 0
    on_failure: FailureAction | None = None
    on_timeout: FailureAction | None = None
    compensate: StepBody | None = None
    circuit_breaker: CircuitBreaker | str | None = None
    bulkhead: Bulkhead | str | None = None
    rate_limit: RateLimit | str | None = None
    queue: str | None = None
    labels: Mapping[str, str] = {}
    resources: Mapping[str, Any] | None = None
    cache: Cache | None = None
    checkpoint: str | None = None
    max_visits: int | None = None
    mutex: Mutex | None = None
    cancels: tuple[str, ...] = ()
    milestone: Milestone | None = None
    parallel: bool | None = None
    description: str = ""


class ErrorStrategy(msgspec.Struct, frozen=True, kw_only=True):
    """What happens after an unhandled failure; `strategy` None compensates when the workflow says how."""

    strategy: Literal["compensate", "terminate", "continue"] | None = None
    notify: Mapping[str, Any] | None = None
    steps: tuple[Step, ...] = ()


class WorkflowConfig(msgspec.Struct, frozen=True, kw_only=True):
    """`spec.config`. Durations in microseconds."""

    timeout: int | None = None
    deadline: int | None = None
    retry: RetryPolicy | None = None
    max_parallel_steps: int | None = None
    failure_mode: Literal["fail_fast", "drain"] = "fail_fast"
    concurrency: Concurrency | None = None
    cancellation: Literal["allow_finish", "cancel_running"] = "allow_finish"
    compensate_on_cancel: bool = False
    on_error: ErrorStrategy = ErrorStrategy()
    policies: Mapping[str, CircuitBreaker | Bulkhead | RateLimit] = {}
    strict_failures: bool = False
    branches: Literal["shared", "separate"] = "shared"
    checkpoints: Literal["named", "automatic"] = "named"
    enabled: bool = True


class Compensation(msgspec.Struct, frozen=True, kw_only=True):
    """`spec.compensation`. `declared` is False when the document has none.

    `strategy` None: per-step bodies in reverse order of completion, `steps` in listed order. `notification`: true or a
    mapping says who is told when it begins and has ended.
    """

    strategy: Literal["reverse", "forward", "parallel"] | None = None
    mode: Literal["automatic", "manual"] = "automatic"
    timeout: int | None = None
    steps: tuple[Step, ...] = ()
    declared: bool = False
    notification: Any = None


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of `spec.triggers`; `config` holds the kind's own settings as written.

    `map` is the input of what is started: a mapping or a text with an expression, or None for the event's data. A
    trigger that is not `active` starts nothing.
    """

    kind: Literal["event", "schedule", "webhook", "topic"]
    config: Mapping[str, Any]
    filter: Any = None
    map: Mapping[str, Any] | str | None = None
    dedupe_key: Any = None
    path: Path = ()
    active: bool = True


class SpanIndex:
    """Where every value of a document stands."""

    __slots__ = ("_spans",)

    def __init__(self, spans: Mapping[Path, Span]) -> None:
        self._spans = spans

    def at(self, path: Path) -> Span:
        """The span of the value at `path`, or of the nearest part around it that has one."""
        while path and path not in self._spans:
            path = path[:-1]
        return self._spans.get(path, _START)


_START = Span(1, 1, 1, 1)


class WorkflowDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A whole workflow.

    Attributes:
        version: semantic version text.
        vars: ordered (name, raw template) pairs; later entries see earlier ones.
        output_values: the mapping of `output.values`, or None.
        output_on_failure: the output is given also when an execution fails, if it can be built then.
        source: the text this was read from, for messages and for storing.
        digest: SHA-256 of the source text: the identity of the content.
        dialect: the surface it was written in; `native` for `workflow/v1`.
    """

    name: str
    version: str
    steps: tuple[Step, ...]
    source: Source
    spans: SpanIndex
    digest: str
    description: str = ""
    tags: tuple[str, ...] = ()
    config: WorkflowConfig = WorkflowConfig()
    input_schema: Mapping[str, Any] | None = None
    vars: tuple[tuple[str, Any], ...] = ()
    triggers: tuple[Trigger, ...] = ()
    compensation: Compensation = Compensation()
    output_schema: Mapping[str, Any] | None = None
    output_values: Mapping[str, Any] | None = None
    output_on_failure: bool = False
    dialect: str = "native"


def all_steps(steps: tuple[Step, ...]) -> Iterator[Step]:
    """Every step of `steps`, those nested in blocks too, outer before inner, in document order."""
    pending = list(reversed(steps))
    while pending:
        step = pending.pop()
        yield step
        nested = [inner for _, block in step.blocks for inner in block]
        pending.extend(reversed(nested))
