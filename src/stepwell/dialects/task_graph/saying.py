"""Native expressions, written as those of task graphs: the opposite of `expressions`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.definition.model import Path, Step
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.results import as_result, failed_result, shaped_result, tried_result
from stepwell.dialects.language import Delimited, Language, Reader, read_expression, refuse
from stepwell.dialects.task_graph.expressions import Names, Purpose, attribute, call
from stepwell.expression.errors import ExpressionSyntaxError

_ROOTS: Final[Mapping[str, str]] = {
    "input": "parameters",
    "parameters": "parameters",
    "vars": "vars",
    "variables": "vars",
    "steps": "task",
    "task": "task",
    "tasks": "task",
    "execution": "system",
    "system": "system",
    "workflow": "system",
    "secrets": "keystore",
}
"""Native names, and those of task graphs for the same."""

_RESULTS: Final = frozenset({"response", "result"})
_SYSTEM: Final[Mapping[str, str]] = {"id": "execution_id", "started_at": "workflow_start"}


class Saying:
    """Writes the expressions of a definition.

    Args:
        names: its steps with `for_each`, and its parallel groups.
    """

    def __init__(self, writing: Writing, names: Names) -> None:
        self._writing = writing
        self.names = names

    def template(
        self, value: Any, path: Path, step: Step | None = None, purpose: Purpose = "", *, timeouts_apart: bool = False
    ) -> Any:
        """A value with the expressions in its texts; what cannot be said is noted."""
        if isinstance(value, str):
            return self._said(value, path, step, purpose, timeouts_apart=timeouts_apart)
        if isinstance(value, Mapping):
            return {
                key: self.template(part, (*path, key), step, purpose, timeouts_apart=timeouts_apart)
                for key, part in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [
                self.template(part, (*path, at), step, purpose, timeouts_apart=timeouts_apart)
                for at, part in enumerate(value)
            ]
        return value

    def condition(
        self, value: Any, path: Path, step: Step | None = None, purpose: Purpose = "", *, timeouts_apart: bool = False
    ) -> Any:
        """A condition, between delimiters."""
        if not isinstance(value, str):
            return value
        text = value.strip()
        inside = text if text.startswith("{{") else f"{{{{ {text} }}}}"
        return self._said(inside, path, step, purpose, timeouts_apart=timeouts_apart)

    def _said(self, text: str, path: Path, step: Step | None, purpose: Purpose, *, timeouts_apart: bool) -> str:
        change = _Said(self.names, step, purpose, timeouts_apart)
        language = Language(Delimited("{{", "}}", _reader(self.names, step, purpose), change))
        try:
            return language.text(text)
        except ExpressionSyntaxError as error:
            self._writing.lost(path, f"an expression of {step.name!r}: {error.message}" if step else error.message)
            return text


def _reader(names: Names, step: Step | None, purpose: Purpose) -> Reader:
    """Reads a native expression, with `result()` for what that means where a task says it."""
    shape = names.shaped.get(step.name) if step is not None else None
    if step is None or shape is None or step.for_each is not None:
        return read_expression
    match purpose:
        case "edge":
            shaped = shaped_result(step.name, shape)
        case "again":
            shaped = tried_result(shape)
        case "retry":
            shaped = failed_result(shape)
        case _:
            return read_expression

    def read(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
        tree, end = read_expression(text, start, closing)
        return as_result(tree, shaped), end

    return read


class _Said:
    """Gives the node of a task graph that takes the place of a native one."""

    def __init__(self, names: Names, step: Step | None, purpose: Purpose, timeouts_apart: bool) -> None:
        self._names = names
        self._step = step
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
            case nodes.Call(node=nodes.Name(name="failed")) if self._timeouts_apart:
                return nodes.Or(node, call(node, "timed_out"), lineno=node.lineno)
            case nodes.Call(node=nodes.Name(name="match")) if len(node.args) == 2 and not node.kwargs:
                return call(node, "match", *reversed(node.args))
            case nodes.And():
                return _failed(node) if self._timeouts_apart else node
            case nodes.CondExpr():
                return _status(node)
            case _:
                return node

    def _root(self, node: nodes.Name) -> nodes.Expr:
        each = self._step.for_each if self._step is not None else None
        if each is not None and node.name in (each.as_name, each.index_name):
            return nodes.Name("item" if node.name == each.as_name else "index", "load", lineno=node.lineno)
        if node.name in _RESULTS and self._step is not None and self._purpose in ("publish", "edge", "again"):
            if self._step.for_each is not None:
                return _outputs(attribute(nodes.Name("task", "load", lineno=node.lineno), self._step.name))
            if self._step.name in self._names.shaped:
                refuse("there is no word for what the step itself gave, only for its output", node)
            return call(node, "result")
        if node.name in _ROOTS:
            return nodes.Name(_ROOTS[node.name], "load", lineno=node.lineno)
        if node.name == "event" and self._purpose != "rule":
            refuse("a task graph reads no events", node)
        return node

    def _field(self, node: nodes.Expr, inner: nodes.Node, key: str) -> nodes.Expr:
        match inner:
            case nodes.Name(name="event") if key == "data":
                return attribute(inner, "payload")
            case nodes.Name(name="system"):
                return attribute(inner, _SYSTEM.get(key, key))
            case nodes.Getattr(node=nodes.Name(name="task"), attr=name):
                return self._of_task(node, inner, name, key)
            case nodes.Getitem(node=nodes.Name(name="task"), arg=nodes.Const(value=str() as name)):
                return self._of_task(node, inner, name, key)
            case _:
                return node

    def _of_task(self, node: nodes.Expr, task: nodes.Expr, name: str, key: str) -> nodes.Expr:
        if key in ("output", "result") and name in self._names.iterated:
            return _outputs(task)
        if key in ("output", "result") and name in self._names.groups:
            outputs = {inner: attribute(attribute(nodes.Name("task", "load"), inner), "result")
                       for inner in self._names.groups[name]}  # fmt: skip
            pairs = [nodes.Pair(nodes.Const(inner), output) for inner, output in outputs.items()]
            return nodes.Dict(pairs, lineno=node.lineno)
        if key in ("output", "result"):
            return attribute(task, "result")
        if key == "items":
            return attribute(attribute(task, "result"), "results")
        if key == "status":
            timed_out, status = attribute(task, "timed_out"), attribute(task, "status")
            return nodes.CondExpr(timed_out, nodes.Const("failed"), status, lineno=node.lineno)
        return node


def _outputs(task: nodes.Expr) -> nodes.Expr:
    """The outputs of all items of a task."""
    results = attribute(attribute(task, "result"), "results")
    made = call(task, "map", results)
    made.kwargs = [nodes.Keyword("attribute", nodes.Const("output"))]
    return made


def _failed(node: nodes.And) -> nodes.Expr:
    """`failed() and not timed_out()` says of itself that it is not about timeouts."""
    match node:
        case nodes.And(
            left=nodes.Or(left=nodes.Call(node=nodes.Name(name="failed")) as failed),
            right=nodes.Not(node=nodes.Call(node=nodes.Name(name="timed_out"))),
        ):
            return nodes.And(failed, node.right, lineno=node.lineno)
        case _:
            return node


def _status(node: nodes.CondExpr) -> nodes.Expr:
    """`'timeout' if x.timed_out else x.status` is the status of a task."""
    match node:
        case nodes.CondExpr(
            test=nodes.Getattr(attr="timed_out"),
            expr1=nodes.Const(value="timeout"),
            expr2=nodes.CondExpr(expr1=nodes.Const(value="failed"), expr2=nodes.Expr() as status),
        ):
            return status
        case _:
            return node
