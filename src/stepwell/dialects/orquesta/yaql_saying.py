"""Native expressions as YAQL: the opposite of `yaql_meaning`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.dialects.language import refuse
from stepwell.dialects.orquesta.names import STATUS_WORDS
from stepwell.dialects.orquesta.patterns import searched
from stepwell.dialects.orquesta.truth import holds, is_boolean

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN, _POSTFIX = range(8)
"""How tightly a form binds."""

_Said = tuple[str, int]
_IDENTIFIER: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_ESCAPES: Final = str.maketrans({"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r"})
_COMPARED: Final = {"eq": "=", "ne": "!=", "lt": "<", "gt": ">", "lteq": "<=", "gteq": ">=", "in": "in"}
_TESTS: Final = {
    "string": "isString",
    "integer": "isInteger",
    "number": "isNumber",
    "boolean": "isBoolean",
    "list": "isList",
    "object": "isDict",
    "mapping": "isDict",
}
_NULLS: Final = frozenset({"null", "none"})
_RESULTS: Final = frozenset({"result", "output"})


def say_yaql(tree: nodes.Expr, *, condition: bool = False) -> str:
    """The text of an expression, without delimiters.

    Args:
        condition: only whether it holds matters.

    Raises:
        ExpressionSyntaxError: YAQL, as far as it is known here, cannot say it.
    """
    return _condition(tree, _OR) if condition else _said(tree, _OR)


def _said(node: nodes.Node, level: int) -> str:
    """The text of an operand, in brackets when it binds less tightly than `level`."""
    form = _FORMS.get(type(node))
    if form is None:
        refuse(f"{type(node).__name__} cannot be written in YAQL", node)
    text, own = form(node)
    return text if own >= level else f"({text})"


def _condition(node: nodes.Expr, level: int) -> str:
    """A value of which only matters whether it holds."""
    if isinstance(node, nodes.Call) and _called(node) == "filled" and len(node.args) == 1:
        return _said(node.args[0], level)
    if isinstance(node, nodes.And | nodes.Or) and not _is_completed(node):
        sign, own = ("and", _AND) if isinstance(node, nodes.And) else ("or", _OR)
        text = f"{_condition(node.left, own)} {sign} {_condition(node.right, own + 1)}"
        return text if own >= level else f"({text})"
    return _said(node, level)


def _quoted(text: str) -> str:
    return f"'{text.translate(_ESCAPES)}'"


def _key(node: nodes.Expr) -> str:
    """A key of `ctx` and the like: a bare word when it can be one."""
    value = node.value if isinstance(node, nodes.Const) else None
    if isinstance(value, str) and _IDENTIFIER.fullmatch(value) and value not in _RESERVED:
        return value
    return _said(node, _OR)


_RESERVED: Final = frozenset({"and", "or", "not", "in", "mod", "true", "false", "null"})


def _const(node: nodes.Const) -> _Said:
    value: Any = node.value
    if isinstance(value, str):
        return _quoted(value), _POSTFIX
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value], _POSTFIX
    return repr(value), _SIGN if value < 0 else _POSTFIX


def _name(node: nodes.Name) -> _Said:
    match node.name:
        case "vars" | "variables" | "input" | "parameters":
            return "ctx()", _POSTFIX
        case "item":
            return "item()", _POSTFIX
        case "it":
            return "$", _POSTFIX
        case "response" | "result":
            return "result()", _POSTFIX
        case "null":
            return "null", _POSTFIX
        case other:
            return refuse(f"`{other}` is not known to Orquesta", node)


def _getattr(node: nodes.Getattr) -> _Said:
    return _member(node.node, nodes.Const(node.attr), node)


def _getitem(node: nodes.Getitem) -> _Said:
    if isinstance(node.arg, nodes.Slice):
        refuse("a slice cannot be written in YAQL", node)
    task = _status_asked(node)
    if task is not None:
        return f"task_status({_key(task)})", _POSTFIX
    return _member(node.node, node.arg, node)


def _member(base: nodes.Expr, key: nodes.Expr, node: nodes.Expr) -> _Said:
    word = _key(key)
    if isinstance(base, nodes.Name) and base.name in ("vars", "variables", "input", "parameters"):
        return f"ctx({word})", _POSTFIX
    if isinstance(base, nodes.Name) and base.name == "item":
        return f"item({word})", _POSTFIX
    if isinstance(base, nodes.Name) and base.name == "secrets":
        return f"st2kv({_said(key, _OR)})", _POSTFIX
    task = _task(base)
    if task is not None:
        field = key.value if isinstance(key, nodes.Const) else None
        if field not in _RESULTS:
            refuse(f"`{field}` of a step is not known to Orquesta", node)
        return f"task({_key(task)}).result", _POSTFIX
    text = _said(base, _POSTFIX)
    is_word = isinstance(key, nodes.Const) and word == key.value and isinstance(node, nodes.Getattr)
    return f"{text}.{word}" if is_word else f"{text}[{_said(key, _OR)}]", _POSTFIX


def _task(node: nodes.Expr) -> nodes.Expr | None:
    """The name of the step that `steps.NAME` reads."""
    is_member = isinstance(node, nodes.Getattr | nodes.Getitem) and isinstance(node.node, nodes.Name)
    if not is_member or node.node.name not in ("steps", "task", "tasks"):  # type: ignore[attr-defined]
        return None
    return nodes.Const(node.attr) if isinstance(node, nodes.Getattr) else node.arg  # type: ignore[attr-defined]


def _status_asked(node: nodes.Getitem) -> nodes.Expr | None:
    """The name of the task whose status is looked up in our words for it."""
    if not isinstance(node.node, nodes.Dict) or not isinstance(node.arg, nodes.Getattr) or node.arg.attr != "status":
        return None
    words = {pair.key.value: pair.value.value for pair in node.node.items
             if isinstance(pair.key, nodes.Const) and isinstance(pair.value, nodes.Const)}  # fmt: skip
    return _task(node.arg.node) if words == STATUS_WORDS else None


def _list(node: nodes.List | nodes.Tuple) -> _Said:
    return f"[{', '.join(_said(item, _OR) for item in node.items)}]", _POSTFIX


def _dict(node: nodes.Dict) -> _Said:
    pairs = ", ".join(f"{_said(pair.key, _OR)} => {_said(pair.value, _OR)}" for pair in node.items)
    return f"{{{pairs}}}", _POSTFIX


def _not(node: nodes.Not) -> _Said:
    if isinstance(node.node, nodes.Test) and node.node.name in _NULLS:
        return f"{_said(node.node.node, _SUM)} != null", _COMPARE
    return f"not {_condition(node.node, _NOT)}", _NOT


def _signed(sign: str) -> Callable[[Any], _Said]:
    return lambda node: (f"{sign}{_said(node.node, _POSTFIX)}", _SIGN)


def _binary(sign: str, level: int) -> Callable[[Any], _Said]:
    return lambda node: (f"{_said(node.left, level)} {sign} {_said(node.right, level + 1)}", level)


def _div(node: nodes.Div) -> _Said:
    return f"float({_said(node.left, _OR)}) / {_said(node.right, _SIGN)}", _PRODUCT


def _or(node: nodes.Or) -> _Said:
    if _is_completed(node):
        return "completed()", _POSTFIX
    return f"{_said(node.left, _OR)} or {_said(node.right, _AND)}", _OR


def _is_completed(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Or) and (_called(node.left), _called(node.right)) == ("succeeded", "failed")


def _compare(node: nodes.Compare) -> _Said:
    parts: list[str] = []
    left: nodes.Expr = node.expr
    for operand in node.ops:
        sign = _COMPARED.get(operand.op)
        if sign is None:
            parts.append(f"not {_said(left, _SUM)} in {_said(operand.expr, _SUM)}")
        else:
            parts.append(f"{_said(left, _SUM)} {sign} {_said(operand.expr, _SUM)}")
        left = operand.expr
    is_plain = len(parts) == 1 and node.ops[0].op in _COMPARED
    return " and ".join(parts), _COMPARE if is_plain else _NOT if len(parts) == 1 else _AND


def _test(node: nodes.Test) -> _Said:
    if node.name in _NULLS:
        return f"{_said(node.node, _SUM)} = null", _COMPARE
    known = _TESTS.get(node.name)
    if known is None:
        refuse(f"`is {node.name}` cannot be written in YAQL", node)
    return f"{known}({_said(node.node, _OR)})", _POSTFIX


# ── What `a if c else b` was made of ─────────────────────────────────────────────────────────────────────────────────


def _conditional(node: nodes.CondExpr) -> _Said:
    for known in _KNOWN:
        found = known(node)
        if found is not None:
            return found
    return _switch(node), _POSTFIX


def _junction(node: nodes.CondExpr) -> _Said | None:
    """`a and b`, `a or b`, of values that are not only true or false."""
    if node.expr2 is None:
        return None
    if node.test == holds(node.expr2) and not is_boolean(node.expr2):
        return f"{_said(node.expr2, _AND)} and {_said(node.expr1, _NOT)}", _AND
    if node.test == holds(node.expr1) and not is_boolean(node.expr1):
        return f"{_said(node.expr1, _OR)} or {_said(node.expr2, _AND)}", _OR
    return None


def _got(node: nodes.CondExpr) -> _Said | None:
    match node:
        case nodes.CondExpr(
            test=nodes.Compare(expr=key, ops=[nodes.Operand(op="in", expr=target)]),
            expr1=nodes.Getitem(node=base, arg=asked),
            expr2=nodes.Expr() as default,
        ) if key == asked and base == target:
            more = "" if default == nodes.Const(None) else f", {_said(default, _OR)}"
            return f"{_said(target, _POSTFIX)}.get({_key(key)}{more})", _POSTFIX
        case _:
            return None


def _ended(node: nodes.CondExpr) -> _Said | None:
    """`.first(default)` and `.last(default)`."""
    match node:
        case nodes.CondExpr(
            test=nodes.Compare(expr=nodes.Call(args=[target]) as call, ops=[nodes.Operand(op="gt")]),
            expr1=nodes.Getitem(node=base, arg=number),
            expr2=nodes.Expr() as default,
        ) if _called(call) == "length" and base == target:
            name = {0: "first", -1: "last"}.get(_number(number))
            if name is None:
                return None
            return f"{_said(target, _POSTFIX)}.{name}({_said(default, _OR)})", _POSTFIX
        case _:
            return None


def _number(node: nodes.Node) -> Any:
    if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const):
        return -node.node.value
    return node.value if isinstance(node, nodes.Const) else None


def _coalesced(node: nodes.CondExpr) -> _Said | None:
    match node:
        case nodes.CondExpr(
            test=nodes.Not(node=nodes.Test(name="null", node=asked)), expr1=value, expr2=nodes.Expr() as rest
        ):
            if asked != value:
                return None
            inner = _coalesced(rest) if isinstance(rest, nodes.CondExpr) else None
            more = inner[0].removeprefix("coalesce(").removesuffix(")") if inner is not None else _said(rest, _OR)
            return f"coalesce({_said(value, _OR)}, {more})", _POSTFIX
        case _:
            return None


def _json(node: nodes.CondExpr) -> _Said | None:
    match node:
        case nodes.CondExpr(test=nodes.Test(name="object", node=asked), expr2=nodes.Call(args=[text]) as call):
            return (f"json({_said(text, _OR)})", _POSTFIX) if _called(call) == "from_json" and asked == text else None
        case _:
            return None


def _joined(node: nodes.CondExpr) -> _Said | None:
    match node:
        case nodes.CondExpr(test=nodes.Test(name="list", node=target), expr1=nodes.Call(args=[first, other]) as call):
            is_join = _called(call) == "join" and first == target
            return (f"{_said(target, _POSTFIX)}.join({_said(other, _OR)})", _POSTFIX) if is_join else None
        case _:
            return None


def _first_found(node: nodes.CondExpr) -> _Said | None:
    parts = searched(node)
    if parts is None:
        return None
    return f"regex({_said(parts[1], _OR)}).search({_said(parts[0], _OR)})", _POSTFIX


def _switch(node: nodes.CondExpr) -> str:
    cases: list[str] = []
    rest: nodes.Expr | None = node
    while isinstance(rest, nodes.CondExpr) and (not cases or not _is_known(rest)):
        cases.append(f"{_condition(rest.test, _OR)} => {_said(rest.expr1, _OR)}")
        rest = rest.expr2
    if rest is not None and rest != nodes.Const(None):
        cases.append(f"true => {_said(rest, _OR)}")
    return f"switch({', '.join(cases)})"


def _is_known(node: nodes.CondExpr) -> bool:
    return any(known(node) is not None for known in _KNOWN)


_KNOWN: Final = (_junction, _got, _ended, _coalesced, _json, _joined, _first_found)


# ── Calls ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _called(node: nodes.Node) -> str:
    return node.node.name if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) else ""


def _filter(node: nodes.Filter) -> _Said:
    """`x | f(y)` means `f(x, y)`."""
    assert node.node is not None, "only a block has a filter without a value"
    name = nodes.Name(node.name, "load", lineno=node.lineno)
    return _call(nodes.Call(name, [node.node, *node.args], node.kwargs, None, None, lineno=node.lineno))


def _call(node: nodes.Call) -> _Said:
    name, args = _called(node), list(node.args)
    keywords = {each.key: each.value for each in node.kwargs}
    special = _SPECIAL.get(name)
    if special is not None:
        return special(args, keywords, node)
    if keywords:
        refuse(f"{name}() with named arguments cannot be written in YAQL", node)
    if name in _FUNCTIONS:
        return f"{_FUNCTIONS[name]}({', '.join(_said(each, _OR) for each in args)})", _POSTFIX
    if name in _METHODS and args:
        rest = ", ".join(_said(each, _OR) for each in args[1:])
        return f"{_said(args[0], _POSTFIX)}.{_METHODS[name]}({rest})", _POSTFIX
    return refuse(f"{name}() cannot be written in YAQL", node)


Special = Callable[[list[nodes.Expr], dict[str, nodes.Expr], nodes.Call], _Said]


def _query(name: str, *, condition: bool) -> Special:
    def say(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
        inner = _condition(args[1], _OR) if condition else _said(args[1], _OR)
        return f"{_said(args[0], _POSTFIX)}.{name}({inner})", _POSTFIX

    return say


def _filled(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    return f"bool({_said(args[0], _OR)})", _POSTFIX


def _quotient(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    return f"{_said(args[0], _PRODUCT)} / {_said(args[1], _SIGN)}", _PRODUCT


def _merge(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    if len(args) != 2 or not any(isinstance(each, nodes.Dict) for each in args):
        refuse("merge() of objects that are not written out cannot be written in YAQL", node)
    return f"{_said(args[0], _SUM)} + {_said(args[1], _PRODUCT)}", _SUM


def _slice(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    target = _said(args[0], _POSTFIX)
    start = args[1] if len(args) > 1 else keywords.get("start", nodes.Const(0))
    end = args[2] if len(args) > 2 else keywords.get("end")
    if end is None:
        return f"{target}.skip({_said(start, _OR)})", _POSTFIX
    if start == nodes.Const(0):
        return f"{target}.take({_said(end, _OR)})", _POSTFIX
    first, last = _number(start), _number(end)
    if not isinstance(first, int) or not isinstance(last, int) or not 0 <= first <= last:
        refuse("such a slice cannot be written in YAQL", node)
    return f"{target}.substring({first}, {last - first})", _POSTFIX


def _sort(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    by = args[1] if len(args) > 1 else keywords.get("attribute")
    reverse = args[2] if len(args) > 2 else keywords.get("reverse")
    if by is not None and not isinstance(by, nodes.Const):
        refuse("an order by a computed field cannot be written in YAQL", node)
    field = f"$.{by.value}" if isinstance(by, nodes.Const) else "$"
    name = "orderByDescending" if reverse == nodes.Const(True) else "orderBy"
    return f"{_said(args[0], _POSTFIX)}.{name}({field})", _POSTFIX


def _flat(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    return f"{_said(args[0], _POSTFIX)}.flatten()", _POSTFIX


def _extreme(name: str) -> Special:
    def say(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
        if len(args) == 1:
            return f"{_said(args[0], _POSTFIX)}.{name}()", _POSTFIX
        return f"{name}({', '.join(_said(each, _OR) for each in args)})", _POSTFIX

    return say


def _mapped(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    by = args[1] if len(args) > 1 else keywords.get("attribute")
    if not isinstance(by, nodes.Const):
        refuse("map() of a computed field cannot be written in YAQL", node)
    return f"{_said(args[0], _POSTFIX)}.select($.{by.value})", _POSTFIX


def _match(args: list[nodes.Expr], keywords: dict[str, nodes.Expr], node: nodes.Call) -> _Said:
    return f"regex({_said(args[1], _OR)}).matches({_said(args[0], _OR)})", _POSTFIX


_SPECIAL: Final[Mapping[str, Special]] = {
    "filled": _filled,
    "quotient": _quotient,
    "merge": _merge,
    "slice": _slice,
    "sort": _sort,
    "flat": _flat,
    "max": _extreme("max"),
    "min": _extreme("min"),
    "map": _mapped,
    "select": _query("select", condition=False),
    "where": _query("where", condition=True),
    "any_of": _query("any", condition=True),
    "all_of": _query("all", condition=True),
    "match": _match,
}
_FUNCTIONS: Final = {
    "succeeded": "succeeded",
    "failed": "failed",
    "result": "result",
    "literal": "str",
    "string": "str",
    "int": "int",
    "float": "float",
    "bool": "bool",
    "abs": "abs",
    "range": "range",
    "from_pairs": "dict",
    "from_json": "json",
    "zip_longest": "zip",
    "zip": "zip",
    "coalesce": "coalesce",
}
_METHODS: Final = {
    "length": "len",
    "keys": "keys",
    "values": "values",
    "contains": "contains",
    "index_of": "indexOf",
    "sum": "sum",
    "unique": "distinct",
    "reversed": "reverse",
    "list": "toList",
    "split": "split",
    "join": "join",
    "replace": "replace",
    "trim": "trim",
    "upper": "toUpper",
    "lower": "toLower",
    "starts_with": "startsWith",
    "ends_with": "endsWith",
    "first": "first",
    "last": "last",
}
_FORMS: Final[dict[type[nodes.Node], Callable[[Any], _Said]]] = {
    nodes.Const: _const,
    nodes.Name: _name,
    nodes.Getattr: _getattr,
    nodes.Getitem: _getitem,
    nodes.List: _list,
    nodes.Tuple: _list,
    nodes.Dict: _dict,
    nodes.Not: _not,
    nodes.Neg: _signed("-"),
    nodes.Pos: _signed("+"),
    nodes.Add: _binary("+", _SUM),
    nodes.Sub: _binary("-", _SUM),
    nodes.Mul: _binary("*", _PRODUCT),
    nodes.Mod: _binary("mod", _PRODUCT),
    nodes.Div: _div,
    nodes.And: _binary("and", _AND),
    nodes.Or: _or,
    nodes.Compare: _compare,
    nodes.Test: _test,
    nodes.CondExpr: _conditional,
    nodes.Filter: _filter,
    nodes.Call: _call,
}
