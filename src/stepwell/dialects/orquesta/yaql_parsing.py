"""From the text of a YAQL expression to its tree: the grammar of YAQL's standard operators, as far as it is read here.

What is left out of it (`?.`, assertions and so on) is refused with its place.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, NoReturn

from stepwell.dialects.orquesta.yaql_tree import (
    Binary,
    Call,
    Constant,
    Dollar,
    Index,
    Listed,
    Mapped,
    Property,
    Unary,
    Word,
    Yaql,
)
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.limits import MAX_BRACKETS, MAX_EXPRESSION, MAX_TOKENS

_TOKEN: Final = re.compile(
    r"""(?:(?P<dollar>\$[A-Za-z0-9_]*)
    |(?P<float>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?)
    |(?P<integer>[0-9]+)
    |(?P<word>[^\W\d]\w*)
    |(?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*"|`[^`\\]*(?:\\.[^`\\]*)*`)
    |(?P<sign>=>|->|=~|!~|\?\.|!=|<=|>=|[-+*/<>=.,()\[\]{}?:|&!]))\s*""",
    re.VERBOSE | re.DOTALL,
)
_WORDS: Final = frozenset({"and", "or", "not", "in", "mod"})
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v"}
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}

_LEVELS: Final[tuple[frozenset[str], ...]] = (
    frozenset({"or"}),
    frozenset({"and"}),
    frozenset({"not"}),
    frozenset({"=", "!=", "<", ">", "<=", ">=", "in"}),
    frozenset({"+", "-"}),
    frozenset({"*", "/", "mod"}),
    frozenset({"=~", "!~"}),
)
"""The operators, from those that bind least; all of them are read from the left."""

_NOT: Final = 2
_HINTS: Final = {
    "->": "`let(name => value) -> expression` stands alone or in brackets",
    "?.": "write `.get(name)`",
    "|": "filters belong to Jinja: write `{{ value | filter }}`",
    "!": "write `not`, or `!=` to compare",
    "&": "write `and`",
    "?": "write `switch(condition => value, true => other)`",
}


class _Token(NamedTuple):
    kind: str
    text: str
    at: int


def parse_yaql(text: str, start: int, closing: str) -> tuple[Yaql, int]:
    """The tree of the expression that begins at `start`, and the offset of the closing delimiter.

    Args:
        closing: the delimiter that ends the expression, or an empty string when that is the end of the text.

    Raises:
        ExpressionSyntaxError: with the offset of what is wrong.
    """
    tokens, end = _tokens(text, start, closing)
    if not tokens:
        raise ExpressionSyntaxError("the expression is empty", offset=start)
    parser = _Parser([*tokens, _Token("end", "", end)])
    try:
        tree = parser.whole()
    except RecursionError:
        raise ExpressionSyntaxError("the expression is nested too deeply", offset=start) from None
    parser.expect_end()
    return tree, end


def _tokens(text: str, start: int, closing: str) -> tuple[list[_Token], int]:
    found: list[_Token] = []
    position, open_brackets = start, 0
    while position < len(text) and text[position].isspace():
        position += 1
    while position < len(text) and not (closing and text.startswith(closing, position)):
        match = _TOKEN.match(text, position)
        if match is None:
            _refuse_character(text, position)
        kind = str(match.lastgroup)
        found.append(_Token(kind, match[kind], position))
        open_brackets += (match[kind] in _CLOSING) - (match[kind] in _CLOSING.values())
        position = match.end()
        if open_brackets > MAX_BRACKETS:
            raise ExpressionSyntaxError(f"brackets are nested more than {MAX_BRACKETS} deep", offset=found[-1].at)
        if len(found) > MAX_TOKENS or position - start > MAX_EXPRESSION:
            message = f"the expression is too long; at most {MAX_EXPRESSION} characters are allowed"
            raise ExpressionSyntaxError(message, offset=start, hint="compute parts of it in earlier tasks")
    return found, position


def _refuse_character(text: str, position: int) -> NoReturn:
    if text[position] in "'\"`":
        raise ExpressionSyntaxError("the string that begins here is not closed", offset=position)
    hint = "the remainder of a division is `a mod b`" if text[position] == "%" else None
    raise ExpressionSyntaxError(f"{text[position]!r} is not part of YAQL", offset=position, hint=hint)


class _Parser:
    """Reads the tokens from left to right."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._position = 0

    @property
    def _now(self) -> _Token:
        return self._tokens[self._position]

    def _next(self) -> _Token:
        token = self._now
        self._position += 1
        return token

    def _is(self, *signs: str) -> bool:
        return self._now.kind in ("sign", "word") and self._now.text in signs

    def whole(self) -> Yaql:
        """The expression; several of them with commas between are the list of what they give."""
        items = [self._bound()]
        while self._is(","):
            self._next()
            items.append(self._bound())
        return items[0] if len(items) == 1 else Listed(tuple(items), items[0].at)

    def _bound(self) -> Yaql:
        """An expression, perhaps behind `let(...) ->`."""
        left = self.operation(0)
        if not self._is("->"):
            return left
        at = self._next().at
        return Binary("->", left, self._bound(), at)

    def expect_end(self) -> None:
        """Nothing may follow."""
        if self._now.kind != "end":
            self._unexpected("")

    def _unexpected(self, wanted: str) -> NoReturn:
        token = self._now
        if token.kind == "end":
            raise ExpressionSyntaxError(f"the expression ends too early{wanted}", offset=token.at)
        hint = _HINTS.get(token.text)
        if hint is None and token.kind in ("word", "string", "integer", "float", "dollar"):
            hint = "an operator or a comma may be missing in front of it"
        raise ExpressionSyntaxError(f"unexpected {token.text!r}{wanted}", offset=token.at, hint=hint)

    def _expect(self, sign: str) -> None:
        if not self._is(sign):
            self._unexpected(f"; expected {sign!r}")
        self._next()

    def operation(self, level: int) -> Yaql:
        """Operators of this level, or of those that bind more tightly."""
        if level == len(_LEVELS):
            return self._signed()
        if level == _NOT:
            return self._negated()
        left = self.operation(level + 1)
        while self._is(*_LEVELS[level]):
            token = self._next()
            left = Binary(token.text, left, self.operation(level + 1), token.at)
        return left

    def _negated(self) -> Yaql:
        if self._is("not"):
            token = self._next()
            return Unary("not", self._negated(), token.at)
        return self.operation(_NOT + 1)

    def _signed(self) -> Yaql:
        if self._is("-", "+"):
            token = self._next()
            return Unary(token.text, self._signed(), token.at)
        return self._postfix(self._primary())

    def _postfix(self, tree: Yaql) -> Yaql:
        while self._is(".", "["):
            token = self._next()
            if token.text == "[":
                key = self.operation(0)
                self._expect("]")
                tree = Index(tree, key, token.at)
                continue
            name = self._next() if self._now.kind == "word" else self._unexpected("; expected a name")
            if self._is("("):
                args, pairs = self._arguments(")")
                tree = Call(name.text, tree, args, pairs, name.at)
            else:
                tree = Property(tree, name.text, name.at)
        return tree

    def _primary(self) -> Yaql:
        token = self._now
        match token.kind:
            case "integer" | "float" | "string":
                return Constant(_constant(self._next()), token.at)
            case "dollar":
                return Dollar(self._next().text[1:], token.at)
            case "word" if token.text not in _WORDS:
                return self._word(self._next())
            case _ if self._is("("):
                self._next()
                tree = self._bound()
                self._expect(")")
                return tree
            case _ if self._is("["):
                items, pairs = self._arguments("]")
                self._refuse_pairs(pairs)
                return Listed(items, token.at)
            case _ if self._is("{"):
                items, pairs = self._arguments("}")
                if items:
                    raise ExpressionSyntaxError("an entry of a dictionary is `key => value`", offset=token.at)
                return Mapped(pairs, token.at)
            case _:
                return self._unexpected("; expected a value")

    def _word(self, token: _Token) -> Yaql:
        if token.text in _CONSTANTS:
            return Constant(_CONSTANTS[token.text], token.at)
        if self._is("("):
            args, pairs = self._arguments(")")
            return Call(token.text, None, args, pairs, token.at)
        return Word(token.text, token.at)

    def _refuse_pairs(self, pairs: tuple[tuple[Yaql, Yaql], ...]) -> None:
        if pairs:
            raise ExpressionSyntaxError("a list has no `key => value`", offset=pairs[0][0].at)

    def _arguments(self, closing: str) -> tuple[tuple[Yaql, ...], tuple[tuple[Yaql, Yaql], ...]]:
        """What stands between the bracket that comes next and the closing one: values, and `key => value`."""
        self._next()
        args: list[Yaql] = []
        pairs: list[tuple[Yaql, Yaql]] = []
        while not self._is(closing):
            value = self.operation(0)
            if self._is("=>"):
                self._next()
                pairs.append((value, self.operation(0)))
            elif pairs:
                raise ExpressionSyntaxError("a value without a name follows named ones", offset=value.at)
            else:
                args.append(value)
            if not self._is(closing):
                self._expect(",")
        self._next()
        return tuple(args), tuple(pairs)


def _constant(token: _Token) -> str | int | float:
    match token.kind:
        case "integer":
            if len(token.text) > 18:
                raise ExpressionSyntaxError("the number does not fit into 64 bits", offset=token.at)
            return int(token.text)
        case "float":
            return float(token.text)
        case _:
            return _unquoted(token)


def _unquoted(token: _Token) -> str:
    written = token.text[1:-1]
    if token.text[0] == "`":
        return written.replace("\\`", "`")
    return _ESCAPE.sub(lambda found: _escaped(found[1], token), written) if "\\" in written else written


def _escaped(code: str, token: _Token) -> str:
    if len(code) > 1:
        return chr(int(code[1:], 16))
    if code.isalnum() and code not in _ESCAPES:
        return f"\\{code}"
    return _ESCAPES.get(code, code)
