"""The forms that most expressions have, compiled without the parser: `input.n > 3`, `steps.a.output | default([])`.

Parsing costs ten times more than all else about an expression, so a workflow of ten thousand steps would be slow to
read. What is recognised here becomes exactly what `parser` and `compiler` make of it. Whatever is not, and everything
that is wrong, is left to them, so that their rules and their messages are the only ones.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from stepwell.expression import build
from stepwell.expression.access import path, record
from stepwell.expression.compiled import EMPTY, Compiled, Evaluate, Reference, constant
from stepwell.expression.data import kind_of
from stepwell.expression.grammar import Grammar
from stepwell.expression.lexer import KEYWORDS
from stepwell.expression.operators import ARITHMETIC, COMPARISONS, Operator, negated
from stepwell.expression.predicates import PREDICATES

_LONGEST: Final = 1_000
_MOST_OPERATIONS: Final = 40
"""Characters, and operators and brackets: well within the limits of the language, so that none is passed here."""

KEYS: Final = r"(?:\.[A-Za-z_]\w*|\[[0-9]{1,9}\]|\['[^'\\]*'\])*"
"""The pattern of what follows the root name in a plain path."""

_OPERAND: Final = re.compile(
    rf"""\s*(?:
    (?P<path>(?P<name>[A-Za-z_]\w*)(?P<keys>{KEYS}))(?P<call>\(\s*)?
    |(?P<float>[0-9]{{1,15}}\.[0-9]{{1,15}})
    |(?P<integer>[0-9]{{1,15}})
    |(?P<string>'[^'\\]*'|"[^"\\]*")
    |(?P<minus>-\s*(?P<digits>[0-9]{{1,15}}))
    |(?P<list>\[\s*)
    )\s*""",
    re.VERBOSE | re.ASCII,
)
_OPERATOR: Final = re.compile(
    r"""(?:
    (?P<compared>==|!=|<=|>=|<|>|in\b|not\s+in\b)
    |(?P<and>and\b)
    |(?P<or>or\b)
    |(?P<filter>\|\s*(?P<function>[A-Za-z_]\w*)\s*(?P<opens>\(\s*)?)
    |(?P<test>is\s+(?P<not>not\s+)?(?P<predicate>[A-Za-z_]\w*))
    |(?P<term>[-+])
    |(?P<factor>//|\*(?!\*)|[/%])
    |(?P<comma>,)
    |(?P<close>[)\]])
    )\s*""",
    re.VERBOSE | re.ASCII,
)
_KEY: Final = re.compile(r"\.(?P<name>\w+)|\[(?P<index>[0-9]+)\]|\['(?P<quoted>[^']*)'\]", re.ASCII)
_COMPARED: Final = {"==": "eq", "!=": "ne", "<": "lt", "<=": "lteq", ">": "gt", ">=": "gteq"}
_CONSTANTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("none", "None"), None),
}
_LITERALS: Final[dict[str, Callable[[str], Any]]] = {
    "integer": int,
    "float": float,
    "string": lambda written: written[1:-1],
}
WORDS: Final = KEYWORDS | _CONSTANTS.keys() | {"null"}
"""What looks like a name and is none."""


def keys_of(written: str) -> tuple[str | int, ...]:
    """The keys in what follows the root name of a plain path."""
    if "[" not in written:
        return tuple(written[1:].split(".")) if written else ()
    return tuple(int(key["index"]) if key["index"] else key["name"] or key["quoted"] for key in _KEY.finditer(written))


class _NotSimple(Exception):
    """It has another form, or something is wrong with it."""


class _Argument(NamedTuple):
    """An argument of a call, and which of the references noted are its own."""

    evaluate: Evaluate
    first: int
    end: int


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
    except (_NotSimple, RecursionError):
        return None
    return (compiled, reader.at) if reader.at - start <= _LONGEST else None


class _Reader:
    """Reads one expression from left to right. `at` is where it goes on."""

    __slots__ = (
        "_alone", "_behind", "_closing", "_depth", "_found", "_functions", "_grammar", "_kind", "_literal",
        "_operations", "_outcome", "_references", "_text", "at",
    )  # fmt: skip

    def __init__(self, text: str, start: int, closing: str, grammar: Grammar, outcome: bool) -> None:
        self.at = start
        self._text = text
        self._closing = closing
        self._grammar = grammar
        self._outcome = outcome
        self._references: list[Reference] = []
        self._functions: set[str] = set()
        self._operations = self._depth = 0
        self._behind: str | None = None  # the kind of the operator behind what was read last; None at the end
        self._found: Any = None  # that operator
        self._alone, self._literal, self._kind = True, False, ""

    def whole(self) -> Compiled:
        """All of the expression."""
        start = self.at
        evaluate = self._disjunction()
        if self._behind is not None:
            raise _NotSimple
        functions = frozenset(self._functions) if self._functions else EMPTY
        kind, is_constant = (self._kind, self._literal) if self._alone else ("", False)
        source = self._text[start : self.at].strip()
        return Compiled(evaluate, tuple(self._references), functions, is_constant, source, kind)

    # Operators, those that bind least first

    def _disjunction(self) -> Evaluate:
        first = self._conjunction()
        if self._behind != "or":
            return first
        operands = [first]
        while self._behind == "or":
            operands.append(self._conjunction())
        return build.disjunction(tuple(operands))

    def _conjunction(self) -> Evaluate:
        first = self._negation()
        if self._behind != "and":
            return first
        operands = [first]
        while self._behind == "and":
            operands.append(self._negation())
        return build.conjunction(tuple(operands))

    def _negation(self) -> Evaluate:
        found = self._operand_here()
        if found["path"] != "not" or found["call"]:
            return self._comparison(found)
        self._alone = False
        self._count()
        self.at = found.end()
        return build.negation(self._negation())

    def _comparison(self, found: re.Match[str]) -> Evaluate:
        left = self._calculation(found)
        pairs: list[tuple[Operator, Evaluate]] = []
        while self._behind == "compared":
            written = self._found["compared"]
            operator = COMPARISONS[_COMPARED.get(written) or "".join(written.split())]
            pairs.append((operator, self._calculation(self._operand_here())))
        if len(pairs) == 1:
            return build.binary(pairs[0][0], left, pairs[0][1])
        return build.comparisons(left, tuple(pairs)) if pairs else left

    def _calculation(self, found: re.Match[str]) -> Evaluate:
        """Terms or factors; both together are left to the parser, which knows what binds more."""
        left = self._operand(found)
        kind = self._behind
        while self._behind in ("term", "factor"):
            if self._behind != kind:
                raise _NotSimple
            operator = ARITHMETIC[self._found[kind]]
            left = build.binary(operator, left, self._operand(self._operand_here()))
        return left

    # Operands

    def _operand_here(self) -> re.Match[str]:
        found = _OPERAND.match(self._text, self.at)
        if found is None:
            raise _NotSimple
        return found

    def _operand(self, found: re.Match[str]) -> Evaluate:
        """A value, and the filters and the test behind it."""
        self.at = found.end()
        first = len(self._references)
        evaluate = plain = self._value(found)
        self._advance()
        while self._behind == "filter":
            called = self._found
            arguments = [_Argument(evaluate, first, len(self._references))]
            if called["opens"]:
                arguments += self._arguments(")")
            evaluate = self._call(called["function"], arguments)
            self._advance()
        if self._behind == "test":
            evaluate = self._test(evaluate, found, first, is_filtered=evaluate is not plain)
        return evaluate

    def _value(self, found: re.Match[str]) -> Evaluate:
        form = found.lastgroup
        if form == "path":
            return self._path(found)
        if form == "call":
            evaluate = self._call(found["path"], self._arguments(")"))
        elif form == "list":
            evaluate = build.list_of(tuple(argument.evaluate for argument in self._arguments("]")))
        elif form == "minus":
            evaluate = build.unary(negated, constant(int(found["digits"])))
        else:
            return self._constant(_LITERALS[str(form)](found[str(form)]))
        self._literal, self._kind = False, "list" if form == "list" else ""
        return evaluate

    def _constant(self, value: Any) -> Evaluate:
        self._literal, self._kind = True, kind_of(value)
        return constant(value)

    def _path(self, found: re.Match[str]) -> Evaluate:
        written, keys = found["name"], keys_of(found["keys"])
        if written in WORDS:
            if keys or written in KEYWORDS:
                raise _NotSimple
            if written in _CONSTANTS:
                return self._constant(_CONSTANTS[written])
            self._literal, self._kind = False, ""
            return constant(None)
        root = self._grammar.aliases.get(written, written)
        if root == self._grammar.secrets:
            raise _NotSimple
        self._literal, self._kind = False, ""
        self._references.append(Reference((root, *keys), (), found.start("name")))
        return path(root, keys, written)

    # Calls and tests

    def _arguments(self, closing: str) -> list[_Argument]:
        """Operands between brackets, of which the first was read; it is read up to and with the last one."""
        self._count()
        self._depth += 1
        arguments: list[_Argument] = []
        if self._text.startswith(closing, self.at):
            self._advance()
        else:
            self._behind = "comma"
        while self._behind == "comma":
            first = len(self._references)
            evaluate = self._operand(self._operand_here())
            arguments.append(_Argument(evaluate, first, len(self._references)))
        if self._behind != "close" or self._found["close"] != closing:
            raise _NotSimple
        self._depth -= 1
        return arguments

    def _call(self, name: str, arguments: list[_Argument]) -> Evaluate:
        function = self._grammar.functions.get(name)
        if function is None or (function.outcome and not self._outcome):
            raise _NotSimple
        parameters = function.parameters
        if len(arguments) > len(parameters) and not function.variadic:
            raise _NotSimple
        for position, argument in enumerate(arguments):
            if parameters[min(position, len(parameters) - 1)].attempted:
                self._attempt(argument.first, argument.end)
        given = [argument.evaluate for argument in arguments]
        for parameter in parameters[len(arguments) :]:
            if parameter.required:
                raise _NotSimple
            given.append(constant(parameter.default))
        self._functions.add(name)
        return build.call(function, tuple(given), {})

    def _test(self, operand: Evaluate, found: re.Match[str], first: int, *, is_filtered: bool) -> Evaluate:
        name, is_negated = self._found["predicate"], self._found["not"] is not None
        if name in ("defined", "undefined"):
            evaluate = build.definedness(
                self._record(found, first, is_filtered=is_filtered), expected=name == "defined"
            )
        elif name in PREDICATES:
            evaluate = build.predicate(PREDICATES[name], operand)
        else:
            raise _NotSimple
        self._advance()
        if self._behind not in (None, "and", "or"):
            raise _NotSimple
        return build.negation(evaluate) if is_negated else evaluate

    def _record(self, found: re.Match[str], first: int, *, is_filtered: bool) -> Evaluate:
        """The path in `found`, of which it is asked whether it exists."""
        if is_filtered or found.lastgroup != "path" or len(self._references) == first:
            raise _NotSimple
        self._attempt(first, first + 1)
        root, *keys = self._references[first].path
        return record(str(root), tuple(keys), found["name"])

    def _attempt(self, first: int, end: int) -> None:
        """Note that what these references read may be undefined."""
        for position in range(first, end):
            noted = self._references[position]
            self._references[position] = Reference(noted.path, (), noted.offset, optional=True)

    # Going on

    def _advance(self) -> None:
        """Read the operator that stands here, if the expression does not end."""
        closing = self._closing
        if not self._depth and (self._text.startswith(closing, self.at) if closing else self.at == len(self._text)):
            self._behind = None
            return
        found = _OPERATOR.match(self._text, self.at)
        if found is None:
            raise _NotSimple
        self._count()
        self._alone = self._alone and self._depth > 0
        self._found, self._behind, self.at = found, found.lastgroup, found.end()

    def _count(self) -> None:
        self._operations += 1
        if self._operations > _MOST_OPERATIONS:
            raise _NotSimple
