"""From a syntax tree back to text: for expressions that are translated from one dialect into another.

`parse` of the result gives an equal tree. As few brackets are written as the grammar allows, but for a minus sign in
front of a filter, which people read differently from what it means.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from jinja2 import nodes

_CONDITIONAL, _OR, _AND, _NOT, _COMPARE, _SUM, _CONCAT, _PRODUCT, _POWER, _SIGN, _FILTER, _POSTFIX, _PRIMARY = range(13)
"""How tightly a form binds, by Jinja's grammar."""

_COMPARED: Final = {
    "eq": "==",
    "ne": "!=",
    "gt": ">",
    "gteq": ">=",
    "lt": "<",
    "lteq": "<=",
    "in": "in",
    "notin": "not in",
}
_ESCAPES: Final = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\t": "\\t", "\r": "\\r", "\b": "\\b", "\f": "\\f"}
)

_ENDS_IN_TEST: Final = re.compile(r"\bis (?:not )?\w+$")

_Written = tuple[str, int]


def unparse(tree: nodes.Expr) -> str:
    """The text of an expression, without delimiters.

    Raises:
        TypeError: the tree has a node that no expression of the language has.
    """
    return _write(tree)[0]


def quoted(text: str) -> str:
    """The literal of a text."""
    return f"'{text.translate(_ESCAPES)}'"


def _write(node: nodes.Node) -> _Written:
    write = _FORMS.get(type(node))
    if write is None:
        raise TypeError(f"{type(node).__name__} is not part of an expression")
    return write(node)


def _at_least(level: int, node: nodes.Node) -> str:
    """The text of an operand, in brackets when it binds less tightly than `level`."""
    text, own = _write(node)
    return text if own >= level else f"({text})"


def _const(node: nodes.Const) -> _Written:
    value: Any = node.value
    if isinstance(value, str):
        return quoted(value), _PRIMARY
    if value is None or isinstance(value, bool):
        return {None: "none", True: "true", False: "false"}[value], _PRIMARY
    return repr(value), _SIGN if value < 0 else _PRIMARY


def _name(node: nodes.Name) -> _Written:
    return node.name, _PRIMARY


def _listed(items: Sequence[nodes.Node]) -> str:
    return ", ".join(_write(item)[0] for item in items)


def _list(node: nodes.List | nodes.Tuple) -> _Written:
    return f"[{_listed(node.items)}]", _PRIMARY


def _dict(node: nodes.Dict) -> _Written:
    pairs = ", ".join(f"{_write(pair.key)[0]}: {_write(pair.value)[0]}" for pair in node.items)
    return f"{{{pairs}}}" if pairs else "{}", _PRIMARY


def _attribute(node: nodes.Getattr) -> _Written:
    return f"{_at_least(_POSTFIX, node.node)}.{node.attr}", _POSTFIX


def _item(node: nodes.Getitem) -> _Written:
    argument = node.arg
    inner = _slice(argument) if isinstance(argument, nodes.Slice) else _write(argument)[0]
    return f"{_at_least(_POSTFIX, node.node)}[{inner}]", _POSTFIX


def _slice(node: nodes.Slice) -> str:
    parts = [_write(part)[0] if part is not None else "" for part in (node.start, node.stop)]
    step = [_write(node.step)[0]] if node.step is not None else []
    return ":".join(parts + step)


def _arguments(node: nodes.Call | nodes.Filter | nodes.Test) -> str:
    named = [
        f"{keyword.key}={_write(keyword.value)[0]}" for keyword in node.kwargs if isinstance(keyword, nodes.Keyword)
    ]
    return ", ".join([*(_write(argument)[0] for argument in node.args), *named])


def _call(node: nodes.Call) -> _Written:
    return f"{_at_least(_POSTFIX, node.node)}({_arguments(node)})", _POSTFIX


def _filter(node: nodes.Filter) -> _Written:
    arguments = _arguments(node)
    base = _filtered(node.node)
    return f"{base} | {node.name}({arguments})" if arguments else f"{base} | {node.name}", _FILTER


def _test(node: nodes.Test) -> _Written:
    return _tested(node, "is"), _FILTER


def _tested(node: nodes.Test, verb: str) -> str:
    arguments = _arguments(node)
    return f"{_filtered(node.node)} {verb} {node.name}{f'({arguments})' if arguments else ''}"


def _filtered(node: nodes.Node | None) -> str:
    assert node is not None, "only a block statement has a filter without a value"
    return _at_least(_POSTFIX, node) if not isinstance(node, nodes.Filter) else _write(node)[0]


def _not(node: nodes.Not) -> _Written:
    if isinstance(node.node, nodes.Test):
        return _tested(node.node, "is not"), _FILTER
    return f"not {_at_least(_NOT, node.node)}", _NOT


def _signed(sign: str) -> Callable[[Any], _Written]:
    return lambda node: (f"{sign}{_at_least(_POSTFIX, node.node)}", _SIGN)


def _binary(sign: str, level: int) -> Callable[[Any], _Written]:
    """Operators of one level are read from the left."""
    return lambda node: (f"{_at_least(level, node.left)} {sign} {_at_least(level + 1, node.right)}", level)


def _concat(node: nodes.Concat) -> _Written:
    return " ~ ".join(_at_least(_PRODUCT, part) for part in node.nodes), _CONCAT


def _compare(node: nodes.Compare) -> _Written:
    text = _before_word(_SUM, node.expr)
    return text + "".join(f" {_COMPARED[each.op]} {_before_word(_SUM, each.expr)}" for each in node.ops), _COMPARE


def _before_word(level: int, node: nodes.Node) -> str:
    """The text of an operand that a word may follow: behind a test it would be read as the test's argument."""
    text = _at_least(level, node)
    return f"({text})" if _ENDS_IN_TEST.search(text) else text


def _conditional(node: nodes.CondExpr) -> _Written:
    text = f"{_before_word(_OR, node.expr1)} if {_at_least(_OR, node.test)}"
    return f"{text} else {_write(node.expr2)[0]}" if node.expr2 is not None else text, _CONDITIONAL


_FORMS: Final[dict[type[nodes.Node], Callable[[Any], _Written]]] = {
    nodes.Const: _const,
    nodes.Name: _name,
    nodes.List: _list,
    nodes.Tuple: _list,
    nodes.Dict: _dict,
    nodes.Getattr: _attribute,
    nodes.Getitem: _item,
    nodes.Call: _call,
    nodes.Filter: _filter,
    nodes.Test: _test,
    nodes.Not: _not,
    nodes.Neg: _signed("-"),
    nodes.Pos: _signed("+"),
    nodes.Add: _binary("+", _SUM),
    nodes.Sub: _binary("-", _SUM),
    nodes.Mul: _binary("*", _PRODUCT),
    nodes.Div: _binary("/", _PRODUCT),
    nodes.FloorDiv: _binary("//", _PRODUCT),
    nodes.Mod: _binary("%", _PRODUCT),
    nodes.Pow: _binary("**", _POWER),
    nodes.Concat: _concat,
    nodes.Compare: _compare,
    nodes.And: _binary("and", _AND),
    nodes.Or: _binary("or", _OR),
    nodes.CondExpr: _conditional,
}
