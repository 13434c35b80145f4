"""`let(name => value, ...) -> expression`: the expression with the values in the place of their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Final

from jinja2 import nodes

from stepwell.dialects.language import refuse
from stepwell.dialects.orquesta.yaql_tree import Binary, Call, Dollar, Property, Word, Yaql

_QUERIES: Final = frozenset({"select", "where", "filter", "any", "all", "toDict", "orderBy", "orderByDescending"})
"""Methods in whose arguments `$` is an item."""


def with_values(tree: Binary) -> Yaql:
    """What stands behind `->`, with the values of `let` in it.

    A value is read as `$name`. The documentation of Orquesta writes `$.name` also where `$` is an item; that is the
    item's own field when it has one of that name, else the value.

    Raises:
        ExpressionSyntaxError: something else than `let` with named values stands in front of `->`.
    """
    given = tree.left
    if not isinstance(given, Call) or given.name != "let" or given.target is not None or given.args:
        refuse("in front of `->` stands `let(name => value)`", nodes.Const(None, lineno=tree.at))
    values: dict[str, Yaql] = {}
    for name, value in given.pairs:
        if not isinstance(name, Word):
            refuse("a value of `let` has a name", nodes.Const(None, lineno=name.at))
        values[name.name] = value
    found: Yaql = _replaced(tree.right, values, query=False)
    return found


def _replaced(part: Any, values: Mapping[str, Yaql], *, query: bool) -> Any:
    match part:
        case tuple():
            return tuple(_replaced(each, values, query=query) for each in part)
        case Dollar(name=name) if name in values:
            return values[name]
        case Property(target=Dollar(name=""), name=name, at=at) if name in values:
            item = Call("get", part.target, (Word(name, at), values[name]), (), at)
            return item if query else values[name]
        case Call():
            inside = query or part.name in _QUERIES
            return replace(
                part,
                target=_replaced(part.target, values, query=query),
                args=_replaced(part.args, values, query=inside),
                pairs=_replaced(part.pairs, values, query=inside),
            )
        case str() | int() | float() | None:
            return part
        case _:
            changed = {each.name: _replaced(getattr(part, each.name), values, query=query) for each in fields(part)}
            return replace(part, **changed)
