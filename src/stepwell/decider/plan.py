"""The plan: a definition compiled once, so that deciding touches only what an input affects.

Edges are turned around (a step knows whom it wakes), expressions are compiled, policies are resolved. A plan is shared
by all executions of its definition and never changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, Literal

import msgspec

from stepwell.decider.checking import SchemaCheck
from stepwell.definition.model import (
    CONTROL_TYPES,
    DependencyOn,
    FailureAction,
    Step,
    WorkflowDefinition,
)
from stepwell.expression.compiled import Reference
from stepwell.expression.template import Condition, Template, compile_condition, compile_template
from stepwell.policy.retry import RetryPolicy

Join = Literal["all", "sync", "any"] | int

DEFAULT_ATTEMPTS: Final = 3
"""What `on_failure: {action: retry}` means when nothing says how often."""
DEFAULT_EVENT_TIMEOUT: Final = "1h"


class Link:
    """An edge from `source` to `target`, taken when the source ends as `on` says."""

    __slots__ = ("on", "source", "target")

    def __init__(self, source: Node, target: Node, on: DependencyOn) -> None:
        self.source = source
        self.target = target
        self.on = on


class Retry:
    """A retry policy, its condition compiled."""

    __slots__ = ("policy", "when")

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.when = compile_condition(policy.when, outcome=True) if policy.when is not None else None


class Node:
    """A step, compiled.

    Attributes:
        inbound: how many edges lead here; 0 makes it an entry.
        links: the edges that lead away.
        position: its place in the definition; of several steps that are due, the first is started first.
        stable: rendering `config` again, later in the same execution, gives the same (see `_is_stable`).
        for_compensation: it belongs to `compensation.steps`.
    """

    __slots__ = (
        "config",
        "event_filter",
        "failure_message",
        "for_compensation",
        "has_timeout_link",
        "inbound",
        "is_control",
        "join",
        "links",
        "name",
        "output",
        "position",
        "publish",
        "retry",
        "stable",
        "step",
        "timeout",
        "timeout_message",
        "timeout_retry",
        "when",
    )

    def __init__(
        self, step: Step, position: int, default_retry: RetryPolicy | None, *, for_compensation: bool = False
    ) -> None:
        self.step = step
        self.name = step.name
        self.position = position
        self.is_control = step.type in CONTROL_TYPES
        self.for_compensation = for_compensation
        self.join: Join = "all"
        self.inbound = 0
        self.links: list[Link] = []
        self.has_timeout_link = False
        self.when = compile_condition(step.when) if step.when is not None else None
        self.config, self.event_filter = _compile_config(step)
        self.output = compile_template(step.output) if step.output is not None else None
        self.publish = tuple((name, compile_template(value)) for name, value in step.publish)
        self.retry = Retry(_effective_retry(step, step.on_failure, default_retry))
        self.timeout_retry = self.retry
        if step.on_timeout is not None:
            self.timeout_retry = Retry(_effective_retry(step, step.on_timeout, default_retry))
        self.timeout = step.timeout
        self.failure_message = _message(step.on_failure)
        self.timeout_message = _message(step.on_timeout)
        self.stable = _is_stable(self)

    def action_for(self, error_type: str) -> FailureAction | None:
        """The policy that applies when the step has failed with an error of this type."""
        if error_type == "timeout" and self.step.on_timeout is not None:
            return self.step.on_timeout
        return self.step.on_failure

    def retry_for(self, error_type: str) -> Retry:
        """How a try is repeated that failed with an error of this type."""
        return self.timeout_retry if error_type == "timeout" else self.retry

    def message_for(self, error_type: str) -> Template | None:
        """The message of the action that applies, or None."""
        if error_type == "timeout" and self.step.on_timeout is not None:
            return self.timeout_message
        return self.failure_message


class Plan:
    """A definition, compiled. It must have passed validation and `unsupported`.

    Attributes:
        compensation: the steps of `compensation.steps`, in the order in which they run.
        drains: after a failure, what can still be reached runs on.
    """

    __slots__ = (
        "compensation",
        "definition",
        "digest",
        "drains",
        "entries",
        "input_check",
        "max_parallel_steps",
        "nodes",
        "output",
        "output_check",
        "undoing",
        "variables",
    )

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.definition = definition
        self.digest = definition.digest
        retry = definition.config.retry
        self.nodes: Mapping[str, Node] = {
            step.name: Node(step, position, retry) for position, step in enumerate(definition.steps)
        }
        self.compensation: Sequence[Node] = [
            Node(step, position, retry, for_compensation=True)
            for position, step in enumerate(definition.compensation.steps)
        ]
        if definition.compensation.strategy == "reverse":
            self.compensation = self.compensation[::-1]
        self.undoing = {node.name: node for node in self.compensation}
        self.drains = definition.config.failure_mode == "drain"
        self.max_parallel_steps = definition.config.max_parallel_steps
        self.input_check = SchemaCheck(definition.input_schema or {})
        schema = definition.output_schema
        self.output_check = SchemaCheck(schema) if schema is not None else None
        self.variables = [(name, compile_template(value)) for name, value in definition.vars]
        values = definition.output_values
        self.output = compile_template(values) if values is not None else None
        _link(self.nodes)
        self.entries = [node for node in self.nodes.values() if node.inbound == 0]

    def node(self, name: str) -> Node | None:
        """The step or compensation step of that name."""
        return self.nodes.get(name) or self.undoing.get(name)


def _link(nodes: Mapping[str, Node]) -> None:
    for node in nodes.values():
        for dependency in node.step.depends_on:
            _connect(nodes[dependency.step], node, dependency.on)
        for edge in node.step.edges:
            for target in edge.to:
                _connect(node, nodes[target], edge.on)
    for node in nodes.values():
        node.join = _join_of(node)


def _connect(source: Node, target: Node, on: DependencyOn) -> None:
    source.links.append(Link(source, target, on))
    source.has_timeout_link |= on == "timeout"
    target.inbound += 1


def _join_of(node: Node) -> Join:
    declared = node.step.join
    if declared is None:
        return "all" if node.step.depends_on else "sync"
    if declared == "each":
        return "sync"  # refused by `unsupported` before a plan is made
    return declared


def _compile_config(step: Step) -> tuple[Template, Condition | None]:
    """The settings as a template; the filter of a wait apart when it is an expression, for it sees each event."""
    config = dict(step.config)
    condition = None
    if step.type == "wait_for_event" and isinstance(config.get("filter"), str):
        condition = compile_condition(config.pop("filter"))
    return compile_template(config), condition


def _effective_retry(step: Step, action: FailureAction | None, default: RetryPolicy | None) -> RetryPolicy:
    """What the action says goes before the step's own policy, and that before the workflow's.

    Steps that the engine does itself are not retried by the workflow's policy: a wait that timed out has waited.
    """
    policy = step.retry
    if policy is None and step.type not in CONTROL_TYPES:
        policy = default
    if action is not None and action.action == "retry":
        attempts = action.max_attempts or (policy.max_attempts if policy else DEFAULT_ATTEMPTS)
        policy = msgspec.structs.replace(policy or RetryPolicy(), max_attempts=attempts)
    return policy or RetryPolicy()


_SETTLED_ROOTS: Final = frozenset({"input", "execution", "secrets"})


def _is_stable(node: Node) -> bool:
    """Whether everything the settings read is settled for good once they could be rendered.

    The input never changes. A step's output never changes once it is there, and reading it before is an error, unless
    `default` or the like hides that. Everything about a direct predecessor is settled when all of them must have ended.
    Variables and the rest may change while the step runs: then the rendered settings are recorded.
    """
    waits_for_all = node.step.join in (None, "all", "sync")
    before = {dependency.step for dependency in node.step.depends_on} if waits_for_all else frozenset[str]()
    return all(_is_settled(reference, before) for reference in node.config.references)


def _is_settled(reference: Reference, before: Collection[str]) -> bool:
    path = reference.path
    if path[0] in _SETTLED_ROOTS:
        return True
    if path[0] != "steps" or len(path) < 3:
        return False
    return path[1] in before or (path[2] in ("output", "result") and not reference.optional)


def _message(action: FailureAction | None) -> Template | None:
    if action is None or action.message is None:
        return None
    return compile_template(action.message, outcome=True)
