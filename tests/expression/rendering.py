"""Short ways to render, and to see what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_condition, compile_template

NOON = 1_767_268_800_000_000
"""2026-01-01T12:00:00Z."""


def scope(**roots: Any) -> Scope:
    return Scope(roots, now=NOON, seed=b"seed", identity=("step", "config"))


def render(value: Any, **roots: Any) -> Any:
    return compile_template(value).render(scope(**roots))


def evaluate(expression: str, **roots: Any) -> Any:
    """The value of one expression, written without delimiters."""
    return render("{{ " + expression + " }}", **roots)


def holds(condition: Any, **roots: Any) -> bool:
    return compile_condition(condition).holds(scope(**roots))


def failure(value: Any, **roots: Any) -> ExpressionError:
    """The error of rendering `value`, which must compile."""
    template = compile_template(value)
    with pytest.raises(ExpressionError) as caught:
        template.render(scope(**roots))
    return caught.value


def failed(expression: str, **roots: Any) -> ExpressionError:
    """The error of evaluating one expression."""
    return failure("{{ " + expression + " }}", **roots)


def refused(value: Any) -> ExpressionSyntaxError:
    """The error of compiling `value`."""
    with pytest.raises(ExpressionSyntaxError) as caught:
        compile_template(value)
    return caught.value
