"""Cutting an expression into tokens, each with its offset, and finding where the expression ends.

The tokens are those that Jinja's parser takes. Cutting them here gives every finding an exact position, finds the
closing delimiter wherever strings and brackets allow, and bounds size and nesting before anything recursive sees the
text.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple, NoReturn

from stepwell.base.values import MAX_INTEGER
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.limits import MAX_BRACKETS, MAX_EXPRESSION, MAX_TOKENS

OPERATORS: Final = {
    "+": "add",
    "-": "sub",
    "/": "div",
    "//": "floordiv",
    "*": "mul",
    "%": "mod",
    "**": "pow",
    "~": "tilde",
    "[": "lbracket",
    "]": "rbracket",
    "(": "lparen",
    ")": "rparen",
    "{": "lbrace",
    "}": "rbrace",
    "==": "eq",
    "!=": "ne",
    ">": "gt",
    ">=": "gteq",
    "<": "lt",
    "<=": "lteq",
    "=": "assign",
    ".": "dot",
    ":": "colon",
    "|": "pipe",
    ",": "comma",
}
"""Symbols, and what the parser calls them."""

KEYWORDS: Final = frozenset({"and", "or", "not", "in", "is", "if", "else"})
"""Words that are operators, so that nothing is called like them."""

_TOKEN: Final = re.compile(
    r"""(?:(?P<name>[^\W\d]\w*)
    |(?P<float>[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+))
    |(?P<integer>[0-9]+)
    |(?P<string>'[^'\\]*(?:\\.[^'\\]*)*'|"[^"\\]*(?:\\.[^"\\]*)*")
    |(?P<operator>\*\*|//|==|!=|>=|<=|[-+/*%~\[\](){}><=.:|,]))\s*""",
    re.VERBOSE | re.DOTALL,
)
_INDEX: Final = re.compile(r"(?P<integer>[0-9]+)\s*")
_OPENS: Final = frozenset({"lparen", "lbracket", "lbrace"})
_CLOSES: Final = {"rparen": "lparen", "rbracket": "lbracket", "rbrace": "lbrace"}
_BRACKETS: Final = _OPENS | _CLOSES.keys()
_ESCAPE: Final = re.compile(r"\\(u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "'": "'", '"': '"', "\\": "\\", "/": "/"}
_HINTS: Final = {
    "?": "write 'a if condition else b'",
    "&": "write 'and'",
    "!": "write 'not', or '!=' to compare",
    "^": "a power is written with '**'",
    ";": "an expression is one value; there are no statements",
    "`": "strings are written in quotes",
    "$": "names are written without a sign in front",
}


class Token(NamedTuple):
    """A token, with its offset in the whole string. `type` and `value` are as Jinja's parser expects them."""

    offset: int
    type: str
    value: Any


def tokenize(text: str, start: int, closing: str) -> tuple[list[Token], int]:
    """The tokens of the expression that begins at `start`, and the offset of the closing delimiter.

    Args:
        closing: the delimiter that ends the expression, or an empty string when that is the end of the text.

    Raises:
        ExpressionSyntaxError: with the offset of what is wrong.
    """
    tokens: list[Token] = []
    brackets: list[Token] = []
    position = start
    while position < len(text) and text[position].isspace():
        position += 1
    while position < len(text) and (brackets or not closing or not text.startswith(closing, position)):
        # After a dot, `0.1` is two indices, not a number.
        found = _INDEX.match(text, position) if tokens and tokens[-1].type == "dot" else None
        found = found or _TOKEN.match(text, position)
        if found is None:
            _refuse_character(text, position)
        tokens.append(_token(found, position))
        if tokens[-1].type in _BRACKETS:
            _balance(tokens[-1], brackets, closing)
        position = found.end()
        if len(tokens) > MAX_TOKENS or position - start > MAX_EXPRESSION:
            _refuse_length(start)
    if brackets:
        _refuse_unclosed(brackets[-1])
    return tokens, position


def _token(found: re.Match[str], offset: int) -> Token:
    kind = str(found.lastgroup)
    written = found[kind]
    if kind == "name":
        return Token(offset, kind, written)
    if kind == "operator":
        return Token(offset, OPERATORS[written], written)
    if kind == "string":
        return Token(offset, kind, unescaped(written[1:-1], offset))
    return Token(offset, kind, _float(written, offset) if kind == "float" else _integer(written, offset))


def _integer(written: str, offset: int) -> int:
    if len(written.lstrip("0")) <= 20 and int(written) <= MAX_INTEGER:
        return int(written)
    raise ExpressionSyntaxError("the number does not fit into 64 bits", offset=offset)


def _float(written: str, offset: int) -> float:
    value = float(written)
    if math.isfinite(value):
        return value
    raise ExpressionSyntaxError("the number is too large", offset=offset)


def unescaped(written: str, offset: int) -> str:
    """The content of a string literal. An unknown escape such as `\\d` stays as it is, for regular expressions."""
    if "\\" not in written:
        return written
    text = _ESCAPE.sub(_escape, written)
    try:  # two escapes may be the halves of one character
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise ExpressionSyntaxError("the string holds half of a character (a lone surrogate)", offset=offset) from None


def _escape(found: re.Match[str]) -> str:
    code = found[1]
    return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPED.get(code, found[0])


def _balance(token: Token, brackets: list[Token], closing: str) -> None:
    """Keep track of the brackets that are open."""
    if token.type in _OPENS:
        brackets.append(token)
        if len(brackets) > MAX_BRACKETS:
            raise ExpressionSyntaxError(
                f"brackets are nested more than {MAX_BRACKETS} deep",
                offset=token.offset,
                hint="compute parts of it in earlier steps or variables",
            )
        return
    if not brackets:
        hint = f"the expression ends with {closing!r}" if closing else None
        raise ExpressionSyntaxError(f"this {token.value!r} closes nothing", offset=token.offset, hint=hint)
    if brackets[-1].type != _CLOSES[token.type]:
        _refuse_unclosed(brackets[-1])
    brackets.pop()


def _refuse_length(start: int) -> NoReturn:
    raise ExpressionSyntaxError(
        f"the expression is too long; at most {MAX_EXPRESSION} characters and {MAX_TOKENS} parts are allowed",
        offset=start,
        hint="compute parts of it in earlier steps or variables",
    )


def _refuse_unclosed(bracket: Token) -> NoReturn:
    raise ExpressionSyntaxError(f"this {bracket.value!r} is not closed", offset=bracket.offset)


def _refuse_character(text: str, position: int) -> NoReturn:
    character = text[position]
    if character in "'\"":
        raise ExpressionSyntaxError("the string that begins here is not closed", offset=position)
    raise ExpressionSyntaxError(
        f"{character!r} is not part of the language", offset=position, hint=_HINTS.get(character)
    )
