"""The names that expressions of Orquesta read, and what they are in the native language."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.definition.shapes import NAME
from stepwell.dialects.language import refuse
from stepwell.dialects.orquesta.truth import call
from stepwell.expression.unparsing import quoted

STATUS_WORDS: Final = {
    "pending": "null",
    "running": "running",
    "retrying": "retrying",
    "waiting": "running",
    "completed": "succeeded",
    "compensated": "succeeded",
    "failed": "failed",
    "skipped": "null",
    "cancelled": "canceled",
}
"""Statuses of steps by our word, and the word that Orquesta has for a task."""

_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)


def as_path(base: nodes.Expr, key: nodes.Expr, at: int | None = None) -> nodes.Expr:
    """`base.key` when the key is a name that is written out, else `base[key]`."""
    if isinstance(key, nodes.Const) and isinstance(key.value, str) and _IDENTIFIER.fullmatch(key.value):
        return nodes.Getattr(base, key.value, "load", lineno=at if at is not None else base.lineno)
    return nodes.Getitem(base, key, "load", lineno=at if at is not None else base.lineno)


def secret_of(key: str, at: int | None) -> nodes.Expr:
    """The secret that `st2kv(key)` reads; the scope in front of the name, `system.` or `user.`, is left out.

    Raises:
        ExpressionSyntaxError: no secret can be called so.
    """
    name = key.removeprefix("system.").removeprefix("user.")
    if not NAME.fullmatch(name):
        refuse(f"{key!r} is no name of a secret; letters, digits, `_` and `-` make one", nodes.Const(None, lineno=at))
    return as_path(nodes.Name("secrets", "load", lineno=at), nodes.Const(name, lineno=at))


def status_of(step: nodes.Expr, at: int | None) -> nodes.Expr:
    """The status of a step in the words of Orquesta."""
    words = [nodes.Pair(nodes.Const(ours), nodes.Const(theirs)) for ours, theirs in STATUS_WORDS.items()]
    return nodes.Getitem(nodes.Dict(words), nodes.Getattr(step, "status", "load", lineno=at), "load", lineno=at)


def outcome_call(name: str, at: int | None) -> nodes.Expr:
    """`succeeded()`, `failed()`, `completed()` or `result()`."""
    if name == "completed":
        return nodes.Or(call("succeeded", at), call("failed", at), lineno=at)
    return call(name, at)


def literal(value: Any) -> str:
    """A JSON value as an expression."""
    if isinstance(value, list):
        return f"[{', '.join(literal(each) for each in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{quoted(key)}: {literal(each)}' for key, each in value.items())}}}"
    if isinstance(value, str):
        return quoted(value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value]
    return repr(value)
