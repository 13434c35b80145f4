"""Truth: in YAQL and in Jinja every text but the empty one counts as true; here "false", "no" and "0" do not.

`filled(x)` asks as they do. It is left out where a value is true or false anyway.
"""

from __future__ import annotations

from typing import Final

from jinja2 import nodes

_YES_OR_NO: Final = frozenset({
    "succeeded", "failed", "timed_out", "skipped", "filled", "contains", "starts_with", "ends_with", "match", "any_of",
    "all_of", "bool",
})  # fmt: skip
"""Functions that give true or false."""


def is_boolean(node: nodes.Expr) -> bool:
    """Whether the value is true or false, as far as the form of the expression says."""
    match node:
        case nodes.Const():
            return isinstance(node.value, bool)
        case nodes.Compare() | nodes.Not() | nodes.Test():
            return True
        case nodes.And() | nodes.Or():
            return is_boolean(node.left) and is_boolean(node.right)
        case nodes.Call():
            return isinstance(node.node, nodes.Name) and node.node.name in _YES_OR_NO
        case _:
            return False


def holds(node: nodes.Expr) -> nodes.Expr:
    """The value as a condition."""
    if isinstance(node, nodes.And | nodes.Or):
        return type(node)(holds(node.left), holds(node.right), lineno=node.lineno)
    return node if is_boolean(node) else call("filled", node.lineno, node)


def both(left: nodes.Expr, right: nodes.Expr, at: int) -> nodes.Expr:
    """`left and right`: the first of both that does not count as true, else the second."""
    if is_boolean(left):
        return nodes.And(left, right, lineno=at)
    return nodes.CondExpr(holds(left), right, left, lineno=at)


def either(left: nodes.Expr, right: nodes.Expr, at: int) -> nodes.Expr:
    """`left or right`: the first of both that counts as true, else the second."""
    if is_boolean(left):
        return nodes.Or(left, right, lineno=at)
    return nodes.CondExpr(holds(left), left, right, lineno=at)


def call(name: str, at: int | None, *arguments: nodes.Expr) -> nodes.Call:
    """A call of a function."""
    return nodes.Call(nodes.Name(name, "load", lineno=at), list(arguments), [], None, None, lineno=at)


def as_condition(node: nodes.Expr) -> nodes.Expr:
    """What `both` and `either` made of a condition, as a condition again."""
    if isinstance(node, nodes.CondExpr) and isinstance(node.test, nodes.Call) and node.expr2 is not None:
        tested = node.test.args[0] if node.test.args else None
        if tested == node.expr2:
            return nodes.And(holds(as_condition(node.expr2)), as_condition(node.expr1), lineno=node.lineno)
        if tested == node.expr1:
            return nodes.Or(holds(as_condition(node.expr1)), as_condition(node.expr2), lineno=node.lineno)
    if isinstance(node, nodes.And | nodes.Or):
        return type(node)(as_condition(node.left), as_condition(node.right), lineno=node.lineno)
    return holds(node)


def as_text(node: nodes.Expr) -> nodes.Expr:
    """The value as it stands in a text with something beside it: as Python writes it. A secret is text anyway."""
    match node:
        case nodes.Const(value=str()) | nodes.Call(node=nodes.Name(name="python_text")):
            return node
        case nodes.Getattr(node=nodes.Name(name="secrets")) | nodes.Getitem(node=nodes.Name(name="secrets")):
            return node
        case _:
            return call("python_text", node.lineno, node)


def without_text(node: nodes.Expr) -> nodes.Expr:
    """What `as_text` was made of."""
    match node:
        case nodes.Call(node=nodes.Name(name="python_text"), args=[inner]):
            return inner
        case _:
            return node
