"""Native expressions as those of Orquesta: as YAQL where that can say it, else as Jinja."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.definition.model import Path
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.results import as_result
from stepwell.dialects.language import exchanged, read_expression, refuse
from stepwell.dialects.orquesta.jinja_meaning import read_jinja
from stepwell.dialects.orquesta.truth import as_condition, call, is_boolean, without_text
from stepwell.dialects.orquesta.yaql_meaning import read_yaql
from stepwell.dialects.orquesta.yaql_saying import say_yaql
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.grammar import NATIVE
from stepwell.expression.unparsing import unparse

_JINJA_FILTERS: Final = {
    "length": "length",
    "upper": "upper",
    "lower": "lower",
    "trim": "trim",
    "replace": "replace",
    "join": "join",
    "first": "first",
    "last": "last",
    "list": "list",
    "int": "int",
    "float": "float",
    "abs": "abs",
    "sum": "sum",
    "unique": "unique",
    "sort": "sort",
    "reversed": "reverse",
    "map": "map",
    "python_text": "string",
    "to_json": "tojson",
    "from_json": "from_json_string",
}
_JINJA_CALLS: Final = {"succeeded": "succeeded", "failed": "failed", "result": "result", "range": "range"}


class Saying:
    """Writes the expressions of a definition; what cannot be said is noted.

    Args:
        result: what `result()` was exchanged for where they stand, or None.
    """

    def __init__(self, writing: Writing, result: nodes.Expr | None = None) -> None:
        self._writing = writing
        self._result = result

    def template(self, value: Any, path: Path) -> Any:
        """A value with the expressions in its texts."""
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, Mapping):
            return {key: self.template(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, list | tuple):
            return [self.template(part, (*path, position)) for position, part in enumerate(value)]
        return value

    def value(self, tree: nodes.Expr, path: Path) -> str:
        """An expression, between delimiters."""
        return self._said(tree, path, condition=False)

    def condition(self, condition: nodes.Expr, path: Path) -> str:
        """A condition, between delimiters."""
        return self._said(condition, path, condition=True)

    def _text(self, text: str, path: Path) -> str:
        parts: list[str] = []
        position = 0
        while (opening := text.find(NATIVE.opening, position)) >= 0:
            parts.append(text[position:opening])
            try:
                tree, end = read_expression(text, opening + len(NATIVE.opening), NATIVE.closing)
            except ExpressionSyntaxError as error:
                self._writing.lost(path, f"an expression: {error.message}")
                return text
            is_literal = isinstance(tree, nodes.Const) and tree.value == NATIVE.opening
            is_whole = opening == 0 and end + len(NATIVE.closing) == len(text)
            if not is_whole and not is_literal:
                tree = self._inserted(tree, path)
            parts.append("<% '{{' %>" if is_literal else self._said(tree, path, condition=False))
            position = end + len(NATIVE.closing)
        return "".join([*parts, text[position:]])

    def _inserted(self, tree: nodes.Expr, path: Path) -> nodes.Expr:
        """An expression with text beside it. What is surely neither text nor a number is written otherwise there."""
        plain = without_text(tree)
        if plain is tree and (is_boolean(tree) or isinstance(tree, nodes.List | nodes.Dict)):
            self._writing.lost(path, f"how the value of `{unparse(tree)}` is written in a text")
        return plain

    def _said(self, tree: nodes.Expr, path: Path, *, condition: bool) -> str:
        """In YAQL when that is read as the very same again, else in Jinja when that is, else in YAQL if at all."""
        try:
            tree = tree if self._result is None else as_result(tree, self._result)
            yaql = say_yaql(tree, condition=condition)
        except ExpressionSyntaxError as error:
            jinja = _jinja(tree)
            if jinja is None:
                self._writing.lost(path, f"the expression `{unparse(tree)}`: {error.message}")
                return "<% null %>"
            return f"{{{{ {jinja} }}}}"
        if not _means(read_yaql, yaql, tree, condition=condition):
            jinja = _jinja(tree)
            if jinja is not None and _means(read_jinja, jinja, tree, condition=condition):
                return f"{{{{ {jinja} }}}}"
        return f"<% {yaql} %>"


def _means(read: Any, text: str, tree: nodes.Expr, *, condition: bool) -> bool:
    try:
        found, _ = read(text, 0, "")
    except ExpressionSyntaxError:
        return False
    return bool(unparse(as_condition(found) if condition else found) == unparse(tree))


def _jinja(tree: nodes.Expr) -> str | None:
    try:
        return unparse(exchanged(tree, _change))
    except ExpressionSyntaxError:
        return None


def _change(node: nodes.Expr) -> nodes.Expr:
    match node:
        case nodes.Name(name="vars" | "variables" | "input" | "parameters"):
            return call("ctx", node.lineno)
        case nodes.Name(name="item"):
            return call("item", node.lineno)
        case nodes.Name(name="response" | "result"):
            return call("result", node.lineno)
        case nodes.Name(name="steps" | "task" | "tasks"):
            return node
        case nodes.Name(name="true" | "false" | "none" | "True" | "False" | "None" | "null"):
            return node
        case nodes.Name():
            return refuse(f"`{node.name}` is not known to Orquesta", node)
        case nodes.Getattr(node=nodes.Name(name="steps")):
            return call("task", node.lineno, nodes.Const(node.attr))
        case nodes.Getitem(node=nodes.Name(name="steps")):
            return call("task", node.lineno, node.arg)
        case nodes.Call(node=nodes.Name(name="filled"), args=[value]):
            return value
        case nodes.Call(node=nodes.Name(name=name)):
            return _jinja_call(name, node)
        case _:
            return node


def _jinja_call(name: str, node: nodes.Call) -> nodes.Expr:
    if name in _JINJA_CALLS:
        return nodes.Call(
            nodes.Name(_JINJA_CALLS[name], "load"), node.args, node.kwargs, None, None, lineno=node.lineno
        )
    known = _JINJA_FILTERS.get(name)
    if known is None or not node.args:
        return refuse(f"{name}() cannot be written in Jinja", node)
    return nodes.Filter(node.args[0], known, node.args[1:], node.kwargs, None, None, lineno=node.lineno)
