"""Steps as tasks of Orquesta."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.base.durations import SECOND
from stepwell.definition.model import BLOCK_TYPES, CONTROL_TYPES, LEAF_TYPES, Dependency, Edge, Iteration, Path, Step
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.actions import NATIVE_PACK, RESPONSE, SAID
from stepwell.dialects.graphs.commands import COMMANDS
from stepwell.dialects.graphs.conditions import ANY, both, read_condition, without_any
from stepwell.dialects.graphs.results import shape_of, shaped_result, tried_result
from stepwell.dialects.native.parts import given
from stepwell.dialects.orquesta.document import UNLIMITED
from stepwell.dialects.orquesta.expressions import items_result
from stepwell.dialects.orquesta.names import literal
from stepwell.dialects.orquesta.saying import Saying
from stepwell.dialects.orquesta.tasks import delaying_step
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.unparsing import unparse
from stepwell.policy.retry import RetryPolicy

_UNSAID: Final[Mapping[str, str]] = {
    "compensate": "what undoes {}",
    "circuit_breaker": "the circuit breaker of {}",
    "bulkhead": "the bulkhead of {}",
    "rate_limit": "the rate limit of {}",
    "queue": "the queue of {}",
    "resources": "what {} needs of the machine",
    "cache": "the cache of {}",
    "checkpoint": "the checkpoint of {}",
    "mutex": "the lock that {} holds",
    "cancels": "what {} cancels",
    "milestone": "between which steps {} may start",
    "timeout": "the timeout of {}",
    "repeat": "that {} repeats",
    "when": "the condition of {}",
    "on_failure": "what {} does when it fails",
    "on_timeout": "what {} does when its time is up",
}
"""What no task can say."""

_OUTCOMES: Final = {"success": "succeeded()", "failure": "failed()", "complete": ANY, "satisfied": "succeeded()"}


class Tasks:
    """Writes the steps of a definition."""

    def __init__(self, saying: Saying, writing: Writing) -> None:
        self._saying = saying
        self._writing = writing
        self._shared = writing.definition.config.branches == "shared"

    def written(self, steps: Iterable[Step]) -> dict[str, Any]:
        """The tasks by name. Steps that only fail the workflow are the command `fail` of what leads to them."""
        group = tuple(steps)
        fails = frozenset(step.name for step in group if _only_fails(step, group))
        waiting: dict[str, list[tuple[str, Dependency]]] = {}
        for step in group:
            for dependency in step.depends_on:
                waiting.setdefault(dependency.step, []).append((step.name, dependency))
        inbound = _inbound(group)
        doors = {step.name: step for step in group if _only_delays(step)}
        tasks: dict[str, Any] = {}
        for step in group:
            if step.name in fails or step.name in doors:
                continue
            door = doors.get(delaying_step(step.name))
            led = inbound.get(step.name if door is None else door.name, 0)
            tasks[step.name] = self._task(step, fails, waiting.get(step.name, []), led, door)
        return tasks

    def _task(
        self,
        step: Step,
        fails: frozenset[str],
        waiting: list[tuple[str, Dependency]],
        inbound: int,
        door: Step | None,
    ) -> dict[str, Any]:
        for name, what in _UNSAID.items():
            if getattr(step, name):
                self._writing.lost(step.path, what.format(f"{step.name!r}"))
        if step.name in COMMANDS:
            self._writing.lost(step.path, f"the name {step.name!r}, which is a command there")
        entries = [self._entry(step, edge, fails) for edge in step.edges]
        entries += [self._pulled(step, target, dependency) for target, dependency in waiting]
        if step.publish and not entries:
            entries = [self._publishing(step)]
        delay: Any = self._seconds(step.delay, "the delay", step)
        if door is not None:
            delay = self._saying.template(door.config["for"], (*door.path, "config", "for"))
        return given(
            delay=delay,
            join=self._join(door or step, inbound),
            **{"with": self._with(step)},
            **self._action(step),
            retry=self._retry(step),
            next=entries,
        )

    # What it does

    def _action(self, step: Step) -> dict[str, Any]:
        path = (*step.path, "config")
        if step.type in BLOCK_TYPES:
            self._writing.lost(step.path, f"{step.name!r}, a step of type {step.type}")
            return {}
        if step.output is not None and shape_of(step.type, step.output) is None:
            self._writing.lost((*step.path, "output"), f"how the output of {step.name!r} is made")
        config = dict(step.config)
        match step.type:
            case "noop":
                return {"action": "core.noop"} if step.for_each is not None else {}
            case "python" if set(config) <= {"task", "args"}:
                values = self._saying.template({"action": config["task"], "input": config.get("args")}, path)
                return given(**values)
            case "workflow" if set(config) <= {"name", "input"}:
                return given(action=config["name"], input=self._saying.template(config.get("input"), path))
            case "transform" if step.output == SAID:
                return {"action": "core.echo", "input": {"message": self._saying.template(config.get("value"), path)}}
            case "http" if step.output == RESPONSE:
                return {"action": "core.http", "input": self._saying.template(config, path)}
            case kind if kind in LEAF_TYPES | CONTROL_TYPES:
                return given(action=f"{NATIVE_PACK}.{kind}", input=self._saying.template(config, path))
            case kind:
                return given(action=kind, input=self._saying.template(config, path))

    def _with(self, step: Step) -> Any:
        each = step.for_each
        if each is None:
            return None
        usual = Iteration(items=None)
        for name in ("as_name", "index_name", "batch_size", "when", "on_error"):
            if getattr(each, name) != getattr(usual, name):
                self._writing.lost((*step.path, "for_each"), f"`{name}` of the items of {step.name!r}")
        items = self._items(each, (*step.path, "for_each", "items"))
        if each.concurrency == UNLIMITED:
            return items
        path = (*step.path, "for_each", "concurrency")
        return {"items": items, "concurrency": self._saying.template(each.concurrency, path)}

    def _items(self, each: Iteration, path: Path) -> str:
        """The items, and the names of their parts if the expression gives them such."""
        text = each.items
        if not isinstance(text, str):
            return str(self._saying.template(f"{{{{ {literal(text)} }}}}", path))
        tree = _whole(text)
        named = _named_items(tree) if tree is not None else None
        if named is None:
            return str(self._saying.template(text, path))
        names, items = named
        return f"{', '.join(names)} in {self._saying.value(items, path)}"

    # When it runs

    def _join(self, step: Step, inbound: int) -> Any:
        path = (*step.path, "join")
        if not self._shared:
            return step.join if step.join != "each" else None
        match step.join:
            case None if inbound > 1 and step.depends_on:
                return "all"
            case None | "sync" if inbound > 1:
                self._writing.lost(path, f"that {step.name!r} runs once when several edges lead to it")
                return None
            case "any":
                return 1
            case "each" | "sync" | None:
                return None
            case other:
                return other

    def _retry(self, step: Step) -> dict[str, Any] | None:
        policy = step.retry
        if policy is None and step.type not in CONTROL_TYPES:
            policy = self._writing.definition.config.retry
        if policy is None or policy.max_attempts <= 1:
            return None
        path = (*step.path, "retry")
        if step.for_each is not None and self._shared:
            self._writing.lost(path, f"that the items of {step.name!r} are tried again one by one")
        if not _is_constant(policy):
            self._writing.lost(path, f"how the waits between the tries of {step.name!r} grow")
        delay: Any = self._seconds(policy.initial_delay, "the wait between the tries", step)
        if policy.delay is not None:
            delay = self._tried(step).template(policy.delay, (*path, "delay"))
        count, asked = self._counted(policy, step)
        when = None
        if isinstance(asked, str) and asked != "failed()":
            when = self._condition(asked, step, path, self._tried(step))
        return given(when=when, count=count, delay=delay)

    def _counted(self, policy: RetryPolicy, step: Step) -> tuple[int | str, Any]:
        """How often a step is tried again, and when; a number that is computed is a part of the condition."""
        when = policy.when
        if isinstance(when, str) and policy.max_attempts == UNLIMITED:
            match read_condition(when):
                case nodes.And(
                    left=nodes.Compare(expr=nodes.Name(name="attempt"), ops=[nodes.Operand(op="lteq", expr=count)]),
                    right=asked,
                ):
                    return self._saying.value(count, (*step.path, "retry", "max_attempts")), unparse(asked)
        return policy.max_attempts - 1, when

    def _seconds(self, micros: int, what: str, step: Step) -> int | None:
        if micros % SECOND:
            self._writing.lost(step.path, f"{what} of {step.name!r}: whole seconds are said there")
        return -(-micros // SECOND) or None

    # What follows it

    def _entry(self, step: Step, edge: Edge, fails: frozenset[str]) -> dict[str, Any]:
        if edge.delay:
            self._writing.lost(edge.path, f"the delay behind {step.name!r}")
        if edge.decision is not None:
            self._writing.lost(edge.path, f"that {step.name!r} takes only the first way whose condition holds")
        if edge.on == "timeout":
            self._writing.lost(edge.path, f"what {step.name!r} does when its time is up")
        targets = [_without_delay(name) for name in edge.to if name not in fails]
        targets += ["fail"] if len(targets) < len(edge.to) else []
        targets += ["noop"] if targets and edge.ends else []
        if not targets and edge.handles and edge.on != "success":
            targets = ["noop"]
        if targets and not edge.handles:
            self._writing.lost(edge.path, f"that a failure of {step.name!r} stands although it goes on")
        return given(
            when=self._when(step, edge),
            publish=self._published(step, edge),
            do=targets if len(targets) != 1 else targets[0],
        )

    def _when(self, step: Step, edge: Edge) -> str | None:
        when = edge.when if edge.on == "complete" else both(_OUTCOMES.get(edge.on, "failed()"), edge.when)
        if when is True or when is None:
            return None
        if not isinstance(when, str):
            return "<% false %>"
        asked = without_any(when)
        return None if asked is None else self._condition(asked, step, (*edge.path, "when"))

    def _condition(self, text: str, step: Step, path: Path, saying: Saying | None = None) -> str:
        try:
            tree = read_condition(text)
        except ExpressionSyntaxError as error:
            self._writing.lost(path, f"a condition of {step.name!r}: {error.message}")
            return "<% false %>"
        return (saying or self._after(step)).condition(tree, path)

    def _published(self, step: Step, edge: Edge) -> list[Any]:
        path = (*edge.path, "publish")
        saying = self._after(step)
        own = step.publish if edge.on in ("success", "complete") else ()
        if own and edge.on == "complete":
            self._writing.lost(path, f"that {step.name!r} publishes only when it succeeds")
        return [{name: saying.template(value, (*path, name))} for name, value in (*own, *edge.publish)]

    def _after(self, step: Step) -> Saying:
        """What follows the step is said so."""
        if step.for_each is not None:
            return Saying(self._writing, items_result(step.name))
        shape = shape_of(step.type, step.output)
        return self._saying if shape is None else Saying(self._writing, shaped_result(step.name, shape))

    def _tried(self, step: Step) -> Saying:
        """Whether to try the step again is said so."""
        if step.for_each is not None:
            return self._after(step)
        shape = shape_of(step.type, step.output)
        return self._saying if shape is None else Saying(self._writing, tried_result(shape))

    def _publishing(self, step: Step) -> dict[str, Any]:
        path = (*step.path, "publish")
        saying = self._after(step)
        values = [{name: saying.template(value, (*path, name))} for name, value in step.publish]
        return {"when": "<% succeeded() %>", "publish": values}

    def _pulled(self, step: Step, target: str, dependency: Dependency) -> dict[str, Any]:
        outcome = _OUTCOMES.get(dependency.on)
        if outcome is None:
            self._writing.lost(dependency.path, f"that {target!r} waits for how {step.name!r} ends")
        when = self._condition(outcome or "failed()", step, dependency.path) if outcome != ANY else None
        own = step.publish if dependency.on in ("satisfied", "success") else ()
        path = (*step.path, "publish")
        saying = self._after(step)
        published = [{name: saying.template(value, (*path, name))} for name, value in own]
        return given(when=when, publish=published, do=target)


def _only_fails(step: Step, group: tuple[Step, ...]) -> bool:
    """Whether the step does nothing but fail the workflow on behalf of others."""
    if step.type != "fail" or step.edges or step.depends_on or step.when is not None or step.join is not None:
        return False
    return any(step.name in edge.to for each in group for edge in each.edges)


def _only_delays(step: Step) -> bool:
    """Whether the step does nothing but wait before the task that it is named after."""
    if step.type != "wait" or set(step.config) != {"for"} or len(step.edges) != 1 or len(step.edges[0].to) != 1:
        return False
    return step.name == delaying_step(step.edges[0].to[0]) and isinstance(step.config["for"], str)


def _without_delay(name: str) -> str:
    return name.removesuffix(delaying_step(""))


def _inbound(group: tuple[Step, ...]) -> dict[str, int]:
    found: dict[str, int] = {}
    for step in group:
        if step.depends_on:
            found[step.name] = found.get(step.name, 0) + len(step.depends_on)
        for edge in step.edges:
            for to in edge.to:
                found[to] = found.get(to, 0) + 1
    return found


def _is_constant(policy: RetryPolicy) -> bool:
    return policy.backoff == "constant" or policy.max_attempts <= 2 or policy.initial_delay == 0


def _whole(text: str) -> nodes.Expr | None:
    """The tree of a text that is one expression."""
    stripped = text.strip()
    if not stripped.startswith("{{") or not stripped.endswith("}}"):
        return None
    try:
        return read_condition(stripped)
    except ExpressionSyntaxError:
        return None


def _named_items(tree: nodes.Expr) -> tuple[list[str], nodes.Expr] | None:
    """The names that items are given by their parts, and what they are made from."""
    match tree:
        case nodes.Call(node=nodes.Name(name="select"), args=[items, nodes.Dict(items=pairs)]):
            parts = pairs
        case nodes.Call(
            node=nodes.Name(name="select"),
            args=[items, nodes.CondExpr(test=nodes.Test(name="list"), expr1=nodes.Dict(items=pairs))],
        ):
            parts = pairs
        case _:
            return None
    names = [pair.key.value for pair in parts if isinstance(pair.key, nodes.Const)]
    at = [nodes.Getitem(nodes.Name("it", "load"), nodes.Const(number), "load") for number in range(len(parts))]
    return (names, items) if names and [pair.value for pair in parts] == at else None
