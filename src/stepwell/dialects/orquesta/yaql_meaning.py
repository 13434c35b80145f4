"""What YAQL expressions mean in the native language: the subset that is known, function by function.

Everything else is refused with its place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from jinja2 import nodes

from stepwell.base.suggest import hint_for
from stepwell.dialects.language import refuse
from stepwell.dialects.orquesta.names import as_path, outcome_call, secret_of, status_of
from stepwell.dialects.orquesta.patterns import first_in, found_in
from stepwell.dialects.orquesta.truth import both, call, either, holds
from stepwell.dialects.orquesta.yaql_let import with_values
from stepwell.dialects.orquesta.yaql_parsing import parse_yaql
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

Meaning = Callable[[Call, bool], nodes.Expr]
"""The native form of a call; the flag says whether it stands inside a query, where `$` is an item."""

_COMPARED: Final = {"=": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "lteq", ">=": "gteq", "in": "in"}
_ARITHMETIC: Final = {"-": nodes.Sub, "*": nodes.Mul, "mod": nodes.Mod}
_GENERATORS: Final = frozenset({"range", "select", "where", "distinct", "take", "limit", "skip", "keys", "values"})
"""What gives a sequence whose items `list` takes one by one."""


def read_yaql(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
    """The native tree of a YAQL expression; a `Reader` of `stepwell.dialects.language`."""
    tree, end = parse_yaql(text, start, closing)
    return meaning(tree), end


def meaning(tree: Yaql, *, query: bool = False) -> nodes.Expr:
    """The native tree that means the same.

    Args:
        query: it is asked of every item of a list, which is `$` there.

    Raises:
        ExpressionSyntaxError: a part of it is not known here.
    """
    match tree:
        case Constant(value, at):
            return _const(value, at)
        case Word(name, at):
            return _const(name, at)
        case Dollar():
            return _item(tree, query)
        case Listed(items, at):
            return nodes.List([meaning(item, query=query) for item in items], lineno=at)
        case Mapped(pairs, at):
            return _object(pairs, at, query)
        case Property(target, name, at):
            return _property(target, name, at, query)
        case Index(target, key, at):
            return as_path(meaning(target, query=query), meaning(key, query=query), at)
        case Unary(sign, operand, at):
            return _unary(sign, meaning(operand, query=query), at)
        case Binary():
            return _binary(tree, query)
        case Call():
            return _call(tree, query)


def _const(value: Any, at: int) -> nodes.Const:
    return nodes.Const(value, lineno=at)


def _item(tree: Dollar, query: bool) -> nodes.Expr:
    if tree.name or not query:
        what = f"`${tree.name}`"
        hint = "variables of the workflow are read with `ctx(name)`"
        refuse(f"{what} stands for nothing here", _const(None, tree.at), hint)
    return nodes.Name("it", "load", lineno=tree.at)


def _object(pairs: tuple[tuple[Yaql, Yaql], ...], at: int, query: bool) -> nodes.Dict:
    made = [nodes.Pair(meaning(key, query=query), meaning(value, query=query), lineno=key.at) for key, value in pairs]
    return nodes.Dict(made, lineno=at)


def _property(target: Yaql, name: str, at: int, query: bool) -> nodes.Expr:
    if isinstance(target, Call) and target.name == "task" and target.target is None:
        field = {"result": "result", "status": "status"}.get(name)
        if field is None:
            refuse(f"{name!r} of a task is not known here", _const(None, at), "`result` and `status` are")
        step = _step(target, query)
        found = nodes.Getattr(step, field, "load", lineno=at)
        return status_of(step, at) if field == "status" else found
    return nodes.Getattr(meaning(target, query=query), name, "load", lineno=at)


def _unary(sign: str, operand: nodes.Expr, at: int) -> nodes.Expr:
    if sign == "not":
        return nodes.Not(holds(operand), lineno=at)
    return (nodes.Neg if sign == "-" else nodes.Pos)(operand, lineno=at)


def _binary(tree: Binary, query: bool) -> nodes.Expr:
    if tree.sign == "->":
        return meaning(with_values(tree), query=query)
    if tree.sign in ("=~", "!~"):
        return _matched(tree, query)
    left, right, at = meaning(tree.left, query=query), meaning(tree.right, query=query), tree.at
    match tree.sign:
        case "and":
            return both(left, right, at)
        case "or":
            return either(left, right, at)
        case "+":
            is_object = isinstance(left, nodes.Dict) or isinstance(right, nodes.Dict)
            return call("merge", at, left, right) if is_object else nodes.Add(left, right, lineno=at)
        case "/":
            return call("quotient", at, left, right)
        case sign if sign in _ARITHMETIC:
            return _ARITHMETIC[sign](left, right, lineno=at)
        case sign:
            return nodes.Compare(left, [nodes.Operand(_COMPARED[sign], right, lineno=at)], lineno=at)


def _call(tree: Call, query: bool) -> nodes.Expr:
    known = _FUNCTIONS if tree.target is None else _METHODS
    found = known.get(tree.name)
    if found is None:
        what = f"{tree.name}()" if tree.target is None else f".{tree.name}()"
        other = _METHODS if tree.target is None else _FUNCTIONS
        hint = _REFUSED.get(tree.name)
        if hint is None and tree.name in other:
            hint = f"write `value.{tree.name}(...)`" if tree.target is None else f"write `{tree.name}(...)`"
        refuse(f"{what} is not known here", _const(None, tree.at), hint or hint_for(tree.name, known))
    return found(tree, query)


_REFUSED: Final = {
    "let": "write `let(name => value) -> expression`",
    "regex": "write `regex(pattern).matches(text)` or `.search(text)`",
    "now": "let a task give the time",
}


# ── How calls are read ───────────────────────────────────────────────────────────────────────────────────────────────


def _arguments(tree: Call, least: int, most: int) -> tuple[Yaql, ...]:
    if tree.pairs:
        refuse(f"{tree.name}() takes no named arguments here", _const(None, tree.pairs[0][0].at))
    if not least <= len(tree.args) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        refuse(f"{tree.name}() takes {wanted} arguments here; saw {len(tree.args)}", _const(None, tree.at))
    return tree.args


def _plain(native: str, least: int, most: int | None = None) -> Meaning:
    """A function, or a method whose target is the first argument, that is called otherwise and means the same."""

    def read(tree: Call, query: bool) -> nodes.Expr:
        args = [meaning(each, query=query) for each in _arguments(tree, least, least if most is None else most)]
        target = [meaning(tree.target, query=query)] if tree.target is not None else []
        return call(native, tree.at, *target, *args)

    return read


def _asked_of_items(native: str, *, condition: bool) -> Meaning:
    """A query: its argument is asked of every item of the target."""

    def read(tree: Call, query: bool) -> nodes.Expr:
        (asked,) = _arguments(tree, 1, 1)
        inner = meaning(asked, query=True)
        return call(native, tree.at, _target(tree, query), holds(inner) if condition else inner)

    return read


def _target(tree: Call, query: bool) -> nodes.Expr:
    assert tree.target is not None, "only methods have this meaning"
    return meaning(tree.target, query=query)


def _test(name: str) -> Meaning:
    def read(tree: Call, query: bool) -> nodes.Expr:
        (value,) = _arguments(tree, 1, 1)
        return nodes.Test(meaning(value, query=query), name, [], [], None, None, lineno=tree.at)

    return read


def _context(tree: Call, query: bool) -> nodes.Expr:
    args = _arguments(tree, 0, 1)
    variables = nodes.Name("vars", "load", lineno=tree.at)
    return as_path(variables, meaning(args[0], query=query)) if args else variables


def _items_item(tree: Call, query: bool) -> nodes.Expr:
    args = _arguments(tree, 0, 1)
    item = nodes.Name("item", "load", lineno=tree.at)
    return as_path(item, meaning(args[0], query=query)) if args else item


def _step(tree: Call, query: bool) -> nodes.Expr:
    (name,) = _arguments(tree, 1, 1)
    return as_path(nodes.Name("steps", "load", lineno=tree.at), meaning(name, query=query))


def _task_status(tree: Call, query: bool) -> nodes.Expr:
    return status_of(_step(tree, query), tree.at)


def _outcome(tree: Call, query: bool) -> nodes.Expr:
    _arguments(tree, 0, 0)
    return outcome_call(tree.name, tree.at)


def _get(tree: Call, query: bool) -> nodes.Expr:
    key, *default = _arguments(tree, 1, 2)
    target, wanted = _target(tree, query), meaning(key, query=query)
    has = nodes.Compare(wanted, [nodes.Operand("in", target)], lineno=tree.at)
    found = nodes.Getitem(target, wanted, "load", lineno=tree.at)
    return nodes.CondExpr(has, found, meaning(default[0], query=query) if default else _const(None, tree.at))


def _end(name: str, position: int) -> Meaning:
    def read(tree: Call, query: bool) -> nodes.Expr:
        default = _arguments(tree, 0, 1)
        target = _target(tree, query)
        if not default:
            return call(name, tree.at, target)
        found = nodes.Getitem(target, _const(position, tree.at), "load", lineno=tree.at)
        if position < 0:
            found = nodes.Getitem(target, nodes.Neg(_const(-position, tree.at)), "load", lineno=tree.at)
        return nodes.CondExpr(_is_longer(target, tree.at), found, meaning(default[0], query=query))

    return read


def _is_longer(target: nodes.Expr, at: int) -> nodes.Expr:
    return nodes.Compare(call("length", at, target), [nodes.Operand("gt", _const(0, at))], lineno=at)


def _any(tree: Call, query: bool) -> nodes.Expr:
    if not tree.args and not tree.pairs:
        return _is_longer(_target(tree, query), tree.at)
    return _asked_of_items("any_of", condition=True)(tree, query)


def _join(tree: Call, query: bool) -> nodes.Expr:
    """Of a list by a separator, or of a separator by a list: which it is, a constant says, or the value itself."""
    (argument,) = _arguments(tree, 1, 1)
    target, other = _target(tree, query), meaning(argument, query=query)
    if isinstance(argument, Constant | Word):
        return call("join", tree.at, target, other)
    if isinstance(tree.target, Constant | Word):
        return call("join", tree.at, other, target)
    is_list = nodes.Test(target, "list", [], [], None, None, lineno=tree.at)
    return nodes.CondExpr(is_list, call("join", tree.at, target, other), call("join", tree.at, other, target))


def _substring(tree: Call, query: bool) -> nodes.Expr:
    args = [meaning(each, query=query) for each in _arguments(tree, 1, 2)]
    numbers = [each.value for each in args if isinstance(each, nodes.Const) and isinstance(each.value, int)]
    if len(numbers) < len(args) or min(numbers) < 0:
        refuse(".substring() takes numbers that are written out, from 0 on", _const(None, tree.at))
    end = [_const(numbers[0] + numbers[1], tree.at)] if len(numbers) == 2 else []
    return call("slice", tree.at, _target(tree, query), args[0], *end)


def _take(tree: Call, query: bool) -> nodes.Expr:
    (count,) = _arguments(tree, 1, 1)
    return call("slice", tree.at, _target(tree, query), _const(0, tree.at), meaning(count, query=query))


def _append(tree: Call, query: bool) -> nodes.Expr:
    items = [meaning(each, query=query) for each in _arguments(tree, 1, 99)]
    return nodes.Add(_target(tree, query), nodes.List(items, lineno=tree.at), lineno=tree.at)


def _set(tree: Call, query: bool) -> nodes.Expr:
    key, value = (meaning(each, query=query) for each in _arguments(tree, 2, 2))
    return call("merge", tree.at, _target(tree, query), nodes.Dict([nodes.Pair(key, value)], lineno=tree.at))


def _flatten(tree: Call, query: bool) -> nodes.Expr:
    _arguments(tree, 0, 0)
    return call("flat", tree.at, _target(tree, query), _const(64, tree.at))


def _order(tree: Call, query: bool) -> nodes.Expr:
    (by,) = _arguments(tree, 1, 1)
    field = _field(by)
    if field is None:
        refuse(f".{tree.name}() orders by `$` or by a field `$.name`", _const(None, tree.at))
    named = [_const(field, tree.at)] if field else []
    ordered = call("sort", tree.at, _target(tree, query), *named)
    if tree.name == "orderByDescending":
        ordered.kwargs = [nodes.Keyword("reverse", _const(True, tree.at), lineno=tree.at)]
    return ordered


def _field(tree: Yaql) -> str | None:
    """`a.b` of `$.a.b`, and nothing of `$`."""
    if isinstance(tree, Property):
        around = _field(tree.target)
        return None if around is None else f"{around}.{tree.name}" if around else tree.name
    return "" if isinstance(tree, Dollar) and not tree.name else None


def _to_dict(tree: Call, query: bool) -> nodes.Expr:
    args = [meaning(each, query=True) for each in _arguments(tree, 1, 2)]
    pair = nodes.List([args[0], args[1] if len(args) == 2 else nodes.Name("it", "load", lineno=tree.at)])
    return call("from_pairs", tree.at, call("select", tree.at, _target(tree, query), pair))


def _list(tree: Call, query: bool) -> nodes.Expr:
    args = _arguments(tree, 0, 99)
    sequences = [each for each in args if isinstance(each, Call) and each.name in _GENERATORS]
    if sequences and len(args) == 1:
        return meaning(args[0], query=query)
    if sequences:
        refuse("list() takes a sequence alone, or values", _const(None, sequences[0].at), "join lists with +")
    return nodes.List([meaning(each, query=query) for each in args], lineno=tree.at)


def _dict(tree: Call, query: bool) -> nodes.Expr:
    if tree.pairs or not tree.args:
        if tree.args:
            refuse("dict() takes a list of pairs, or `key => value`", _const(None, tree.at))
        return _object(tree.pairs, tree.at, query)
    (pairs,) = _arguments(tree, 1, 1)
    return call("from_pairs", tree.at, meaning(pairs, query=query))


def _concat(tree: Call, query: bool) -> nodes.Expr:
    first, *others = (meaning(each, query=query) for each in _arguments(tree, 1, 99))
    for other in others:
        first = nodes.Add(first, other, lineno=tree.at)
    return first


def _coalesce(tree: Call, query: bool) -> nodes.Expr:
    *firsts, last = (meaning(each, query=query) for each in _arguments(tree, 1, 99))
    for value in reversed(firsts):
        is_null = nodes.Test(value, "null", [], [], None, None, lineno=tree.at)
        last = nodes.CondExpr(nodes.Not(is_null, lineno=tree.at), value, last, lineno=tree.at)
    return last


def _switch(tree: Call, query: bool) -> nodes.Expr:
    if tree.args:
        refuse("switch() takes `condition => value`", _const(None, tree.args[0].at))
    value: nodes.Expr = _const(None, tree.at)
    for condition, then in reversed(tree.pairs):
        asked = holds(meaning(condition, query=query))
        value = nodes.CondExpr(asked, meaning(then, query=query), value, lineno=tree.at)
    return value


def _matched(tree: Binary, query: bool) -> nodes.Expr:
    """`text =~ pattern`, and `!~`, its opposite."""
    pattern = tree.right
    if isinstance(pattern, Call) and pattern.name == "regex" and pattern.target is None:
        (pattern,) = _arguments(pattern, 1, 1)
    found = found_in(meaning(tree.left, query=query), meaning(pattern, query=query), tree.at)
    return found if tree.sign == "=~" else nodes.Not(found, lineno=tree.at)


def _pattern_method(make: Callable[[nodes.Expr, nodes.Expr, int], nodes.Expr]) -> Meaning:
    """`regex(pattern).name(text)`, and `text.name(pattern)`."""

    def read(tree: Call, query: bool) -> nodes.Expr:
        (argument,) = _arguments(tree, 1, 1)
        if isinstance(tree.target, Call) and tree.target.name == "regex" and tree.target.target is None:
            (pattern,) = _arguments(tree.target, 1, 1)
            return make(meaning(argument, query=query), meaning(pattern, query=query), tree.at)
        return make(_target(tree, query), meaning(argument, query=query), tree.at)

    return read


def _secret(tree: Call, query: bool) -> nodes.Expr:
    """`st2kv('system.NAME')`: a value of the store of keys is a secret here."""
    decrypts = [(name, value) for name, value in tree.pairs if name != Word("decrypt", name.at)]
    if len(tree.args) != 1 or not isinstance(tree.args[0], Constant | Word) or decrypts:
        refuse("st2kv() takes the name of a key, and perhaps `decrypt => true`", _const(None, tree.at))
    key = tree.args[0]
    return secret_of(key.name if isinstance(key, Word) else str(key.value), tree.at)


def _json(tree: Call, query: bool) -> nodes.Expr:
    (text,) = _arguments(tree, 1, 1)
    value = meaning(text, query=query)
    is_object = nodes.Test(value, "object", [], [], None, None, lineno=tree.at)
    return nodes.CondExpr(is_object, value, call("from_json", tree.at, value), lineno=tree.at)


def _bool(tree: Call, query: bool) -> nodes.Expr:
    (value,) = _arguments(tree, 1, 1)
    return holds(meaning(value, query=query))


def _zip(tree: Call, query: bool) -> nodes.Expr:
    lists = _arguments(tree, 1, 99)
    if len(lists) == 1:
        return meaning(lists[0], query=query)
    return call("zip_longest", tree.at, *(meaning(each, query=query) for each in lists))


_FUNCTIONS: Final[Mapping[str, Meaning]] = {
    "ctx": _context,
    "item": _items_item,
    "task_status": _task_status,
    "task_state": _task_status,
    "succeeded": _outcome,
    "failed": _outcome,
    "completed": _outcome,
    "result": _outcome,
    "json": _json,
    "st2kv": _secret,
    "zip": _zip,
    "len": _plain("length", 1),
    "str": _plain("literal", 1),
    "int": _plain("int", 1),
    "float": _plain("float", 1),
    "bool": _bool,
    "abs": _plain("abs", 1),
    "max": _plain("max", 2),
    "min": _plain("min", 2),
    "range": _plain("range", 1, 3),
    "list": _list,
    "dict": _dict,
    "concat": _concat,
    "coalesce": _coalesce,
    "switch": _switch,
    "isString": _test("string"),
    "isInteger": _test("integer"),
    "isNumber": _test("number"),
    "isBoolean": _test("boolean"),
    "isList": _test("list"),
    "isDict": _test("object"),
}
"""What is called by itself."""

_METHODS: Final[Mapping[str, Meaning]] = {
    "get": _get,
    "len": _plain("length", 0),
    "keys": _plain("keys", 0),
    "values": _plain("values", 0),
    "containsKey": _plain("contains", 1),
    "set": _set,
    "first": _end("first", 0),
    "last": _end("last", -1),
    "contains": _plain("contains", 1),
    "indexOf": _plain("index_of", 1),
    "sum": _plain("sum", 0),
    "max": _plain("max", 0),
    "min": _plain("min", 0),
    "take": _take,
    "limit": _take,
    "skip": _plain("slice", 1),
    "append": _append,
    "distinct": _plain("unique", 0),
    "reverse": _plain("reversed", 0),
    "flatten": _flatten,
    "orderBy": _order,
    "orderByDescending": _order,
    "toList": _plain("list", 0),
    "toDict": _to_dict,
    "select": _asked_of_items("select", condition=False),
    "where": _asked_of_items("where", condition=True),
    "filter": _asked_of_items("where", condition=True),
    "any": _any,
    "all": _asked_of_items("all_of", condition=True),
    "split": _plain("split", 0, 1),
    "join": _join,
    "replace": _plain("replace", 2),
    "trim": _plain("trim", 0, 1),
    "toUpper": _plain("upper", 0),
    "toLower": _plain("lower", 0),
    "startsWith": _plain("starts_with", 1),
    "endsWith": _plain("ends_with", 1),
    "substring": _substring,
    "match": _pattern_method(found_in),
    "matches": _pattern_method(found_in),
    "search": _pattern_method(first_in),
}
"""What is called on a value."""

KNOWN: Final = (tuple(_FUNCTIONS), tuple(_METHODS))
"""The names of the functions and of the methods, for the reference."""
