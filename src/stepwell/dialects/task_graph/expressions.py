"""Expressions of task graphs, read into native ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from jinja2 import nodes

from stepwell.base.suggest import hint_for
from stepwell.definition.references import STEP_FIELDS
from stepwell.definition.shapes import NAME
from stepwell.dialects.graphs.results import Shape, failed_result, shaped_result, tried_result
from stepwell.dialects.language import Delimited, Language, refuse
from stepwell.dialects.task_graph.ternary import read_expression
from stepwell.expression.grammar import FUNCTIONS

DELIMITERS: Final = (("{{", "}}"),)

Purpose = Literal["", "publish", "edge", "again", "retry", "rule"]
"""Where an expression stands: in a task, in what it publishes, on an edge out of it, in the condition of `do: retry`,
in `retry.on_error`, in a rule."""

_AFTER: Final = frozenset({"publish", "edge", "again", "retry"})
"""Where the result of the task is there."""


@dataclass(frozen=True, slots=True)
class Names:
    """What the expressions of a task graph may name.

    Attributes:
        variables: declared or published anywhere.
        parameters: those of the workflow.
        iterated: tasks that run once for every item.
        groups: parallel tasks, with the names of the tasks in them.
        shaped: tasks whose action shapes what it gives.
    """

    variables: frozenset[str] = frozenset()
    parameters: frozenset[str] = frozenset()
    iterated: frozenset[str] = frozenset()
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    shaped: Mapping[str, Shape] = field(default_factory=dict)


def language(names: Names, task: str | None = None, purpose: Purpose = "", *, timeouts_apart: bool = False) -> Language:
    """The language of a task's expressions.

    Args:
        timeouts_apart: the task says elsewhere what follows a timeout, so that `failed()` does not mean one.
    """
    return Language(Delimited("{{", "}}", read_expression, _Native(names, task, purpose, timeouts_apart)))


class _Native:
    """Gives the native node that takes the place of one of a task graph."""

    def __init__(self, names: Names, task: str | None, purpose: Purpose, timeouts_apart: bool) -> None:
        self._names = names
        self._task = task
        self._purpose = purpose
        self._timeouts_apart = timeouts_apart

    def __call__(self, node: nodes.Expr) -> nodes.Expr:
        match node:
            case nodes.Name():
                return self._root(node)
            case nodes.Getattr():
                return self._field(node, node.node, node.attr)
            case nodes.Getitem(arg=nodes.Const(value=str() as key)):
                return self._field(node, node.node, key)
            case nodes.Call(node=nodes.Name(name=name)):
                return self._call(node, name)
            case nodes.Call(node=nodes.Getattr(node=nodes.Name(name="kv"), attr=attr)):
                return _stored(node, attr)
            case nodes.CondExpr():
                return _status_again(node)
            case nodes.And():
                return _failed_again(node)
            case _:
                return node

    # Names

    def _root(self, node: nodes.Name) -> nodes.Expr:
        name = node.name
        if name in _ROOTS:
            return nodes.Name(_ROOTS[name], "load", lineno=node.lineno)
        if name == "event" and self._purpose == "rule":
            return node
        if name in _LATER or name in _OWN:
            return node if name != "keystore" else nodes.Name("secrets", "load", lineno=node.lineno)
        if name == "config":
            return self._config(node)
        for root, known in (("vars", self._names.variables), ("input", self._names.parameters)):
            if name in known:
                return nodes.Getattr(nodes.Name(root, "load", lineno=node.lineno), name, "load", lineno=node.lineno)
        if name == "result" and self._purpose in _AFTER:
            return self._result(node)
        if name in FUNCTIONS or name in ("null", "response", "response_status", "response_headers", "attempt"):
            return node
        known_names = [*self._names.variables, *self._names.parameters, *_ROOTS, "config", "keystore"]
        truth = _TRUTHS.get(name.lower())
        hint = f"{name} is a word here; write {truth}" if truth is not None else hint_for(name, known_names)
        return refuse(f"Variable not found: {name}", node, hint, "unknown-name")

    def _config(self, node: nodes.Expr) -> nodes.Expr:
        if "config" in self._names.variables:
            return _path(node, "vars", "config")
        hint = "declare it as `config: {...}` at the head of the workflow (a pack does), or use a parameter"
        return refuse("the configuration of the pack is not known here", node, hint, "unknown-name")

    def _field(self, node: nodes.Expr, inner: nodes.Node, key: str) -> nodes.Expr:
        match inner:
            case nodes.Name(name="execution"):
                return self._of_system(node, key)
            case nodes.Name(name="pack") if key == "config":
                return self._config(node)
            case nodes.Name(name="event") if key == "payload":
                return nodes.Getattr(inner, "data", "load", lineno=node.lineno)
            case nodes.Dict():
                made = {pair.key.value: pair.value for pair in inner.items if isinstance(pair.key, nodes.Const)}
                return made.get(key, node)
            case nodes.Getattr(node=nodes.Name(name="steps"), attr=task):
                return self._of_task(node, inner, task, key)
            case nodes.Getitem(node=nodes.Name(name="steps"), arg=nodes.Const(value=str() as task)):
                return self._of_task(node, inner, task, key)
            case _:
                return node

    def _of_system(self, node: nodes.Expr, key: str) -> nodes.Expr:
        if key == "timestamp":
            return call(node, "now")
        if key == "identity":
            hint = "give it as a parameter: `parameters.login`"
            refuse("who started the workflow is not recorded, so there is no `system.identity`", node, hint)
        return node

    # Tasks

    def _of_task(self, node: nodes.Expr, step: nodes.Expr, task: str, key: str) -> nodes.Expr:
        if key in ("result", "output", "data"):
            return self._output(node, step, task)
        if key == "status":
            return _status(node, step)
        if key == "error" and task == self._task and self._purpose == "retry":
            return nodes.Name("error", "load", lineno=node.lineno)
        if task in self._names.iterated and key in _OF_ITEMS:
            return _OF_ITEMS[key](nodes.Getattr(step, "items", "load", lineno=node.lineno))
        if task in self._names.groups and key == "results":
            return self._results(node, task)
        if key in STEP_FIELDS or task in self._names.iterated or task in self._names.groups:
            return node
        return attribute(nodes.Getattr(step, "output", "load", lineno=node.lineno), key)

    def _output(self, node: nodes.Expr, step: nodes.Expr, task: str) -> nodes.Expr:
        if task in self._names.iterated:
            items = nodes.Getattr(step, "items", "load", lineno=node.lineno)
            return _dict(node, {"results": items, "total": _length(items)})
        if task in self._names.groups:
            return _dict(node, {"results": self._results(node, task)})
        return nodes.Getattr(step, "output", "load", lineno=node.lineno)

    def _results(self, node: nodes.Expr, group: str) -> nodes.Expr:
        """What became of the tasks of a parallel one."""
        records: list[nodes.Expr] = []
        for name in self._names.groups[group]:
            step = attribute(nodes.Name("steps", "load", lineno=node.lineno), name)
            output = self._output(node, step, name)
            if not isinstance(output, nodes.Dict):
                output = call(node, "default", output, nodes.Const(None, lineno=node.lineno))
            said: dict[str, nodes.Expr] = {
                "task": nodes.Const(name, lineno=node.lineno),
                "status": _status(node, step),
                "output": output,
            }
            records.append(_dict(node, said))
        return nodes.List(records, lineno=node.lineno)

    def _result(self, node: nodes.Expr) -> nodes.Expr:
        """The result of the task itself. In a retry it is what its error tells; published is that of a task that
        succeeded, and asked for in other words."""
        task = self._task
        shape = self._names.shaped.get(task or "")
        if self._purpose == "retry":
            details = attribute(nodes.Name("error", "load", lineno=node.lineno), "details")
            return details if shape is None else failed_result(shape)
        if task is not None and (task in self._names.iterated or task in self._names.groups):
            return self._output(node, attribute(nodes.Name("steps", "load", lineno=node.lineno), task), task)
        if self._purpose == "publish":
            own = attribute(nodes.Name("steps", "load", lineno=node.lineno), task or "")
            return nodes.Name("response", "load", lineno=node.lineno) if shape is None else attribute(own, "output")
        if shape is None or task is None:
            return call(node, "result")
        return tried_result(shape) if self._purpose == "again" else shaped_result(task, shape)

    # Functions

    def _call(self, node: nodes.Call, name: str) -> nodes.Expr:
        if name == "result":
            return self._result(node)
        if name == "failed" and self._timeouts_apart:
            return nodes.And(node, nodes.Not(call(node, "timed_out"), lineno=node.lineno), lineno=node.lineno)
        if name == "cancelled" and not node.args:
            return nodes.Const(False, lineno=node.lineno)
        if name == "match" and len(node.args) == 2 and not node.kwargs:
            return call(node, "match", *reversed(node.args))
        return node


_ROOTS: Final[Mapping[str, str]] = {
    "parameters": "input",
    "vars": "vars",
    "variables": "vars",
    "workflow": "vars",
    "task": "steps",
    "tasks": "steps",
    "system": "execution",
}
"""Names of task graphs, and the native ones for the same."""

_TRUTHS: Final = {"yes": "true", "on": "true", "no": "false", "off": "false"}
"""Words for truth that YAML once had."""

_LATER: Final = frozenset({"pack", "kv", "keystore"})
"""Names that mean something with what stands behind them."""

_OWN: Final = frozenset({"item", "index", "error"})
"""Names that mean the same in both."""


def _path(at: nodes.Node, root: str, *keys: str) -> nodes.Expr:
    made: nodes.Expr = nodes.Name(root, "load", lineno=at.lineno)
    for key in keys:
        made = attribute(made, key)
    return made


def attribute(node: nodes.Expr, key: str) -> nodes.Expr:
    """`node.key`, or `node['key']` for a key that is no name."""
    if NAME.fullmatch(key) and "-" not in key:
        return nodes.Getattr(node, key, "load", lineno=node.lineno)
    return nodes.Getitem(node, nodes.Const(key, lineno=node.lineno), "load", lineno=node.lineno)


def call(at: nodes.Node, name: str, *arguments: nodes.Expr) -> nodes.Call:
    """The call of a function, at the place of a node."""
    return nodes.Call(nodes.Name(name, "load", lineno=at.lineno), list(arguments), [], None, None, lineno=at.lineno)


def _dict(at: nodes.Node, fields: Mapping[str, nodes.Expr]) -> nodes.Dict:
    pairs = [nodes.Pair(nodes.Const(key, lineno=at.lineno), value, lineno=at.lineno) for key, value in fields.items()]
    return nodes.Dict(pairs, lineno=at.lineno)


def _length(items: nodes.Expr) -> nodes.Expr:
    return call(items, "length", items)


def _failed_items(items: nodes.Expr) -> nodes.Expr:
    made = call(items, "filter", items)
    made.kwargs = [nodes.Keyword("status", nodes.Const("failed", lineno=items.lineno), lineno=items.lineno)]
    return made


_OF_ITEMS: Final[Mapping[str, Callable[[nodes.Expr], nodes.Expr]]] = {
    "results": lambda items: items,
    "total_count": _length,
    "total": _length,
    "failed_items": _failed_items,
}
"""What may be read of a task with `with_items` beside its result."""


def _stored(node: nodes.Call, function: str) -> nodes.Expr:
    if function == "get_secret" and len(node.args) == 1 and isinstance(node.args[0], nodes.Const):
        return attribute(nodes.Name("secrets", "load", lineno=node.lineno), str(node.args[0].value))
    if function == "get_secret":
        refuse("`kv.get_secret` takes the name of a secret as text", node, "write kv.get_secret('name')")
    hint = "use a parameter or a variable; a secret is read as kv.get_secret('name')"
    return refuse(f"there is no store of keys here, so `kv.{function}` means nothing", node, hint)


def _status(node: nodes.Expr, step: nodes.Expr) -> nodes.Expr:
    """The status of a task, in which a timeout is not a failure: `'timeout' if x.timed_out else x.status`."""
    at = node.lineno
    timed_out = nodes.Getattr(step, "timed_out", "load", lineno=at)
    return nodes.CondExpr(
        timed_out, nodes.Const("timeout", lineno=at), nodes.Getattr(step, "status", "load", lineno=at), lineno=at
    )


def _status_again(node: nodes.CondExpr) -> nodes.Expr:
    """`'failed' if task.x.timed_out else task.x.status` says just what the native status is."""
    match node:
        case nodes.CondExpr(
            test=nodes.Getattr(attr="timed_out") as test,
            expr1=nodes.Const(value="failed"),
            expr2=nodes.CondExpr(test=inner, expr1=nodes.Const(value="timeout"), expr2=nodes.Getattr() as status),
        ) if inner == test:
            return status
        case _:
            return node


def _failed_again(node: nodes.And) -> nodes.Expr:
    """`failed() and not timed_out()`, where `failed()` says that already."""
    match node:
        case nodes.And(
            left=nodes.And(left=nodes.Call(node=nodes.Name(name="failed")), right=nodes.Not() as already),
            right=nodes.Not(node=nodes.Call(node=nodes.Name(name="timed_out"))) as said,
        ) if already == said:
            return node.left
        case _:
            return node
