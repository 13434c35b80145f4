"""Regular expressions of YAQL, of which the native language knows `match` and `regex_replace`."""

from __future__ import annotations

from jinja2 import nodes

from stepwell.dialects.orquesta.truth import call

_BEFORE = "(?s)^.*?("
_BEHIND = ").*$"
_FIRST = "\\1"


def found_in(text: nodes.Expr, pattern: nodes.Expr, at: int) -> nodes.Expr:
    """Whether the pattern is found in the text."""
    return call("match", at, text, pattern)


def first_in(text: nodes.Expr, pattern: nodes.Expr, at: int) -> nodes.Expr:
    """What of the text is the first that has the form of the pattern, null when nothing is."""
    around = nodes.Add(nodes.Add(nodes.Const(_BEFORE), pattern, lineno=at), nodes.Const(_BEHIND), lineno=at)
    kept = call("regex_replace", at, text, around, nodes.Const(_FIRST))
    return nodes.CondExpr(found_in(text, pattern, at), kept, nodes.Const(None), lineno=at)


def searched(node: nodes.Expr) -> tuple[nodes.Expr, nodes.Expr] | None:
    """The text and the pattern of what `first_in` made."""
    match node:
        case nodes.CondExpr(test=nodes.Call(args=[text, pattern]), expr2=nodes.Const(value=None)):
            return (text, pattern) if node == first_in(text, pattern, 0) else None
        case _:
            return None
