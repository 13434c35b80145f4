"""Conditions over how a step ended, composed and taken apart as native text."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from jinja2 import nodes

from stepwell.dialects.language import read_expression
from stepwell.expression.errors import ExpressionSyntaxError
from stepwell.expression.unparsing import unparse

ANY: Final = "succeeded() or failed()"
"""However it ended; a timeout is a failure."""

_OUTCOMES: Final = frozenset({"succeeded", "failed", "timed_out", "skipped"})


def both(first: Any, second: Any) -> str | None:
    """The condition that holds when both do; None stands for one that always does."""
    given = [_text(each) for each in (first, second) if each is not None]
    if len(given) < 2:
        return given[0] if given else None
    return normal(f"({given[0]}) and ({given[1]})")


def either(conditions: list[Any]) -> str:
    """The condition that holds when one of them does."""
    return normal(" or ".join(f"({_text(each)})" for each in conditions))


def normal(condition: str) -> str:
    """The text in the form in which expressions are written."""
    return unparse(read_condition(condition))


def asks_outcome(condition: Any) -> bool:
    """Whether a condition asks how the step ended, so that it alone decides."""
    return bool(functions_in(condition) & _OUTCOMES)


def functions_in(condition: Any) -> frozenset[str]:
    """The names of the functions that a condition calls; none of one that cannot be read."""
    if not isinstance(condition, str) or "(" not in condition:
        return frozenset()
    try:
        tree = read_condition(condition)
    except ExpressionSyntaxError:
        return frozenset()
    calls = [tree, *tree.find_all(nodes.Call)]
    return frozenset(
        call.node.name for call in calls if isinstance(call, nodes.Call) and isinstance(call.node, nodes.Name)
    )


def without_any(condition: str) -> str | None:
    """What a condition asks beside `ANY`, where that is about no outcome; None when nothing."""
    tree = read_condition(condition)
    if tree == read_condition(ANY):
        return None
    if isinstance(tree, nodes.And) and tree.left == read_condition(ANY):
        asked = unparse(tree.right)
        return unparse(tree) if asks_outcome(asked) else asked
    return unparse(tree)


@lru_cache(maxsize=4_096)
def read_condition(condition: str) -> nodes.Expr:
    """The tree of a native condition, with or without delimiters. It is shared: nobody changes it.

    Raises:
        ExpressionSyntaxError: it cannot be read.
    """
    text = condition.strip()
    if text.startswith("{{"):
        tree, end = read_expression(text, 2, "}}")
        if end == len(text) - 2:
            return tree
    return read_expression(text, 0, "")[0]


def _text(condition: Any) -> str:
    if isinstance(condition, bool):
        return "true" if condition else "false"
    text = str(condition)
    return normal(text) if text.lstrip().startswith("{{") else text
