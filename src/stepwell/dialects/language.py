"""Translating expressions: from the delimiters, names and functions of one dialect to those of another.

Every dialect's expressions are read into the one syntax tree that the expression language has; its names and functions
are exchanged there, and the tree is written back as text between the other's delimiters. What means nothing in the
other language is refused with its place, never left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from typing import Any, Final, NamedTuple, NoReturn, Protocol, TypeVar

from jinja2 import nodes

from stepwell.definition.codes import CODES
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.grammar import NATIVE
from stepwell.expression.lexer import tokenize
from stepwell.expression.parser import parse
from stepwell.expression.unparsing import unparse

N = TypeVar("N", bound=nodes.Node)

Change = Callable[[nodes.Expr], nodes.Expr]
"""Gives what takes the place of a node whose inner nodes were exchanged already; itself when nothing does.

The name of a function that is called is no node of its own: its call is. Raises `ExpressionSyntaxError` (with
`node.lineno` as the offset) for what means nothing in the other language.
"""


class Reader(Protocol):
    """Reads the expression that begins at `start` of a text and ends before `closing` (the end when that is empty).

    Gives its tree, in which `lineno` of a node is an offset into the text, and the offset of the closing delimiter.
    Raises `ExpressionSyntaxError`.
    """

    def __call__(self, text: str, start: int, closing: str) -> tuple[nodes.Expr, int]: ...


class Delimited(NamedTuple):
    """One kind of expression: how it is read, and what is exchanged in it."""

    opening: str
    closing: str
    read: Reader
    change: Change


class Language:
    """The expressions of one dialect, to be translated into native ones.

    Args:
        kinds: by their delimiters. The first is the one of conditions that are written without delimiters.
        inserted: exchanges an expression that stands in a text with something beside it; None where it stays.
    """

    def __init__(self, *kinds: Delimited, inserted: Change | None = None) -> None:
        self._kinds = kinds
        self._inserted = inserted

    def template(self, value: Any, path: Path, findings: Findings) -> Any:
        """A JSON value with the expressions in its texts translated. What is wrong is recorded under `path`."""
        if isinstance(value, str):
            try:
                return self.text(value)
            except ExpressionSyntaxError as error:
                _record(error, path, findings)
                return ""
        if isinstance(value, dict):
            return {key: self.template(part, (*path, key), findings) for key, part in value.items()}
        if isinstance(value, list):
            return [self.template(part, (*path, position), findings) for position, part in enumerate(value)]
        return value

    def condition(self, value: Any, path: Path, findings: Findings) -> Any:
        """A condition, with or without delimiters around it, as a native one without."""
        if not isinstance(value, str):
            return value
        try:
            return self._condition(value)
        except ExpressionSyntaxError as error:
            _record(error, path, findings)
            return False

    def text(self, text: str) -> str:
        """A text with the expressions in it translated.

        Raises:
            ExpressionSyntaxError: with the offset of what is wrong.
        """
        parts: list[str] = []
        position = 0
        while (found := self._next(text, position)) is not None:
            opening, kind = found
            parts.append(_literal(text[position:opening]))
            tree, position = _tree(text, opening, kind)
            is_whole = opening == 0 and position == len(text)
            if self._inserted is not None and not is_whole:
                tree = self._inserted(tree)
            parts.append(f"{NATIVE.opening} {unparse(tree)} {NATIVE.closing}")
        return "".join([*parts, _literal(text[position:])])

    def _condition(self, text: str) -> str:
        start = len(text) - len(text.lstrip())
        kind = next((kind for kind in self._kinds if text.startswith(kind.opening, start)), None)
        if kind is None:
            first = self._kinds[0]
            tree, _ = first.read(text, 0, "")
            return unparse(exchanged(tree, first.change))
        expression, end = _expression(text, start, kind)
        if text[end:].strip():
            raise ExpressionSyntaxError(
                f"the condition goes on after {kind.closing!r}, which would make it a text",
                offset=end,
                hint="write the whole condition inside the delimiters",
            )
        return expression

    def _next(self, text: str, position: int) -> tuple[int, Delimited] | None:
        found = [(text.find(kind.opening, position), kind) for kind in self._kinds]
        return min((each for each in found if each[0] >= 0), key=lambda each: each[0], default=None)


def read_expression(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
    """The `Reader` of the native grammar, which most dialects share."""
    tokens, end = tokenize(text, start, closing)
    return parse(tokens, start, end), end


def exchanged(tree: nodes.Expr, change: Change) -> nodes.Expr:
    """The tree with every node exchanged for what `change` gives for it, from the inside out."""
    return _exchanged(tree, change)


def refuse(message: str, node: nodes.Node, hint: str | None = None, code: str = "expression-syntax") -> NoReturn:
    """Say that a part of an expression means nothing in the other language.

    Raises:
        ExpressionSyntaxError: always, at the place of the node.
    """
    raise ExpressionSyntaxError(message, offset=node.lineno or 0, hint=hint, code=code)


def _exchanged(node: N, change: Change) -> N:
    made = copy(node)
    for field in node.fields:
        value = getattr(node, field)
        if isinstance(node, nodes.Call) and field == "node" and isinstance(value, nodes.Name):
            continue
        if isinstance(value, nodes.Node):
            setattr(made, field, _exchanged(value, change))
        elif isinstance(value, list):
            setattr(made, field, [_exchanged(each, change) if isinstance(each, nodes.Node) else each for each in value])
    return change(made) if isinstance(made, nodes.Expr) else made  # type: ignore[return-value]


def _expression(text: str, opening: int, kind: Delimited) -> tuple[str, int]:
    """The translation of the expression whose opening delimiter stands at `opening`, and the offset behind it."""
    tree, end = _tree(text, opening, kind)
    return unparse(tree), end


def _tree(text: str, opening: int, kind: Delimited) -> tuple[nodes.Expr, int]:
    start = opening + len(kind.opening)
    tree, end = kind.read(text, start, kind.closing)
    if end >= len(text):
        hint = f"close it with {kind.closing!r}"
        raise ExpressionSyntaxError(f"this {kind.opening!r} is not closed", offset=opening, hint=hint)
    return exchanged(tree, kind.change), end + len(kind.closing)


def _literal(text: str) -> str:
    """Plain text, so that no native expression begins in it."""
    return text.replace(NATIVE.opening, _BRACES)


_BRACES: Final = f"{NATIVE.opening} '{NATIVE.opening}' {NATIVE.closing}"


def renamed(roots: Mapping[str, str]) -> Change:
    """Exchanges the names of roots."""

    def change(node: nodes.Expr) -> nodes.Expr:
        if isinstance(node, nodes.Name) and node.name in roots:
            return nodes.Name(roots[node.name], node.ctx, lineno=node.lineno)
        return node

    return change


def _record(error: ExpressionSyntaxError, path: Path, findings: Findings) -> None:
    code = error.code if error.code in CODES else "expression-syntax"
    findings.add(code, error.message, path, hint=error.hint, offset=error.offset)
