"""Filters over the payload of an event, and over the variables of a workflow."""

from __future__ import annotations

import re
from typing import Any, Final

from jinja2 import nodes

from stepwell.base.filters import COMBINATIONS
from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.dialects.origin import Taken
from stepwell.expression.unparsing import unparse

_DELIMITED: Final = re.compile(r"\s*(?:\$\{(?P<braced>.*)\}|\{\{(?P<doubled>.*)\}\})\s*", re.DOTALL)
_PREFIXES: Final = (
    "context.event.message.payload.",
    "event.payload.",
    "event.data.",
    "trigger.payload.",
    "trigger.data.",
    "workflow.",
)
"""What may stand in front of a path when it is written as an expression."""
_API: Final = _PREFIXES[0]


def native_filter(written: Any, path: Path, findings: Findings) -> Any:
    """The filter with its paths as native ones: relative to the payload. What is no filter is left as it is."""
    if not isinstance(written, dict):
        return written
    made: dict[str, Any] = {}
    for key, wanted in written.items():
        place = (*path, key)
        if key in COMBINATIONS and isinstance(wanted, list):
            made[key] = [native_filter(each, (*place, number), findings) for number, each in enumerate(wanted)]
        else:
            made[_native_path(key, place, findings)] = wanted
    return made


def taken_filter(written: Any, path: Path, origin: Path, findings: Findings) -> Any:
    """The same for a native document: every entry knows where it was taken from.

    Args:
        path: where the filter stands in the document that is read; `origin`: and in the source.
    """
    native = native_filter(written, path, findings)
    if not isinstance(written, dict):
        return Taken(native, origin)
    entries = zip(written, native.items(), strict=False)
    return Taken({key: Taken(wanted, (*origin, old)) for old, (key, wanted) in entries}, origin)


def literal(value: Any) -> nodes.Expr:
    """A JSON value as an expression."""
    if isinstance(value, dict):
        return nodes.Dict([nodes.Pair(nodes.Const(key), literal(part)) for key, part in value.items()])
    if isinstance(value, list):
        return nodes.List([literal(part) for part in value])
    return nodes.Const(value)


def condition(variables: nodes.Expr, filter_: Any) -> str:
    """The native condition that variables satisfy a filter, without delimiters."""
    return unparse(nodes.Call(nodes.Name("satisfies", "load"), [variables, literal(filter_)], [], None, None))


def _native_path(key: str, path: Path, findings: Findings) -> str:
    found = _DELIMITED.fullmatch(key)
    if found is None:
        return key.removeprefix(_API)
    inner = (found["braced"] if found["braced"] is not None else found["doubled"]).strip()
    prefix = next((each for each in _PREFIXES if inner.startswith(each)), None)
    if prefix is None:
        message = f"{inner!r} is no path in the payload of an event"
        hint = f"write it without delimiters, or as `{_API}NAME`"
        findings.add("wrong-value", message, path, hint=hint, key=True)
        return key
    return inner.removeprefix(prefix)
