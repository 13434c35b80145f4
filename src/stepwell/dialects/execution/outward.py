"""Native expressions in the words of the dialect."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from jinja2 import nodes

from stepwell.definition.model import Path
from stepwell.dialects.dialect import Writing
from stepwell.dialects.execution.expressions import (
    EVENT,
    EVENT_FIELDS,
    SAME,
    Chain,
    member,
    read_of_chain,
    rewritten,
    variable,
    variables,
)
from stepwell.dialects.language import read_expression
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.grammar import NATIVE
from stepwell.expression.unparsing import unparse

_OPENING: Final = "${"


class Outward:
    """Writes native templates as templates of the dialect.

    Args:
        published: the variables that activities publish.
        has_event: the input holds the event itself.
    """

    def __init__(self, published: frozenset[str], has_event: bool, writing: Writing) -> None:
        self._published = published
        self._has_event = has_event
        self._writing = writing
        self._known = {unparse(variables(published)): nodes.Name("workflow", "load")} | {
            unparse(variable(name, published)): member(nodes.Name("workflow", "load"), name) for name in published
        }

    def template(self, value: Any, path: Path) -> Any:
        """A JSON value with the expressions in its texts translated; what cannot be is noted, and left as it is."""
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            return {key: self.template(part, (*path, key)) for key, part in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.template(part, (*path, position)) for position, part in enumerate(value)]
        return value

    def is_all_variables(self, value: Any) -> bool:
        """Whether a native template yields all variables."""
        return bool(value == f"{NATIVE.opening} {unparse(variables(self._published))} {NATIVE.closing}")

    def filter(self, when: Any) -> Any:
        """The filter that a condition says that an activity runs by; None when it says something else."""
        if not isinstance(when, str) or not when.strip().startswith(NATIVE.opening):
            return None
        try:
            tree, end = read_expression(when, when.index(NATIVE.opening) + len(NATIVE.opening), NATIVE.closing)
        except ExpressionSyntaxError:
            return None
        match tree:
            case nodes.Call(node=nodes.Name(name="satisfies"), args=[asked, nodes.Dict() as written]):
                is_whole = not when[end + len(NATIVE.closing) :].strip()
                about_all = unparse(asked) == unparse(variables(self._published))
                return _plain(written) if is_whole and about_all else None
            case _:
                return None

    def _text(self, text: str, path: Path) -> str:
        try:
            return _translated(text, self._expression)
        except ExpressionSyntaxError as error:
            self._writing.lost(path, f"the expression in {json.dumps(text, ensure_ascii=False)}: {error.message}")
            return text

    def _expression(self, tree: nodes.Expr) -> str:
        return unparse(rewritten(tree, self._chain, lambda node: self._known.get(_unparsed(node))))

    def _chain(self, chain: Chain) -> nodes.Expr:
        first = chain.keys[0] if chain.keys else None
        base, used = self._base(chain, first)
        return read_of_chain(base, chain, used, self._chain)

    def _base(self, chain: Chain, first: str | None) -> tuple[nodes.Expr, int]:
        """What the chain begins with, and how many of its keys are used up."""
        event, root = nodes.Name("event", "load"), chain.root.name
        match root:
            case "input" | "parameters" if first is None:
                return member(event, "payload"), 0
            case "input" | "parameters" if self._has_event and first == EVENT and chain.keys[1:2] in _FIELDS:
                return event, 1
            case "input" | "parameters" if first in self._published:
                return member(event, "payload"), 0
            case "input" | "parameters" | "vars" | "variables" if first is not None:
                return nodes.Name("workflow", "load"), 0
            case "steps" | "task" | "tasks" if first is not None:
                return nodes.Name("activities", "load"), 0
            case "response" | "result":
                return nodes.Name("output", "load"), 0
            case _ if root in SAME:
                return chain.root, 0
            case _:
                message = f"nothing is called {root!r} in the dialect"
                raise ExpressionSyntaxError(message, offset=chain.root.lineno or 0)


_FIELDS: Final = [(field,) for field in EVENT_FIELDS]


def _unparsed(node: nodes.Expr) -> str:
    return unparse(node) if isinstance(node, (nodes.Call, nodes.Filter)) else ""


def _translated(text: str, write: Callable[[nodes.Expr], str]) -> str:
    """The text with every native expression in it written anew."""
    parts: list[str] = []
    position = 0
    while (opening := text.find(NATIVE.opening, position)) >= 0:
        parts.append(_literal(text[position:opening]))
        tree, end = read_expression(text, opening + len(NATIVE.opening), NATIVE.closing)
        if end >= len(text):
            raise ExpressionSyntaxError(f"this {NATIVE.opening!r} is not closed", offset=opening)
        is_braces = isinstance(tree, nodes.Const) and tree.value == NATIVE.opening
        parts.append(NATIVE.opening if is_braces else f"{_OPENING}{write(tree)}}}")
        position = end + len(NATIVE.closing)
    return "".join([*parts, _literal(text[position:])])


def _literal(text: str) -> str:
    """Plain text, so that no expression of the dialect begins in it."""
    return text.replace(_OPENING, f"{_OPENING}'{_OPENING}'}}")


def _plain(node: nodes.Node) -> Any:
    """The JSON value that a literal says."""
    match node:
        case nodes.Dict(items=pairs):
            return {_plain(pair.key): _plain(pair.value) for pair in pairs}
        case nodes.List(items=items):
            return [_plain(item) for item in items]
        case nodes.Const(value=value):
            return value
        case nodes.Neg(node=nodes.Const(value=value)):
            return -value
        case _:
            raise ExpressionSyntaxError("a filter holds plain values", offset=0)
