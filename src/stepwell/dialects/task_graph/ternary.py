"""Reading expressions with `a ? b : c` in them.

The sign is exchanged among the tokens: `C ? A : B` becomes `((A) if (C) else (B))`. It binds less tightly than any
other operator, so it reaches to the nearest bracket or comma on both sides.
"""

from __future__ import annotations

import re
from typing import Final

from jinja2 import nodes

from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.lexer import Token, tokenize
from stepwell.expression.parser import parse

_STRING_OR_SIGN: Final = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|\?", re.DOTALL)
_STAND_IN: Final = "~"
"""An operator of one character, so that the tokens are cut as they would be at the sign."""
_QUESTION: Final = "question"
_OPENS: Final = frozenset({"lparen", "lbracket", "lbrace"})
_CLOSES: Final = frozenset({"rparen", "rbracket", "rbrace"})
_DEEPEST: Final = 50
"""Signs inside each other; more are not read."""


def read_expression(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
    """The expression that begins at `start`: its tree, and the offset of the closing delimiter.

    Raises:
        ExpressionSyntaxError: with the offset of what is wrong.
    """
    signs = {found.start() for found in _STRING_OR_SIGN.finditer(text, start) if found.group() == "?"}
    if not signs:
        tokens, end = tokenize(text, start, closing)
        return parse(tokens, start, end), end
    characters = list(text)
    for sign in signs:
        characters[sign] = _STAND_IN
    tokens, end = tokenize("".join(characters), start, closing)
    marked = [Token(token.offset, _QUESTION, "?") if token.offset in signs else token for token in tokens]
    return parse(_exchanged(marked, 0), start, end), end


def _exchanged(tokens: list[Token], depth: int) -> list[Token]:
    """The tokens with every sign exchanged for `if` and `else`."""
    found = next((at for at, token in enumerate(tokens) if token.type == _QUESTION), None)
    if found is None:
        return tokens
    sign = tokens[found]
    if depth > _DEEPEST:
        raise ExpressionSyntaxError(f"more than {_DEEPEST} '?' in one expression", offset=sign.offset)
    begin, middle, end = _begin(tokens, found), _middle(tokens, found), _end(tokens, found)
    if middle is None:
        hint = "write 'condition ? value : other'"
        raise ExpressionSyntaxError("this '?' has no ':'", offset=sign.offset, hint=hint)
    condition, value, other = tokens[begin:found], tokens[found + 1 : middle], tokens[middle + 1 : end]
    if not (condition and value and other):
        hint = "write 'condition ? value : other'"
        raise ExpressionSyntaxError("a part of this '?' is missing", offset=sign.offset, hint=hint)
    made = [*_bracketed(value), _word(sign, "if"), *_bracketed(condition), _word(sign, "else"), *_bracketed(other)]
    return _exchanged([*tokens[:begin], *_bracketed(made), *tokens[end:]], depth + 1)


def _bracketed(tokens: list[Token]) -> list[Token]:
    return [Token(tokens[0].offset, "lparen", "("), *tokens, Token(tokens[-1].offset, "rparen", ")")]


def _word(sign: Token, word: str) -> Token:
    return Token(sign.offset, "name", word)


def _begin(tokens: list[Token], sign: int) -> int:
    """Where the condition begins: behind the bracket, comma, colon or `=` around it."""
    depth = 0
    for at in range(sign - 1, -1, -1):
        kind = tokens[at].type
        depth += (kind in _CLOSES) - (kind in _OPENS)
        if depth < 0 or (depth == 0 and kind in ("comma", "colon", "assign")):
            return at + 1
    return 0


def _middle(tokens: list[Token], sign: int) -> int | None:
    """Where the colon of the sign stands; signs in between have colons of their own."""
    depth = pending = 0
    for at in range(sign + 1, len(tokens)):
        kind = tokens[at].type
        depth += (kind in _OPENS) - (kind in _CLOSES)
        if depth < 0:
            return None
        if depth == 0 and kind == _QUESTION:
            pending += 1
        elif depth == 0 and kind == "colon":
            if not pending:
                return at
            pending -= 1
    return None


def _end(tokens: list[Token], sign: int) -> int:
    """Where the whole ends: before the bracket or comma behind it, or a colon that is no sign's."""
    depth, pending = 0, 1
    for at in range(sign + 1, len(tokens)):
        kind = tokens[at].type
        depth += (kind in _OPENS) - (kind in _CLOSES)
        if depth < 0 or (depth == 0 and kind == "comma"):
            return at
        if depth == 0 and kind == _QUESTION:
            pending += 1
        elif depth == 0 and kind == "colon":
            if not pending:
                return at
            pending -= 1
    return len(tokens)
