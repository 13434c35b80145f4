"""What `result()` means behind an action whose native step shapes its output: `core.echo` and `core.http`."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Any, Final, Literal

from jinja2 import nodes

from stepwell.dialects.graphs.actions import RESPONSE, SAID
from stepwell.dialects.language import N, read_expression, refuse

Shape = Literal["echo", "http"]
"""The action whose output a step has."""

BUILT_IN: Final[Mapping[str, Shape]] = {"core.echo": "echo", "core.http": "http", "core.http_request": "http"}
"""The actions by their references, where no task of that name is registered."""

_GIVEN: Final[Mapping[Shape, str]] = {
    "echo": (
        "{'message': result(), 'stdout': result(), 'stderr': '', 'return_code': 0, 'succeeded': true, 'failed': false}"
    ),
    "http": "{'status_code': response_status, 'headers': response_headers, 'body': result()}",
}
"""The output, made of what the task gave in the try that has just ended."""

_FAILED: Final[Mapping[Shape, str]] = {
    "echo": "result()",
    "http": (
        "{'status_code': error.details.status, 'headers': {}, 'body': error.details.body} "
        "if error.type == 'http_error' else result()"
    ),
}
"""What a failed one gave; a server that refused has answered all the same."""


def shape_of(type_: Any, output: Any) -> Shape | None:
    """The shape of the output of a native step; None when it is no built-in action."""
    match type_:
        case "transform" if output == SAID:
            return "echo"
        case "http" if output == RESPONSE:
            return "http"
        case _:
            return None


def shaped_result(step: str, shape: Shape) -> nodes.Expr:
    """What such a step gave, when it has ended for good."""
    own = f"steps.{step}" if step.isidentifier() else f"steps['{step}']"
    return _tree(f"{own}.output if succeeded() else {_FAILED[shape]}")


def tried_result(shape: Shape) -> nodes.Expr:
    """What one of its tries gave: where it is asked whether to try again."""
    return _tree(f"{_GIVEN[shape]} if succeeded() else {_FAILED[shape]}")


def failed_result(shape: Shape) -> nodes.Expr:
    """What a try gave that failed."""
    return _tree(_FAILED[shape])


def as_result(tree: N, shaped: nodes.Expr) -> N | nodes.Expr:
    """The opposite: an expression with `result()` where `shaped` stands.

    Raises:
        ExpressionSyntaxError: it asks for what the task itself gave, for which there is no other word.
    """
    if tree == shaped:
        return nodes.Call(nodes.Name("result", "load"), [], [], None, None, lineno=tree.lineno)
    if isinstance(tree, nodes.Call) and tree.node == nodes.Name("result", "load"):
        refuse("`result()` is the output of the action there, not what the step itself gave", tree)
    made = copy(tree)
    for field in tree.fields:
        value = getattr(tree, field)
        if isinstance(value, nodes.Node):
            setattr(made, field, as_result(value, shaped))
        elif isinstance(value, list):
            parts = [as_result(each, shaped) if isinstance(each, nodes.Node) else each for each in value]
            setattr(made, field, parts)
    return made


def _tree(text: str) -> nodes.Expr:
    return read_expression(text, 0, "")[0]
