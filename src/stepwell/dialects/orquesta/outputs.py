"""The output of a workflow, whose later entries see earlier ones."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from stepwell.definition.findings import Findings
from stepwell.dialects.graphs.conditions import normal
from stepwell.dialects.origin import Taken
from stepwell.dialects.orquesta.expressions import PLAIN
from stepwell.dialects.orquesta.names import literal

if TYPE_CHECKING:
    from stepwell.dialects.orquesta.reading import Entry

_EXPRESSION: Final = re.compile(r"\{\{ (.*?) \}\}", re.DOTALL)


def output_values(outputs: list[Entry], findings: Findings) -> dict[str, Any]:
    """The native output: what a later entry reads of an earlier one is put in its place."""
    found: dict[str, Any] = {}
    for entry in outputs:
        found[entry.name] = Taken(
            seeing(PLAIN.template(entry.value, entry.path, findings), found, entry, findings), entry.path
        )
    return found


def seeing(value: Any, earlier: Mapping[str, Any], entry: Entry, findings: Findings) -> Any:
    """A native value in which what is read of `earlier` variables is put in their place."""
    if isinstance(value, dict):
        return {key: seeing(part, earlier, entry, findings) for key, part in value.items()}
    if isinstance(value, list):
        return [seeing(part, earlier, entry, findings) for part in value]
    if not isinstance(value, str):
        return value
    return _EXPRESSION.sub(lambda each: _replaced(each, earlier, entry, findings), value)


def _as_expression(value: Any) -> str | None:
    """A value as one expression; None of one with expressions in it that is not one as a whole."""
    whole = _EXPRESSION.fullmatch(value) if isinstance(value, str) else None
    if whole is not None:
        return whole[1]
    return literal(value) if not _EXPRESSION.search(str(value)) else None


def _replaced(expression: re.Match[str], earlier: Mapping[str, Any], entry: Entry, findings: Findings) -> str:
    text = before = expression[1]
    for name, value in earlier.items():
        read = re.compile(rf"\bvars\.{re.escape(name)}\b")
        if not read.search(text):
            continue
        inner = _as_expression(value.value)
        if inner is None:
            message = f"this reads {name!r}, which stands before it in the output and is no plain expression"
            findings.add("wrong-value", message, entry.path, hint="publish the value in a task, and read that twice")
            return expression[0]
        text = read.sub(lambda _, inner=inner: f"({inner})", text)
    return f"{{{{ {text if text == before else normal(text)} }}}}"
