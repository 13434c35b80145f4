"""Expressions compiled in one pass, without the parser: nearly everything that people write.

Parsing costs ten times more than all else about an expression, so a workflow of ten thousand steps would be slow to
read. What is recognised here becomes exactly what `parser` and `compiler` make of it. Whatever is not, and everything
that is wrong, is left to them, so that their rules and their messages are the only ones.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from stepwell.expression import build
from stepwell.expression.access import path, record
from stepwell.expression.compiled import EMPTY, Compiled, Evaluate, Reference, constant
from stepwell.expression.data import kind_of
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.forms import (
    BEHIND_TEST,
    COLON,
    COMPARED,
    COMPARISON,
    CONSTANTS,
    DOTTED,
    LEVELS,
    LITERALS,
    NAMED,
    OPERAND,
    OPERATOR,
    SHORTENED,
    WORDS,
    ends_with_index,
    keys_of,
    shown_keys,
)
from stepwell.expression.functions import Parameter
from stepwell.expression.grammar import Grammar
from stepwell.expression.lexer import KEYWORDS
from stepwell.expression.operators import ARITHMETIC, COMPARISONS, Operator, affirmed, negated
from stepwell.expression.predicates import PREDICATES

_LONGEST: Final = 1_000
_MOST_OPERATIONS: Final = 40
"""Characters, and operators and brackets: well within the limits of the language, so that none is passed here."""


_NEGATION: Final = LEVELS["and"] + 1
"""How tightly `not` binds."""


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
    found = COMPARISON.match(text, start)
    if found is not None and (text.startswith(closing, found.end()) if closing else found.end() == len(text)):
        compared = _comparison(found, grammar)
        if compared is not None and found.end() - start <= _LONGEST:
            return compared, found.end()
    reader = _Reader(text, start, closing, grammar, outcome)
    try:
        compiled = reader.whole()
    except (_NotSimple, ExpressionSyntaxError, RecursionError):
        return None
    return (compiled, reader.at) if reader.at - start <= _LONGEST else None


def _comparison(found: re.Match[str], grammar: Grammar) -> Compiled | None:
    """A path compared with a literal, which most conditions are; None when it is something else after all."""
    written = found["name"]
    root, keys = grammar.aliases.get(written, written), keys_of(found["keys"])
    if written in WORDS or root == grammar.secrets:
        return None
    literal = int(found["integer"]) if found["integer"] else found["string"][1:-1]
    evaluate = build.binary(COMPARISONS[COMPARED[found["compared"]]], path(root, keys, written), constant(literal))
    return Compiled(evaluate, (Reference((root, *keys), (), found.start("name")),), source=found.group().strip())


class _Reader:
    """Reads one expression from left to right. `at` is where it goes on."""

    __slots__ = (
        "_behind", "_closing", "_depth", "_form", "_found", "_functions", "_grammar", "_operands",
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
        self._form: str = ""  # of what was read last, when it matters: path, list, object, and, or, a kind of constant
        self._operands: list[Evaluate] = []  # of what was read last, when that is `and` or `or`

    def whole(self) -> Compiled:
        """All of the expression."""
        start = self.at
        evaluate = self._expression()
        if self._behind is not None:
            raise _NotSimple
        functions = frozenset(self._functions) if self._functions else EMPTY
        is_constant = self._form.startswith("=")
        kind = self._form[1:] if is_constant else self._form if self._form in ("list", "object") else ""
        source = self._text[start : self.at].strip()
        return Compiled(evaluate, tuple(self._references), functions, is_constant, source, kind)

    # Operators

    def _expression(self) -> Evaluate:
        then = self._operation(0)
        if self._behind != "if":
            return then
        condition = self._operation(0)
        if self._behind != "else":
            raise _NotSimple
        otherwise = self._expression()
        self._form = ""
        return build.conditional(condition, then, otherwise)

    def _operation(self, least: int) -> Evaluate:
        """Operands, and the operators between them that bind at least as tightly as `least` says (see `LEVELS`)."""
        found = OPERAND.match(self._text, self.at)
        if found is None:
            raise _NotSimple
        if found["path"] == "not" and least <= _NEGATION:
            self._count()
            self.at = found.end("path")
            left = build.negation(self._operation(_NEGATION))
            self._form = ""
        else:
            left = self._operand(found)
        while (level := LEVELS.get(self._behind, -1)) >= least:
            left = self._operated(left, str(self._behind), level)
        return left

    def _operated(self, left: Evaluate, kind: str, level: int) -> Evaluate:
        """A value made of `left` and what stands behind operators of this kind."""
        match kind:
            case "compared":
                return self._compared(left, level)
            case "and" | "or":
                operands = self._operands if self._form == kind else [left]
                while self._behind == kind:
                    operands = [*operands, self._operation(level + 1)]
                self._form, self._operands = kind, operands
                return (build.conjunction if kind == "and" else build.disjunction)(tuple(operands))
            case "joint":
                parts = [left]
                while self._behind == kind:
                    parts.append(self._operation(level + 1))
                evaluate = build.text(tuple(parts))
            case _:
                evaluate = build.binary(ARITHMETIC[self._found[kind]], left, self._operation(level + 1))
        self._form = ""
        return evaluate

    def _compared(self, left: Evaluate, level: int) -> Evaluate:
        pairs: list[tuple[Operator, Evaluate]] = []
        while self._behind == "compared":
            written = self._found["compared"]
            operator = COMPARISONS[COMPARED.get(written) or "".join(written.split())]
            pairs.append((operator, self._operation(level + 1)))
        self._form = ""
        if len(pairs) == 1:
            return build.binary(pairs[0][0], left, pairs[0][1])
        return build.comparisons(left, tuple(pairs))

    # Operands

    def _operand_here(self) -> re.Match[str]:
        found = OPERAND.match(self._text, self.at)
        if found is None:
            raise _NotSimple
        return found

    def _operand(self, found: re.Match[str]) -> Evaluate:
        """A value, and the filters and the test behind it."""
        first = len(self._references)
        evaluate = plain = self._value(found)
        self._advance()
        while self._behind == "filter":
            called, end = self._found, len(self._references)
            arguments, named = self._arguments(")") if called["opens"] else ([], {})
            evaluate = self._call(called["function"], [_Argument(evaluate, first, end), *arguments], named)
            self._advance()
        if self._behind == "test":
            evaluate = self._test(evaluate, found, first, is_filtered=evaluate is not plain)
        return evaluate

    def _value(self, found: re.Match[str]) -> Evaluate:
        form = str(found.lastgroup)
        self.at = found.end()
        if form == "path":
            return self._path(found)
        if form in LITERALS:
            return self._constant(LITERALS[form](found[form]))
        match form:
            case "sign":
                return self._signed(found)
            case "bracket":
                return self._bracketed(")")
            case "call":
                evaluate = self._call(found["path"], *self._arguments(")"))
                return self._reached(evaluate, f"{found['path']}(...)")
            case "list":
                items, _ = self._arguments("]")
                evaluate = build.list_of(tuple(item.evaluate for item in items))
            case _:
                evaluate = self._object()
        self._form = form
        return self._reached(evaluate, "(...)")

    def _constant(self, value: Any) -> Evaluate:
        self._form = f"={kind_of(value)}"
        return constant(value)

    def _path(self, found: re.Match[str]) -> Evaluate:
        written, keys = found["name"], keys_of(found["keys"])
        if written in WORDS:
            if keys or written in KEYWORDS:
                raise _NotSimple
            if written in CONSTANTS:
                return self._constant(CONSTANTS[written])
            self._form = "null"
            return constant(None)
        root = self._grammar.aliases.get(written, written)
        if root == self._grammar.secrets:
            raise _NotSimple
        self._references.append(Reference((root, *keys), (), found.start("name")))
        if self._text.startswith("[", self.at):
            shown = written + shown_keys(found["keys"])
            reached = build.data(self._steps(record(root, keys, written), shown, is_path=True))
            self._form = "reached"
            return reached
        self._form = "path"
        return path(root, keys, written)

    def _signed(self, found: re.Match[str]) -> Evaluate:
        self._count()
        operate = negated if found["sign"] == "-" else affirmed
        evaluate = build.unary(operate, self._value(self._operand_here()))
        self._form = "signed" if self._form.startswith("=") else ""
        return evaluate

    def _bracketed(self, closing: str) -> Evaluate:
        """An expression up to its closing bracket."""
        self._count()
        self._depth += 1
        evaluate = self._expression()
        self._close(closing)
        return evaluate

    def _close(self, closing: str) -> None:
        if self._behind != "close" or self._found["close"] != closing:
            raise _NotSimple
        self._depth -= 1

    def _object(self) -> Evaluate:
        self._count()
        self._depth += 1
        keys: list[Evaluate] = []
        values: list[Evaluate] = []
        if self._text.startswith("}", self.at):
            self._advance()
        else:
            self._behind = "comma"
        while self._behind == "comma":
            keys.append(self._expression())
            if self._behind != "colon":
                raise _NotSimple
            values.append(self._expression())
        self._close("}")
        return build.object_of(tuple(keys), tuple(values))

    # What is read below a value

    def _reached(self, base: Evaluate, shown: str) -> Evaluate:
        """What is read below a value that is no path."""
        if self._text[self.at : self.at + 1] not in (".", "["):
            return base
        reached = build.data(self._steps(base, shown))
        self._form = "reached"
        return reached

    def _steps(self, base: Evaluate, shown: str, *, is_path: bool = False) -> Evaluate:
        """Steps below `base`, of which the first, when `is_path`, has a key that is not written out."""
        while (opening := self._text[self.at : self.at + 1]) in (".", "["):
            self._count()
            if opening == "[":
                base, written = self._step(base, shown, is_path=is_path)
            else:
                found = DOTTED.match(self._text, self.at)
                if found is None:
                    raise _NotSimple
                key = found["name"] or int(found["number"])
                base = build.item(base, constant(key), shown)
                written = f".{key}" if found["name"] else f"[{key!r}]"
                self.at = found.end()
            is_path, shown = False, shown + written
        return base

    def _step(self, base: Evaluate, shown: str, *, is_path: bool) -> tuple[Evaluate, str]:
        """`[b]` or `[b:c]`: what it gives, and how messages show it."""
        self._depth += 1
        self.at += 1
        found = COLON.match(self._text, self.at)
        if found is not None:
            bounds: list[Evaluate] = [constant(None)]
            self.at, self._behind = found.end(), "colon"
        else:
            first = self._operand_here()
            bounds = [self._expression()]
        if self._behind != "colon":
            written = self._written(first, is_path=is_path)
            self._close("]")
            return build.item(base, bounds[0], shown), written
        while self._behind == "colon" and len(bounds) < 3:
            bounds.append(self._bound())
        self._close("]")
        return build.slice_of(base, *bounds, *[constant(None)] * (3 - len(bounds))), "[...]"

    def _bound(self) -> Evaluate:
        """A bound of a slice, which may be left out."""
        if self._text[self.at : self.at + 1] in ("]", ":"):
            self._advance()
            return constant(None)
        return self._expression()

    def _written(self, first: re.Match[str], *, is_path: bool) -> str:
        """How messages show a step whose key was just read, and begins with `first`."""
        form = str(first.lastgroup)
        if self._form == form == "path":
            return "[...]" if ends_with_index(first["keys"]) else f"[{first['name']}{shown_keys(first['keys'])}]"
        if self._form.startswith("=") and form in LITERALS and not is_path:
            return f"[{LITERALS[form](first[form])!r}]"
        if self._form not in SHORTENED:
            raise _NotSimple
        return "[...]"

    # Calls and tests

    def _arguments(self, closing: str) -> tuple[list[_Argument], dict[str, _Argument]]:
        """Expressions between brackets, of which the first was read; it is read up to and with the last one.

        Those behind a name and `=` are given apart, by name.
        """
        self._count()
        self._depth += 1
        arguments: list[_Argument] = []
        named: dict[str, _Argument] = {}
        if self._text.startswith(closing, self.at):
            self._advance()
        else:
            self._behind = "comma"
        while self._behind == "comma":
            found = NAMED.match(self._text, self.at) if "=" in self._text else None
            if found is not None:
                self.at = found.end()
            first = len(self._references)
            evaluate = self._expression()
            argument = _Argument(evaluate, first, len(self._references))
            if found is None and not named:
                arguments.append(argument)
            elif found is not None and closing == ")" and found["name"] not in named.keys() | KEYWORDS:
                named[found["name"]] = argument
            else:
                raise _NotSimple
        self._close(closing)
        return arguments, named

    def _call(self, name: str, arguments: list[_Argument], named: dict[str, _Argument]) -> Evaluate:
        function = self._grammar.functions.get(name)
        if function is None or (function.outcome and not self._outcome):
            raise _NotSimple
        parameters = function.parameters
        if len(arguments) > len(parameters) and not function.variadic:
            raise _NotSimple
        given: list[Evaluate] = []
        for position, argument in enumerate(arguments):
            given.append(self._given(argument, parameters[min(position, len(parameters) - 1)]))
        for parameter in parameters[len(arguments) :]:
            if parameter.name in named:
                given.append(self._given(named.pop(parameter.name), parameter))
            elif parameter.required:
                raise _NotSimple
            else:
                given.append(constant(parameter.default))
        if named and not function.named:
            raise _NotSimple
        self._functions.add(name)
        self._form = ""
        return build.call(function, tuple(given), {key: argument.evaluate for key, argument in named.items()})

    def _given(self, argument: _Argument, parameter: Parameter) -> Evaluate:
        if parameter.of_items:
            raise _NotSimple
        if parameter.attempted:
            self._attempt(argument.first, argument.end)
        return argument.evaluate

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
        self._form = ""
        self._advance()
        if self._behind not in BEHIND_TEST:
            raise _NotSimple
        return build.negation(evaluate) if is_negated else evaluate

    def _record(self, found: re.Match[str], first: int, *, is_filtered: bool) -> Evaluate:
        """The path in `found`, of which it is asked whether it exists."""
        if is_filtered or found.lastgroup != "path" or self._form != "path":
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
        found = OPERATOR.match(self._text, self.at)
        if found is None:
            raise _NotSimple
        self._operations += 1
        if self._operations > _MOST_OPERATIONS:
            raise _NotSimple
        self._found, self._behind, self.at = found, found.lastgroup, found.end()

    def _count(self) -> None:
        self._operations += 1
        if self._operations > _MOST_OPERATIONS:
            raise _NotSimple
