"""The expressions of Orquesta, `<% YAQL %>` and `{{ Jinja }}`, translated into native ones."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import nodes

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import describe
from stepwell.dialects.graphs.conditions import ANY, asks_outcome, both
from stepwell.dialects.graphs.results import Shape, shaped_result, tried_result
from stepwell.dialects.language import Delimited, Language, Reader, read_expression
from stepwell.dialects.orquesta.jinja_meaning import read_jinja
from stepwell.dialects.orquesta.truth import as_condition, as_text
from stepwell.dialects.orquesta.yaql_meaning import read_yaql
from stepwell.expression.errors import ExpressionSyntaxError

DELIMITERS: Final = (("<%", "%>"), ("{{", "}}"))
_STATEMENT: Final = "{%"


def _conditions(read: Reader) -> Reader:
    def read_condition(text: str, start: int, closing: str) -> tuple[nodes.Expr, int]:
        tree, end = read(text, start, closing)
        return as_condition(tree), end

    return read_condition


class Expressions:
    """The expressions of one place.

    Args:
        result: what `result()` is there, when it is not what the native function of that name gives.
    """

    def __init__(self, result: nodes.Expr | None = None) -> None:
        def change(node: nodes.Expr) -> nodes.Expr:
            is_result = isinstance(node, nodes.Call) and node.node == nodes.Name("result", "load")
            return result if is_result and result is not None else node

        kinds = (("<%", "%>", read_yaql), ("{{", "}}", read_jinja))
        self._values = Language(
            *(Delimited(opening, closing, read, change) for opening, closing, read in kinds), inserted=as_text
        )
        self._conditions = Language(
            *(Delimited(opening, closing, _conditions(read), change) for opening, closing, read in kinds)
        )

    def template(self, value: Any, path: Path, findings: Findings) -> Any:
        """A JSON value with the expressions in its texts translated. What is wrong is recorded under `path`."""
        if _has_statement(value, path, findings):
            return None
        return self._values.template(value, path, findings)

    def inline(self, value: Any, path: Path, at: int, findings: Findings) -> Any:
        """The same, of a value that begins at character `at` of the text at `path`."""
        if not isinstance(value, str):
            return self.template(value, path, findings)
        if _has_statement(value, path, findings, at):
            return None
        try:
            return self._values.text(value)
        except ExpressionSyntaxError as error:
            findings.add("expression-syntax", error.message, path, hint=error.hint, offset=at + (error.offset or 0))
            return None

    def condition(self, value: Any, path: Path, findings: Findings) -> str | None:
        """A condition as a native one without delimiters; None when there is none. What is wrong is recorded."""
        if value is None or _has_statement(value, path, findings):
            return None
        if not is_expression(value):
            message = f"a condition is an expression, `<% ... %>` or `{{{{ ... }}}}`; saw {describe(value)}"
            hint = "without delimiters it would be a text, and always hold"
            findings.add("not-a-condition", message, path, hint=hint)
            return None
        found = self._conditions.condition(value, path, findings)
        return found if isinstance(found, str) else None


PLAIN: Final = Expressions()
"""Where `result()` is what the task gave."""


def of_shaped(task: str, shape: Shape) -> Expressions:
    """Behind a task whose action shapes its output: `result()` is that."""
    return Expressions(shaped_result(task, shape))


def of_tried(shape: Shape | None) -> Expressions:
    """Where it is asked whether to try again."""
    return PLAIN if shape is None else Expressions(tried_result(shape))


def of_items(task: str) -> Expressions:
    """Behind a task that runs for items: `result()` is the list of what each gave, of failed ones with their error."""
    return Expressions(items_result(task))


def items_result(task: str) -> nodes.Expr:
    """What `result()` is there."""
    own = f"steps.{task}" if task.isidentifier() else f"steps['{task}']"
    given = "it.output if it.status != 'failed' else (it.error.details if it.error.details else it.error)"
    text = f"result() if succeeded() else select({own}.items, {given})"
    tree, _ = read_expression(text, 0, "")
    return tree


def is_expression(value: Any) -> bool:
    """Whether a value is a text with an expression in it."""
    return isinstance(value, str) and any(opening in value for opening, _ in DELIMITERS)


def whenever_it_ended(when: str | None) -> str:
    """A condition of an edge that says nothing of how the task ended holds however it did."""
    if when is None:
        return ANY
    return when if asks_outcome(when) else both(ANY, when) or ANY


def _has_statement(value: Any, path: Path, findings: Findings, at: int = 0) -> bool:
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        found = [_has_statement(part, (*path, key), findings) for key, part in parts]
        return any(found)
    if not isinstance(value, str) or _STATEMENT not in value:
        return False
    message = "statements of Jinja, `{% ... %}`, are not known here"
    hint = "compute the text in a task, or use `{{ a if condition else b }}`"
    findings.add("expression-syntax", message, path, hint=hint, offset=at + value.index(_STATEMENT))
    return True
