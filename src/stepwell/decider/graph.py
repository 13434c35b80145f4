"""Steps and the edges between them, compiled once: what a step's end means is found without looking at the others.

A graph is what is written in one place: the definition's steps, or a block of a control construct. `Plan` holds those
of a definition.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final, Literal

import msgspec

from stepwell.decider.branches import entries_of
from stepwell.decider.cycles import tangles, untangle
from stepwell.decider.inner import Inner
from stepwell.decider.notice import notices_of
from stepwell.decider.stability import is_stable
from stepwell.definition.blocks import conditions
from stepwell.definition.model import (
    CONTROL_TYPES,
    Bulkhead,
    DependencyOn,
    Edge,
    EdgeOn,
    FailureAction,
    Fallback,
    Step,
    StepBody,
)
from stepwell.expression.template import Condition, Template, compile_condition, compile_template
from stepwell.policy.gates import Gates
from stepwell.policy.retry import RetryPolicy

Join = Literal["all", "sync", "any", "each"] | int
RESPONSES: Final = frozenset({"response", "response_status", "response_headers"})
"""Names for what a step gave, in conditions."""

REPEATING: Final = frozenset({"loop", "for_each", "repeat", "state_machine"})
"""Kinds of nodes whose regions are rounds."""
UNDOING: Final = frozenset({"compensate", "compensation"})
"""Names of graphs with the one step that undoes another, or compensates in place of all."""
LinkOn = DependencyOn | Literal["fallback"]
REJECTIONS: Final = frozenset({"bulkhead_full", "bulkhead_timeout"})
"""Errors of a step that a bulkhead did not let through."""

DEFAULT_ATTEMPTS: Final = 3
"""What `on_failure: {action: retry}` means when nothing says how often."""
DEFAULT_EVENT_TIMEOUT: Final = "1h"

BLOCK_TYPES: Final = frozenset({"conditional", "loop", "parallel_group", "state_machine", "dynamic"})
"""Step types that hold steps of their own."""


class PushedEdge:
    """An edge as its source names it, compiled: what its targets share.

    Attributes:
        number: its place among the edges of the step whose taking is recorded, for it is decided by a condition; None
            when the outcome alone decides.
        group: of the edges with the same group, the first that holds is taken.
        ends: it leads nowhere, or a way ends there too: to take it is to have dealt with the outcome.
        handles: see `Edge`.
        position: its place among all edges of the step.
        asks_skipped: its condition asks whether the step was skipped.
    """

    __slots__ = ("asks_skipped", "delay", "ends", "group", "handles", "number", "on", "position", "publish", "when")

    def __init__(self, edge: Edge, position: int, number: int | None) -> None:
        self.position = position
        self.on: EdgeOn = edge.on
        self.number = number
        self.group = edge.decision
        self.when = compile_condition(edge.when, outcome=True) if edge.when is not None else None
        self.publish = tuple((name, compile_template(value, outcome=True)) for name, value in edge.publish)
        self.delay = edge.delay
        self.ends = edge.ends or not edge.to
        self.handles = edge.handles
        self.asks_skipped = self.when is not None and "skipped" in self.when.functions


class Link:
    """An edge from `source` to `target`, taken when the source ends as `on` says (and as `edge` says, if pushed).

    Attributes:
        number: see `PushedEdge`.
        delay: microseconds between its taking and the start of the target.
        handles, position: see `PushedEdge`.
        publishes: variables are set when it is taken.
        body: for an edge that leads back: the names of the steps on the way round, which begin anew when it is taken.
        leaves: the tangle of cycles that this edge leads out of: it is dead only once nothing of that can run any more.
    """

    __slots__ = ("body", "delay", "handles", "leaves", "number", "on", "position", "publishes", "source", "target")

    def __init__(self, source: Node, target: Node, on: LinkOn, edge: PushedEdge | None = None) -> None:
        self.source = source
        self.target = target
        self.on = on
        self.number = edge.number if edge is not None else None
        self.delay = edge.delay if edge is not None else 0
        self.handles = edge is None or edge.handles
        self.position = edge.position if edge is not None else -1
        self.publishes = edge is not None and bool(edge.publish)
        self.body: frozenset[str] | None = None
        self.leaves: frozenset[str] | None = None


class Retry:
    """A retry policy, its condition compiled.

    Attributes:
        asks_result: the condition is about results too: a try that ended well may not be good enough.
        delay: gives the seconds of every wait; None when the policy says them.
    """

    __slots__ = ("asks_result", "delay", "policy", "when")

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy = policy
        self.when = compile_condition(policy.when, outcome=True) if policy.when is not None else None
        self.delay = compile_template(policy.delay, outcome=True) if policy.delay is not None else None
        self.asks_result = self.when is not None and (
            not self.when.functions.isdisjoint(("succeeded", "result"))
            or any(reference.path[0] in RESPONSES for reference in self.when.references)
        )


class StandIn:
    """What takes the place of a step that failed: another step by name, a value, or (in `graph`) a body of its own."""

    __slots__ = ("graph", "step", "value")

    def __init__(self, fallback: Fallback, node: Node) -> None:
        self.step = fallback.step
        self.graph: Graph | None = None
        self.value: Template | None = None
        body = fallback.body
        if body is not None:
            self.graph = Graph("fallback", items={*node.graph.items, "error"}, for_compensation=node.for_compensation)
            self.graph.add(Node(_body_step(node.name, body), node.position, self.graph, None))
        elif fallback.step is None:
            self.value = compile_template(fallback.value, outcome=True)


class Node:
    """A step, compiled.

    Attributes:
        kind: what runs it: a control type, `for_each`, `repeat`, or `leaf`.
        inbound: how many edges lead here; 0 makes it an entry.
        links: the edges that lead away.
        pushed: the edges that the step names itself; `decides_edges` when one of them has a condition or publishes.
        is_stand_in: it runs only in place of a step that failed.
        position: its place in the definition; of several steps that are due, the first is started first.
        stable: rendering `config` again, later in the same execution, gives the same (see `stability`).
        type: of the step.
        queue, labels: see `Assignment`.
        is_plain: once it is due nothing holds it back: no condition, no lock, no milestone, no bound on its visits.
        ends_plainly: what it gives is its output, and nothing follows from its end but what stands behind its edges.
        blocks: graphs of steps inside it, by name.
        checkpoints: the names of the points that are reached when it has completed.
        inner: what a control construct says about them.
        waits_for_one: a single edge leads here, and when it is taken the step is due.
        runs_often: it may run more than once in a region.
        undo: what its `compensate` says, as a step.
        for_compensation: it belongs to `compensation.steps`, or undoes a step.
        tangle: the names of the steps of its graph that it runs in circles with; None for most.
        sources: from how many steps an edge leads here, those aside that lead back; see `branches`.
        sets_variables: it publishes, along whatever edge.
        notices: who is told when it has failed, and when it has timed out; None when it is nobody.
        cache_key: under which its result is kept and looked up, or None.
        rate_key: by whose value its rate limit counts, or None.
    """

    __slots__ = (
        "blocks",
        "cache_key",
        "checkpoints",
        "config",
        "decides_edges",
        "delay",
        "ends_plainly",
        "event_filter",
        "failure_message",
        "fallbacks",
        "for_compensation",
        "gates",
        "graph",
        "has_timeout_link",
        "inbound",
        "inner",
        "is_plain",
        "is_stand_in",
        "join",
        "kind",
        "labels",
        "links",
        "lock_name",
        "name",
        "notices",
        "output",
        "position",
        "publish",
        "pushed",
        "queue",
        "rate_key",
        "retry",
        "runs_often",
        "sets_variables",
        "sources",
        "stable",
        "step",
        "tangle",
        "timeout",
        "timeout_message",
        "timeout_retry",
        "type",
        "undo",
        "waits_for_one",
        "when",
    )

    def __init__(self, step: Step, position: int, graph: Graph, default_retry: RetryPolicy | None) -> None:
        self.step = step
        self.name = step.name
        self.type = step.type
        self.queue = step.queue
        self.labels = step.labels or None
        self.position = position
        self.graph = graph
        self.for_compensation: bool = graph.for_compensation
        self.kind = step.type if step.type in CONTROL_TYPES else "leaf"
        self.join: Join = "all"
        self.inbound = 0
        self.links: list[Link] = []
        self.has_timeout_link = False
        self.tangle: frozenset[str] | None = None
        self.pushed = _compile_edges(step)
        self.decides_edges = any(edge.number is not None or edge.publish for edge in self.pushed)
        self.blocks: dict[str, Graph] = {}
        self.checkpoints = _checkpoints(step, automatic=graph.automatic)
        self.inner: Inner = None
        self.undo: Node | None = None
        self.when = compile_condition(step.when) if step.when is not None else None
        self.config, self.event_filter = _compile_config(step)
        self.output = compile_template(step.output) if step.output is not None else None
        self.publish = tuple((name, compile_template(value)) for name, value in step.publish)
        self.sets_variables = bool(step.publish) or step.type == "set"
        self.sources = 0
        self.retry = Retry(_effective_retry(step, step.on_failure, default_retry))
        self.timeout_retry = self.retry
        if step.on_timeout is not None:
            self.timeout_retry = Retry(_effective_retry(step, step.on_timeout, default_retry))
        self.timeout = step.timeout
        self.delay = step.delay
        self.failure_message = _message(step.on_failure)
        self.timeout_message = _message(step.on_timeout)
        self.notices = notices_of(step.on_failure, step.on_timeout)
        self.cache_key: Template | None = None
        if step.cache is not None and not self.is_control:
            self.cache_key = compile_template(step.cache.key)
        self.fallbacks = _fallbacks(step, self)
        self.is_stand_in = False
        self.gates: Gates | None = None
        self.rate_key: Template | None = None
        self.stable = False
        self.waits_for_one = False
        self.runs_often = False
        self.is_plain = not (step.when is not None or step.mutex or step.milestone or step.max_visits)
        self.ends_plainly = False
        self.lock_name = compile_template(step.mutex.key) if step.mutex is not None else None

    @property
    def is_control(self) -> bool:
        """Whether the engine does it itself."""
        return self.kind != "leaf"

    def action_for(self, error_type: str) -> FailureAction | None:
        """The policy that applies when the step has failed with an error of this type."""
        if error_type == "timeout" and self.step.on_timeout is not None:
            return self.step.on_timeout
        return self.step.on_failure

    def fallback_for(self, error_type: str) -> StandIn | None:
        """What stands in for the step when it has failed with an error of this type."""
        if error_type in REJECTIONS and "rejected" in self.fallbacks:
            return self.fallbacks["rejected"]
        if error_type == "timeout" and self.step.on_timeout is not None:
            return self.fallbacks.get("timeout")
        return self.fallbacks.get("failure")

    def retry_for(self, error_type: str) -> Retry:
        """How a try is repeated that failed with an error of this type."""
        return self.timeout_retry if error_type == "timeout" else self.retry

    def message_for(self, error_type: str) -> Template | None:
        """The message of the action that applies, or None."""
        if error_type == "timeout" and self.step.on_timeout is not None:
            return self.timeout_message
        return self.failure_message


class Graph:
    """Steps that stand together, by name.

    Attributes:
        parent: the step in which they stand, or None.
        items: the names that expressions of the steps see beside the usual ones, such as `item`.
        entries: the steps that nothing leads to: they are due at once.
        exits: the links that lead out of each tangle of cycles.
        entering: how many links lead into each tangle.
        is_cyclic: steps may run more than once: there are cycles, or a `join: each`.
        rounds: in how many constructs that repeat what is in them it stands.
        separate: its branches are; see `branches`.
        automatic: every step of it is a checkpoint.
    """

    __slots__ = (
        "automatic",
        "entering",
        "entries",
        "exits",
        "for_compensation",
        "is_cyclic",
        "items",
        "name",
        "nodes",
        "parent",
        "rounds",
        "separate",
    )

    def __init__(
        self,
        name: str = "",
        parent: Node | None = None,
        *,
        items: Collection[str] = (),
        for_compensation: bool = False,
        separate: bool = False,
        automatic: bool = False,
    ) -> None:
        self.name = name
        self.automatic = automatic
        self.separate = separate
        self.parent = parent
        self.for_compensation: bool = for_compensation or (parent is not None and parent.for_compensation)
        self.rounds: int = parent.graph.rounds + (parent.kind in REPEATING) if parent is not None else 0
        self.items: frozenset[str] = frozenset(items) | (parent.graph.items if parent is not None else frozenset())
        self.nodes: dict[str, Node] = {}
        self.entries: list[Node] = []
        self.exits: dict[frozenset[str], list[Link]] = {}
        self.entering: dict[frozenset[str], int] = {}
        self.is_cyclic = False

    def add(self, node: Node) -> None:
        """Put in the only step of this graph."""
        self.nodes[node.name] = node
        self.link()

    def link(self) -> None:
        """Connect the nodes, once all are there."""
        nodes = self.nodes
        for node in nodes.values():
            for dependency in node.step.depends_on:
                _connect(nodes[dependency.step], node, dependency.on)
            for edge, pushed in zip(node.step.edges, node.pushed, strict=True):
                for target in edge.to:
                    _connect(node, nodes[target], edge.on, pushed)
        self._link_stand_ins()
        self.is_cyclic = self.separate
        for node in nodes.values():
            node.join = _join_of(node, separate=self.separate)
            self.is_cyclic |= node.join == "each"
        for tangle in tangles(nodes):
            self.is_cyclic = True
            self.exits[tangle] = untangle(nodes, tangle)
            self.entering[tangle] = sum(
                link.target.name in tangle for node in nodes.values() if node.name not in tangle for link in node.links
            )
        if self.is_cyclic:
            _mark_repeated(nodes.values())
        self.entries = entries_of(self) if self.separate else [each for each in nodes.values() if each.inbound == 0]
        for node in nodes.values():
            node.stable = is_stable(node)
            node.waits_for_one = node.inbound == 1 and node.join in ("all", "sync", "any", 1)
            node.ends_plainly = _ends_plainly(node)

    def _link_stand_ins(self) -> None:
        """Edges to the steps that only run in place of others: one for each step that they can stand in for."""
        for node in list(self.nodes.values()):
            for name in {stand_in.step: None for stand_in in node.fallbacks.values()}:
                if name is not None:
                    _connect(node, self.nodes[name], "fallback")
                    self.nodes[name].is_stand_in = True


def _connect(source: Node, target: Node, on: LinkOn, edge: PushedEdge | None = None) -> None:
    source.links.append(Link(source, target, on, edge))
    source.has_timeout_link |= on == "timeout"
    target.inbound += 1


def _mark_repeated(nodes: Iterable[Node]) -> None:
    """Note which steps may run more than once: those in circles, those that run for each edge, and those that run in
    place of one of them. A step behind them runs once, whatever it waits for; behind a stand-in as often as that."""
    pending = [node for node in nodes if node.tangle is not None or node.join == "each"]
    while pending:
        node = pending.pop()
        node.runs_often = True
        decides_once = node.tangle is not None or node.join == "each"
        behind = (link.target for link in node.links if link.on == "fallback" or not decides_once)
        pending += [target for target in behind if not target.runs_often]


def _ends_plainly(node: Node) -> bool:
    shapes = node.output is not None or node.publish or node.decides_edges
    return not (shapes or node.checkpoints or node.undo is not None or node.step.cancels)


def _checkpoints(step: Step, *, automatic: bool) -> tuple[str, ...]:
    names = [step.checkpoint] if step.checkpoint is not None else []
    if step.type == "checkpoint":
        names.append(step.config.get("name") or step.name)
    if automatic and step.name not in names:
        names.append(step.name)
    return tuple(names)


def _join_of(node: Node, *, separate: bool) -> Join:
    if separate and node.step.join is None and not node.step.depends_on:
        return "each" if node.inbound > 1 else "any"
    if node.is_stand_in:
        return "any" if node.inbound == 1 else "each"
    if node.step.join is not None:
        return node.step.join
    return "all" if node.step.depends_on else "sync"


def _compile_edges(step: Step) -> tuple[PushedEdge, ...]:
    """The edges that the step names; those that a condition decides are numbered."""
    return tuple(
        PushedEdge(edge, position, position if edge.when is not None or edge.decision is not None else None)
        for position, edge in enumerate(step.edges)
    )


def _fallbacks(step: Step, node: Node) -> dict[str, StandIn]:
    bulkhead = step.bulkhead
    said = {
        "failure": step.on_failure.fallback if step.on_failure is not None else None,
        "timeout": step.on_timeout.fallback if step.on_timeout is not None else None,
        "rejected": bulkhead.fallback if isinstance(bulkhead, Bulkhead) else None,
    }
    return {name: StandIn(fallback, node) for name, fallback in said.items() if fallback is not None}


def _body_step(name: str, body: StepBody) -> Step:
    return Step(name=name, type=body.type, config=body.config, retry=body.retry, timeout=body.timeout, path=body.path)


def _compile_config(step: Step) -> tuple[Template, Condition | None]:
    """The settings as a template, without what is evaluated again and again: conditions over events, and of loops."""
    config = dict(step.config)
    condition = None
    if step.type == "wait_for_event" and isinstance(config.get("filter"), str):
        condition = compile_condition(config.pop("filter"))
    for path, _, _ in conditions(step.type, config):
        config.pop(str(path[0]), None)
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


def _message(action: FailureAction | None) -> Template | None:
    if action is None or action.message is None:
        return None
    return compile_template(action.message, outcome=True)
