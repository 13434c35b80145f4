"""The plan: a definition compiled once, so that deciding touches only what an input affects.

Edges are turned around (a step knows whom it wakes), expressions are compiled, policies are resolved. A plan is shared
by all executions of its definition and never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from stepwell.decider.checking import SchemaCheck
from stepwell.decider.graph import Graph, Node, Retry, StandIn
from stepwell.decider.inner import Generated, Machine, Rounds, inner_of, rounds_of_items, rounds_of_repetition
from stepwell.decider.keys import split_key
from stepwell.decider.notice import notice_of
from stepwell.definition.model import Step, StepBody, WorkflowDefinition, all_steps
from stepwell.expression.template import compile_template
from stepwell.policy.gates import gates_of
from stepwell.policy.limits import Bulkhead, Policy
from stepwell.policy.retry import RetryPolicy


class Plan:
    """A definition, compiled. It must have passed validation and `unsupported`.

    Args:
        policies: breakers, bulkheads and rate limits of the configuration, by name.
        channels: the names of the channels of the configuration.

    Attributes:
        root: the graph of the definition's steps; `nodes` are its steps by name.
        by_name: every step, those in blocks and of `compensation.steps` too.
        compensation: the steps of `compensation.steps`, in the order in which they run.
        hooks: the steps of `config.on_error`.
        concurrency_key: of executions with the same, so many may run at once.
        undoes: a step of it says how it is undone.
        generates: a step of it makes further steps while it runs.
        uses_locks: an execution of it, or a step, may hold a lock.
        drains: after a failure, what can still be reached runs on.
        error_notice, compensation_notice: who is told of a failure, and of compensation; None for nobody.
    """

    __slots__ = (
        "by_name",
        "channels",
        "compensation",
        "compensation_notice",
        "concurrency_key",
        "definition",
        "digest",
        "drains",
        "error_notice",
        "generates",
        "hooks",
        "input_check",
        "max_parallel_steps",
        "nodes",
        "output",
        "output_check",
        "output_parts",
        "root",
        "undoes",
        "undoing",
        "uses_locks",
        "variables",
    )

    def __init__(
        self,
        definition: WorkflowDefinition,
        policies: Mapping[str, Policy] | None = None,
        channels: Sequence[str] = (),
    ) -> None:
        self.definition = definition
        self.channels = tuple(channels)
        self.error_notice = notice_of(definition.config.on_error.notify)
        self.compensation_notice = notice_of(definition.compensation.notification)
        self.digest = definition.digest
        self.by_name: dict[str, Node] = {}
        builder = _Builder(definition, policies or {}, self.by_name)
        config = definition.config
        root = Graph(separate=config.branches == "separate", automatic=config.checkpoints == "automatic")
        self.root = builder.fill(root, definition.steps)
        self.nodes = self.root.nodes
        self.hooks = builder.fill(Graph("on_error"), definition.config.on_error.steps)
        self.undoing = builder.fill(Graph("compensation", for_compensation=True), definition.compensation.steps)
        self.compensation: Sequence[Node] = list(self.undoing.nodes.values())
        if definition.compensation.strategy == "reverse":
            self.compensation = self.compensation[::-1]
        concurrency = definition.config.concurrency
        self.concurrency_key = compile_template(concurrency.key or "") if concurrency is not None else None
        self.uses_locks = concurrency is not None or any(
            step.mutex is not None
            for steps in (definition.steps, definition.config.on_error.steps, definition.compensation.steps)
            for step in all_steps(steps)
        )
        outside = (*all_steps(definition.steps), *all_steps(definition.config.on_error.steps))
        self.undoes = any(step.compensate is not None for step in outside)
        self.generates = any(step.type == "dynamic" for step in outside)
        self.drains = definition.config.failure_mode == "drain"
        self.max_parallel_steps = definition.config.max_parallel_steps
        self.input_check = SchemaCheck(definition.input_schema or {})
        schema = definition.output_schema
        self.output_check = SchemaCheck(schema) if schema is not None else None
        self.variables = [(name, compile_template(value)) for name, value in definition.vars]
        values = definition.output_values
        self.output = compile_template(values) if values is not None else None
        parts = values if values is not None and definition.config.branches == "separate" else None
        self.output_parts = (
            {name: compile_template(each) for name, each in parts.items()} if parts is not None else None
        )

    def node(self, name: str) -> Node | None:
        """The step of that name, wherever it stands."""
        return self.by_name.get(name)

    def node_of(self, key: str) -> Node | None:
        """The step that an instance is a run of; of one that is repeated, the innermost."""
        name, path, _ = split_key(key)
        node = self.by_name.get(name)
        if node is None:
            return None
        rounds = sum(part.isdigit() for part in path.split(","))
        while "body" in node.blocks and rounds > node.graph.rounds:
            node = node.blocks["body"].nodes[name]
        return node


def outermost(plan: Plan, key: str) -> str | None:
    """The step of the definition's own graph that the instance stands in, or is; None for what undoes, and the like."""
    node = plan.by_name.get(split_key(key)[0])
    while node is not None and node.graph.parent is not None:
        node = node.graph.parent
    return node.name if node is not None and node.graph is plan.root else None


def grown(plan: Plan, parent: Node, steps: Iterable[Step]) -> Graph:
    """A graph of steps that are not in the definition; their names are not those of the plan."""
    builder = _Builder(plan.definition, {}, {}, parent.position)
    return builder.fill(Graph("steps", parent), steps)


class _Builder:
    """Makes graphs, and numbers their steps in the order of the document."""

    def __init__(
        self,
        definition: WorkflowDefinition,
        policies: Mapping[str, Policy],
        by_name: dict[str, Node],
        position: int = 0,
    ) -> None:
        self._workflow = definition.name
        self._declared = definition.config.policies
        self._configured = policies
        self._retry = definition.config.retry
        self._by_name = by_name
        self._position = position

    def fill(self, graph: Graph, steps: Iterable[Step]) -> Graph:
        """Put the steps into the graph, and everything nested in them, and link them."""
        for step in steps:
            node = graph.nodes[step.name] = self._node(step, graph)
            self._by_name[step.name] = node  # what is inside it was entered before, under the same name for a layer
        graph.link()
        return graph

    def _node(self, step: Step, graph: Graph) -> Node:
        if step.for_each is not None:
            return self._layered(step, graph, rounds_of_items(step.for_each))
        if step.repeat is not None:
            return self._layered(step, graph, rounds_of_repetition(step.repeat))
        node = Node(step, self._position, graph, self._retry)
        self._position += 1
        node.inner = inner_of(step)
        node.gates = gates_of(self._workflow, step, self._declared, self._configured)
        limit = node.gates.rate_limit if node.gates is not None else None
        if limit is not None and limit.policy.key is not None:
            node.rate_key = compile_template(limit.policy.key)
        shared = self._declared.get(step.bulkhead) if isinstance(step.bulkhead, str) else None
        if isinstance(shared, Bulkhead) and shared.fallback is not None:
            node.fallbacks["rejected"] = StandIn(shared.fallback, node)
        for name, steps in step.blocks:
            names = (node.inner.item, node.inner.index) if isinstance(node.inner, Rounds) else ()
            node.blocks[name] = self.fill(Graph(name, node, items=names), steps)
        if isinstance(node.inner, Machine):
            node.blocks["waits"] = _machine_waits(node, node.inner)
        elif isinstance(node.inner, Generated) and node.inner.task is not None:
            making = Step(name=step.name, type="python", config=node.inner.task, timeout=step.timeout, path=step.path)
            node.blocks["make"] = Graph("make", node)
            retry = self._retry if step.retry is None else None  # what the step says of tries concerns it as a whole
            node.blocks["make"].add(Node(making, node.position, node.blocks["make"], retry))
        if step.compensate is not None:
            node.undo = self._undo(step, step.compensate, node)
        elif step.type == "workflow":
            node.undo = self._undo(step, StepBody(type="workflow"), node)
            node.undo.kind = "undo_child"
        return node

    def _layered(self, step: Step, graph: Graph, rounds: Rounds) -> Node:
        """The step as a whole, with the step without that layer as the only one in its body.

        Where branches are separate, what it says of tries concerns all of its items, as Orquesta has it.
        """
        retry = step.retry if graph.separate and rounds.kind == "for_each" else None
        if retry is not None:
            step = msgspec.structs.replace(step, retry=RetryPolicy())  # not the workflow's either
        around = msgspec.structs.replace(
            step, config={}, blocks=(), output=None, compensate=None, retry=None, timeout=None, bulkhead=None
        )
        node = Node(around, self._position, graph, None)
        node.kind = rounds.kind
        node.inner = rounds
        node.retry = node.timeout_retry = Retry(retry or RetryPolicy())
        names = (rounds.item, rounds.index) if rounds.kind == "for_each" else ()
        node.blocks["body"] = self.fill(Graph("body", node, items=names), [_inside(step, rounds.kind)])
        return node

    def _undo(self, step: Step, body: StepBody, node: Node) -> Node:
        undo = Step(
            name=step.name,
            type=body.type,
            when=body.when,
            config=body.config,
            retry=body.retry,
            timeout=body.timeout,
            path=body.path,
        )
        graph = Graph("compensate", items=node.graph.items, for_compensation=True)
        compiled = Node(undo, node.position, graph, self._retry)
        graph.add(compiled)
        compiled.stable = False  # recorded, so that a dead letter shows what it was called with
        return compiled


def _machine_waits(machine: Node, inner: Machine) -> Graph:
    """A step for every type of event that the machine waits for; they race each other in every state."""
    graph = Graph("waits", machine)
    for event_type in inner.event_types:
        wait = Step(
            name=f"{machine.name}:{event_type}",
            type="wait_for_event",
            config={"event_type": event_type, "timeout": None},
            path=machine.step.path,
        )
        node = Node(wait, machine.position, graph, None)
        node.kind = "machine_wait"
        graph.nodes[wait.name] = node
    graph.link()
    return graph


def _inside(step: Step, layer: str) -> Step:
    """The step as it runs once: what concerns it as a whole is said outside. What asks for tries concerns each run."""
    actions = {
        name: msgspec.structs.replace(action, notify=None)
        for name in ("on_failure", "on_timeout")
        if (action := getattr(step, name)) is not None and action.action == "retry"
    }
    inner = msgspec.structs.replace(
        step,
        depends_on=(),
        edges=(),
        join=None,
        when=None,
        publish=(),
        delay=0,
        on_failure=actions.get("on_failure"),
        on_timeout=actions.get("on_timeout"),
        checkpoint=None,
        mutex=None,
        milestone=None,
        cancels=(),
        max_visits=None,
    )
    if layer == "for_each":
        return msgspec.structs.replace(inner, for_each=None)
    return msgspec.structs.replace(inner, repeat=None)
