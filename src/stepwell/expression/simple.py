"""The forms that most expressions have, compiled without the parser: `input.n > 3`, `steps.a.output | default([])`.

Parsing costs ten times more than all else about an expression, so a workflow of ten thousand steps would be slow to
read. What is recognised here becomes exactly what `parser` and `compiler` make of it. Whatever is not, and everything
that is wrong, is left to them, so that their rules and their messages are the only ones.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from stepwell.expression import build
from stepwell.expression.access import path, record
from stepwell.expression.compiled import Compiled, Evaluate, Reference, constant
from stepwell.expression.data import kind_of
from stepwell.expression.grammar import Grammar
from stepwell.expression.lexer import KEYWORDS
from stepwell.expression.operators import ARITHMETIC, COMPARISONS, negated
from stepwell.expression.predicates import PREDICATES

_LONGEST: Final = 1_000
_MOST_OPERATIONS: Final = 40
"""Fewer than the limits of the language, so that none of them can be passed here."""

_OPERAND: Final = re.compile(
    r"""\s*(?:
    (?P<name>[A-Za-z_]\w*)(?P<keys>(?:\.[A-Za-z_]\w*|\[[0-9]{1,9}\]|\['[^'\\]*'\])*)(?P<call>\(\s*)?
    |(?P<float>[0-9]{1,15}\.[0-9]{1,15})
    |(?P<integer>[0-9]{1,15})
    |(?P<string>'[^'\\]*'|"[^"\\]*")
    |(?P<minus>-\s*(?P<digits>[0-9]{1,15}))
    |(?P<list>\[\s*)
    )\s*""",
    re.VERBOSE | re.ASCII,
)
_OPERATOR: Final = re.compile(
    r"""(?:
    (?P<compared>==|!=|<=|>=|<|>|(?P<in>in\b)|(?P<notin>not\s+in\b))
    |(?P<and>and\b)
    |(?P<or>or\b)
    |(?P<filter>\|\s*(?P<function>[A-Za-z_]\w*)\s*(?P<call>\(\s*)?)
    |(?P<test>is\s+(?P<not>not\s+)?(?P<predicate>[A-Za-z_]\w*))
    |(?P<term>[-+])
    |(?P<factor>//|\*(?!\*)|[/%])
    |(?P<comma>,)
    |(?P<close>[)\]])
    )\s*""",
    re.VERBOSE | re.ASCII,
)
_KEY: Final = re.compile(r"\.(?P<name>\w+)|\[(?P<index>[0-9]+)\]|\['(?P<quoted>[^']*)'\]", re.ASCII)
_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("none", "None"), None),
}
_COMPARED: Final = {"==": "eq", "!=": "ne", "<": "lt", "<=": "lteq", ">": "gt", ">=": "gteq"}
_END: Final = ""


class _NotSimple(Exception):
    """It has another form, or something is wrong with it."""


class _Operand(NamedTuple):
    """What an operator stands behind.

    Attributes:
        first: the number of references before it.
        literal: its value is known; `value` is it.
        kind: what it always is, as in `Compiled`.
        path: the root name, the keys below it and the root as it was written, when it is nothing but a path.
    """

    evaluate: Evaluate
    first: int
    literal: bool = False
    value: Any = None
    kind: str = ""
    path: tuple[str, tuple[str | int, ...], str] | None = None


def compile_simple(
    text: str, start: int, closing: str, grammar: Grammar, *, outcome: bool
) -> tuple[Compiled, int] | None:
    """The expression that begins at `start`, and the offset of its closing delimiter; None when it is not simple.

    Args:
        closing: the delimiter that ends the expression, or an empty string when that is the end of the text.
    """
    reader = _Reader(text, start, closing, grammar, outcome)
    try:
        compiled = reader.whole()
    except _NotSimple:
        return None
    end = reader.at
    if end - start > _LONGEST:
        return None
    return compiled._replace(source=text[start:end].strip()), end


class _Reader:
    """Reads one expression from left to right. `operator` is the kind of the operator behind what was read last."""

    __slots__ = (
        "_closing", "_found", "_functions", "_grammar", "_operations", "_outcome", "_references", "_text",
        "at", "operator",
    )  # fmt: skip

    def __init__(self, text: str, start: int, closing: str, grammar: Grammar, outcome: bool) -> None:
        self.at = start
        self.operator = _END
        self._text = text
        self._closing = closing
        self._grammar = grammar
        self._outcome = outcome
        self._references: list[Reference] = []
        self._functions: set[str] = set()
        self._operations = 0
        self._found: re.Match[str] | None = None

    def whole(self) -> Compiled:
        """All of the expression."""
        found = self._match()
        evaluate, literal, kind = None, False, ""
        if found["name"] != "not":
            only = self._operand(found)
            evaluate, literal, kind = only.evaluate, only.literal, only.kind
            if self.operator != _END:
                evaluate, literal, kind = self._alternatives(self._tested(self._compared(only))), False, ""
        else:
            evaluate = self._alternatives(self._negated(found))
        if self.operator != _END:
            raise _NotSimple
        return Compiled(evaluate, tuple(self._references), frozenset(self._functions), literal, kind=kind)
