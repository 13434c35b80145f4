"""From tokens to a syntax tree, by Jinja's parser: the grammar is the one that people know.

Nothing else of Jinja is used: its trees are compiled by this package (see `compiler`), never by its own compiler, so
none of its filters, globals, statements or Python attributes can be reached. Where Jinja's tokens carry a line number,
these carry the token's offset, and so does every node.
"""

from __future__ import annotations

import re
from typing import Final

from jinja2 import Environment, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Token as JinjaToken
from jinja2.lexer import TokenStream
from jinja2.parser import Parser

from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.lexer import Token

_ENVIRONMENT: Final = Environment(optimized=False, autoescape=True)
_EXPECTED: Final = re.compile(r"\bexpected (?:token )?'([^']+)'")
_AT_END: Final = "end of template"
_STATEMENTS: Final = frozenset(
    {"for", "set", "block", "macro", "import", "from", "include", "extends", "call", "raw", "with", "do"}
    | {"let", "var", "const", "def", "lambda", "return"}
)
_HINTS: Final = {"assign": "write '==' to compare", "comma": "an expression is one value"}


def parse(tokens: list[Token], start: int, end: int) -> nodes.Expr:
    """The syntax tree of the expression from `start` to `end`; the `lineno` of each node is an offset.

    Raises:
        ExpressionSyntaxError: the tokens are not one expression.
    """
    if not tokens:
        raise ExpressionSyntaxError("the expression is empty", offset=start)
    parser = Parser(_ENVIRONMENT, "")
    parser.stream = TokenStream((JinjaToken(*token) for token in tokens), None, None)
    try:
        tree = parser.parse_expression()
    except TemplateSyntaxError as error:
        raise _explained(error, tokens, end) from None
    except RecursionError:
        raise ExpressionSyntaxError("the expression is nested too deeply", offset=start) from None
    following = parser.stream.current
    if following.type != "eof":
        raise _unexpected(following.lineno, tokens, "")
    return tree


def _explained(error: TemplateSyntaxError, tokens: list[Token], end: int) -> ExpressionSyntaxError:
    """Jinja's error in the words of this language."""
    reason = error.message or ""
    expected = _EXPECTED.search(reason)
    wanted = f"; expected {'a name' if expected[1] == 'name' else repr(expected[1])}" if expected else ""
    if _AT_END not in reason:
        return _unexpected(error.lineno, tokens, wanted)
    last = tokens[-1].value
    hint = "white space is not controlled here: leave the '-' out" if last == "-" else None
    return ExpressionSyntaxError(f"the expression ends too early, after {last!r}{wanted}", offset=end, hint=hint)


def _unexpected(offset: int, tokens: list[Token], wanted: str) -> ExpressionSyntaxError:
    found = next((token for token in tokens if token.offset == offset), tokens[-1])
    return ExpressionSyntaxError(f"unexpected {found.value!r}{wanted}", offset=offset, hint=_hint(found, tokens))


def _hint(found: Token, tokens: list[Token]) -> str | None:
    first = tokens[0]
    if first.type == "name" and first.value in _STATEMENTS:
        return f"{first.value!r} begins a statement; only expressions are possible"
    if [token.type for token in tokens[:2]] == ["lbrace", "lbrace"]:
        return "write the whole condition inside the delimiters, or all of it without them"
    if found.type in ("name", "string", "integer", "float"):
        return "an operator, a comma or a filter's '|' may be missing in front of it"
    return _HINTS.get(found.type)
