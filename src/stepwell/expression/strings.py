"""Compiling one string: finding the expressions in it, and compiling each of them."""

from __future__ import annotations

import functools
import re
from typing import Final, NoReturn

from stepwell.base.values import SecretRef
from stepwell.expression import build
from stepwell.expression.access import path
from stepwell.expression.compiled import EMPTY, Compiled, Reference, constant
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.forms import KEYS, WORDS, keys_of
from stepwell.expression.grammar import Grammar
from stepwell.expression.lexer import Token, tokenize
from stepwell.expression.limits import MAX_EXPRESSION
from stepwell.expression.simple import compile_simple

_CACHED: Final = 1_024
_CACHED_LENGTH: Final = 200
_PATH: Final = re.compile(rf"\s*(?P<path>(?P<root>[A-Za-z_]\w*)(?P<keys>{KEYS}))\s*", re.ASCII)


def compile_text(text: str, grammar: Grammar, *, outcome: bool) -> Compiled:
    """A string of a template: plain text, exactly one expression, or text with expressions in it.

    Raises:
        ExpressionSyntaxError: with the offset of what is wrong.
    """
    return _cached_text(text, grammar, outcome) if len(text) <= _CACHED_LENGTH else _text(text, grammar, outcome)


def compile_condition_text(text: str, grammar: Grammar, *, outcome: bool) -> Compiled:
    """A condition: one expression, with or without delimiters around it.

    Raises:
        ExpressionSyntaxError: with the offset of what is wrong.
    """
    compile_ = _cached_condition if len(text) <= _CACHED_LENGTH else _condition
    return compile_(text, grammar, outcome)


def _text(text: str, grammar: Grammar, outcome: bool) -> Compiled:
    opening = text.find(grammar.opening)
    if opening < 0:
        return Compiled(constant(text), constant=True)
    compiled, position = _delimited(text, opening, grammar, outcome)
    if opening == 0 and position == len(text):
        return compiled
    parts: list[str | Compiled] = [text[:opening], compiled]
    while (opening := text.find(grammar.opening, position)) >= 0:
        parts.append(text[position:opening])
        compiled, position = _delimited(text, opening, grammar, outcome)
        parts.append(compiled)
    parts.append(text[position:])
    expressions = [part for part in parts if isinstance(part, Compiled)]
    return Compiled(
        build.text(tuple(part if isinstance(part, str) else build.located(part) for part in parts)),
        tuple(reference for part in expressions for reference in part.references),
        EMPTY.union(*(part.functions for part in expressions)),
    )


def _condition(text: str, grammar: Grammar, outcome: bool) -> Compiled:
    start = len(text) - len(text.lstrip())
    if start == len(text):
        raise ExpressionSyntaxError("the condition is empty", offset=0, hint="leave it out, or write true or false")
    if not text.startswith(grammar.opening, start):
        return _undelimited(text, grammar, outcome)
    compiled, end = _delimited(text, start, grammar, outcome)
    if text[end:].strip():
        raise ExpressionSyntaxError(
            f"the condition goes on after {grammar.closing!r}, which would make it a text",
            offset=end,
            hint="write the whole condition inside the delimiters, or all of it without them",
        )
    return compiled


_cached_text: Final = functools.lru_cache(maxsize=_CACHED)(_text)
_cached_condition: Final = functools.lru_cache(maxsize=_CACHED)(_condition)


def _delimited(text: str, opening: int, grammar: Grammar, outcome: bool) -> tuple[Compiled, int]:
    """The expression whose opening delimiter stands at `opening`, and the offset behind its closing one."""
    start = opening + len(grammar.opening)
    found = _PATH.match(text, start)
    if found is not None and text.startswith(grammar.closing, found.end()):
        compiled = _plain_path(found, grammar)
        if compiled is not None:
            return compiled, found.end() + len(grammar.closing)
    if text[start : start + 1] in ("-", "+") and text[start + 1 : start + 2].isspace():
        raise ExpressionSyntaxError(
            "white space is not controlled here",
            offset=start,
            hint=f"leave the {text[start]!r} out, or write a negative value as {grammar.opening} -x {grammar.closing}",
        )
    if text.find(grammar.closing, start) < 0:
        _refuse_unclosed(opening, grammar)
    simple = compile_simple(text, start, grammar.closing, grammar, outcome=outcome)
    if simple is not None:
        return simple[0], simple[1] + len(grammar.closing)
    tokens, end = tokenize(text, start, grammar.closing)
    if end == len(text):
        _refuse_unclosed(opening, grammar)
    return _compile(text, tokens, start, end, grammar, outcome), end + len(grammar.closing)


def _undelimited(text: str, grammar: Grammar, outcome: bool) -> Compiled:
    found = _PATH.fullmatch(text)
    compiled = _plain_path(found, grammar) if found is not None else None
    if compiled is not None:
        return compiled
    simple = compile_simple(text, 0, "", grammar, outcome=outcome)
    if simple is not None:
        return simple[0]
    tokens, end = tokenize(text, 0, "")
    return _compile(text, tokens, 0, end, grammar, outcome)


def _compile(text: str, tokens: list[Token], start: int, end: int, grammar: Grammar, outcome: bool) -> Compiled:
    # Imported here, because it brings Jinja: most definitions hold little more than simple expressions.
    from stepwell.expression.compiler import compile_expression

    return compile_expression(tokens, start, end, grammar, outcome=outcome)._replace(source=text[start:end].strip())


def _plain_path(found: re.Match[str], grammar: Grammar) -> Compiled | None:
    """A plain path, which most expressions are; None when it is something else after all."""
    written = found["root"]
    if written in WORDS or len(found["path"]) > MAX_EXPRESSION:
        return None
    root = grammar.aliases.get(written, written)
    keys = keys_of(found["keys"])
    references = (Reference((root, *keys), (), found.start("path")),)
    if root != grammar.secrets:
        return Compiled(path(root, keys, written), references, source=found["path"])
    if len(keys) == 1 and isinstance(keys[0], str):
        return Compiled(constant(SecretRef(keys[0])), references, constant=True, source=found["path"])
    return None


def _refuse_unclosed(opening: int, grammar: Grammar) -> NoReturn:
    raise ExpressionSyntaxError(
        f"this {grammar.opening!r} is not closed",
        offset=opening,
        hint=f"close it with {grammar.closing!r}; the characters themselves are written "
        f"{grammar.opening} '{grammar.opening}' {grammar.closing}",
    )
