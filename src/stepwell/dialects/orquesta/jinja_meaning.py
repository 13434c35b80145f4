"""What Jinja expressions of Orquesta mean in the native language, whose grammar is the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.base.suggest import hint_for
from stepwell.dialects.language import exchanged, read_expression, refuse
from stepwell.dialects.orquesta.names import as_path, outcome_call, secret_of, status_of
from stepwell.dialects.orquesta.truth import both, call, either, holds

Meaning = Callable[[nodes.Expr, list[nodes.Expr], int], nodes.Expr]
"""The native form of what is done with a value: the value, further arguments, the offset."""

_CALLS: Final = (
    "ctx", "item", "result", "succeeded", "failed", "completed", "task_status", "task", "json", "zip", "st2kv",
)  # fmt: skip
_CONSTANTS: Final = frozenset({"true", "false", "none", "True", "False", "None"})


def read_jinja(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
    """The native tree of a Jinja expression; a `Reader` of `stepwell.dialects.language`."""
    tree, end = read_expression(text, start, closing)
    return exchanged(tree, _change), end


def _change(node: nodes.Expr) -> nodes.Expr:
    match node:
        case nodes.Name():
            if node.name in _CONSTANTS:
                return node
            return refuse(f"{node.name!r} is not known here", node, f"a variable is read with `ctx('{node.name}')`")
        case nodes.Call():
            return _call(node)
        case nodes.Filter():
            assert node.node is not None, "only a block has a filter without a value"
            return _named(_FILTERS, "the filter", node.name, node.node, node)
        case nodes.And():
            return both(node.left, node.right, node.lineno)
        case nodes.Or():
            return either(node.left, node.right, node.lineno)
        case nodes.Not():
            return nodes.Not(holds(node.node), lineno=node.lineno)
        case nodes.CondExpr():
            return nodes.CondExpr(holds(node.test), node.expr1, node.expr2, lineno=node.lineno)
        case _:
            return node


def _call(node: nodes.Call) -> nodes.Expr:
    if isinstance(node.node, nodes.Getattr):
        return _named(_METHODS, "the method", node.node.attr, node.node.node, node)
    if not isinstance(node.node, nodes.Name):
        refuse("only functions can be called, by their names", node)
    name, args, at = node.node.name, list(node.args), node.node.lineno
    if name == "st2kv":
        return _secret(node)
    if node.kwargs:
        refuse(f"{name}() takes no named arguments here", node.node)
    match name, args:
        case "ctx" | "item", [] | [_]:
            base = nodes.Name("vars" if name == "ctx" else "item", "load", lineno=at)
            return as_path(base, args[0]) if args else base
        case "succeeded" | "failed" | "completed" | "result", []:
            return outcome_call(name, at)
        case "task_status" | "task_state", [task]:
            return status_of(as_path(nodes.Name("steps", "load", lineno=at), task), at)
        case "task", [task]:
            return as_path(nodes.Name("steps", "load", lineno=at), task)
        case "json", [value]:
            is_object = nodes.Test(value, "object", [], [], None, None, lineno=at)
            return nodes.CondExpr(is_object, value, call("from_json", at, value), lineno=at)
        case "zip", [only]:
            return only
        case "zip", [_, *_]:
            return call("zip_longest", at, *args)
        case "range", [_, *_]:
            return call("range", at, *args)
        case _:
            return refuse(f"{name}() is not known here, or not with these arguments", node.node, hint_for(name, _CALLS))


def _secret(node: nodes.Call) -> nodes.Expr:
    named = {each.key for each in node.kwargs}
    match node.args:
        case [nodes.Const(value=str() as key)] if named <= {"decrypt"}:
            return secret_of(key, node.lineno)
        case _:
            return refuse("st2kv() takes the name of a key, and perhaps `decrypt=true`", node.node)


def _named(
    known: Mapping[str, Meaning], what: str, name: str, value: nodes.Expr, node: nodes.Call | nodes.Filter
) -> nodes.Expr:
    meaning = known.get(name)
    if meaning is None:
        refuse(f"{what} {name!r} is not known here", node, hint_for(name, known))
    args = list(node.args)
    for keyword in node.kwargs:
        if not isinstance(keyword, nodes.Keyword) or (name, keyword.key) not in _KEYWORDS:
            refuse(f"{what} {name!r} takes no named arguments here", node)
        args.append(keyword.value)
    return meaning(value, args, node.lineno)


_KEYWORDS: Final = frozenset(
    {("map", "attribute"), ("sort", "attribute"), ("unique", "attribute"), ("default", "boolean")}
)
"""Arguments that may be named."""


def _plain(native: str, most: int = 0, least: int = 0) -> Meaning:
    def read(value: nodes.Expr, args: list[nodes.Expr], at: int) -> nodes.Expr:
        if not least <= len(args) <= most:
            refuse(f"{least} to {most} arguments are known here; saw {len(args)}", nodes.Const(None, lineno=at))
        return call(native, at, value, *args)

    return read


def _default(value: nodes.Expr, args: list[nodes.Expr], at: int) -> nodes.Expr:
    """Of what is undefined, and with `true` behind it of what counts as false."""
    otherwise: nodes.Expr = args[0] if args else nodes.Const("", lineno=at)
    defined: nodes.Expr = nodes.Test(value, "defined", [], [], None, None, lineno=at)
    if len(args) == 2 and isinstance(args[1], nodes.Const) and args[1].value is True:
        defined = nodes.And(defined, holds(value), lineno=at)
    elif len(args) > 1:
        refuse("`default` takes a value, and perhaps `true`", nodes.Const(None, lineno=at))
    return nodes.CondExpr(defined, value, otherwise, lineno=at)


def _get(value: nodes.Expr, args: list[nodes.Expr], at: int) -> nodes.Expr:
    if not 1 <= len(args) <= 2:
        refuse("`get` takes a key, and perhaps a value", nodes.Const(None, lineno=at))
    has = nodes.Compare(args[0], [nodes.Operand("in", value)], lineno=at)
    otherwise = args[1] if len(args) == 2 else nodes.Const(None, lineno=at)
    return nodes.CondExpr(has, nodes.Getitem(value, args[0], "load", lineno=at), otherwise, lineno=at)


def _joined_by(value: nodes.Expr, args: list[nodes.Expr], at: int) -> nodes.Expr:
    """`separator.join(list)`"""
    if len(args) != 1:
        refuse("`join` takes a list", nodes.Const(None, lineno=at))
    return call("join", at, args[0], value)


_FILTERS: Final[Mapping[str, Meaning]] = {
    "length": _plain("length"),
    "count": _plain("length"),
    "upper": _plain("upper"),
    "lower": _plain("lower"),
    "trim": _plain("trim", 1),
    "replace": _plain("replace", 2, 2),
    "join": _plain("join", 1),
    "first": _plain("first"),
    "last": _plain("last"),
    "list": _plain("list"),
    "int": _plain("int"),
    "float": _plain("float"),
    "abs": _plain("abs"),
    "sum": _plain("sum"),
    "max": _plain("max"),
    "min": _plain("min"),
    "unique": _plain("unique", 1),
    "sort": _plain("sort", 1),
    "reverse": _plain("reversed"),
    "map": _plain("map", 1, 1),
    "string": _plain("python_text"),
    "tojson": _plain("to_json"),
    "to_json_string": _plain("to_json"),
    "from_json_string": _plain("from_json"),
    "default": _default,
    "d": _default,
}
"""What is known behind `|`."""

_METHODS: Final[Mapping[str, Meaning]] = {
    "get": _get,
    "keys": _plain("keys"),
    "values": _plain("values"),
    "split": _plain("split", 1),
    "join": _joined_by,
    "strip": _plain("trim", 1),
    "lower": _plain("lower"),
    "upper": _plain("upper"),
    "replace": _plain("replace", 2, 2),
    "startswith": _plain("starts_with", 1, 1),
    "endswith": _plain("ends_with", 1, 1),
}
"""What is called on a value, as in Python."""

KNOWN: Final[tuple[Any, ...]] = (tuple(_FILTERS), tuple(_METHODS))
"""The names of the filters and of the methods, for the reference."""
