"""Every dialect, and which one a document is written in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.base.suggest import hint_for
from stepwell.definition.findings import Findings
from stepwell.definition.reading import describe
from stepwell.dialects.dialect import Dialect, Document
from stepwell.dialects.execution.dialect import EXECUTION
from stepwell.dialects.native.dialect import NATIVE
from stepwell.dialects.orquesta.dialect import ORQUESTA
from stepwell.dialects.step_map.dialect import STEP_MAP
from stepwell.dialects.task_graph.dialect import TASK_GRAPH

DIALECTS: Final[Mapping[str, Dialect]] = {
    each.name: each for each in (NATIVE, EXECUTION, STEP_MAP, TASK_GRAPH, ORQUESTA)
}
"""The dialects by name."""

ALSO: Final[Mapping[str, str]] = {
    "A": "execution",
    "B": "step-map",
    "C": "native",
    "workflow/v1": "native",
    "D": "task-graph",
    "O": "orquesta",
}
"""Other names of dialects."""

KEY: Final = "dialect"
"""A key of any document that says which dialect it is written in."""


def dialect_named(name: str) -> Dialect | None:
    """The dialect of this name, or None."""
    return DIALECTS.get(ALSO.get(name, name))


def dialect_of(documents: Sequence[Document], named: str | None, findings: Findings) -> Dialect | None:
    """The dialect of a source; None when it cannot be told, and then a finding says why.

    Args:
        named: what the user says it is; wins over everything.
    """
    said, path = (named, ()) if named is not None else _said(documents)
    if said is not None:
        dialect = dialect_named(said) if isinstance(said, str) else None
        if dialect is None:
            message = f"there is no dialect {describe(said)}"
            findings.add("unknown-dialect", message, path, hint=hint_for(str(said), list(DIALECTS)))
        return dialect
    return _detected(documents, findings)


def _said(documents: Sequence[Document]) -> tuple[Any, tuple[str | int, ...]]:
    for path, document in documents:
        if isinstance(document, dict) and document.get(KEY) is not None:
            return document[KEY], (*path, KEY)
    return None, ()


def _detected(documents: Sequence[Document], findings: Findings) -> Dialect | None:
    path, document = documents[0]
    if not isinstance(document, dict):
        findings.add("not-a-workflow", f"a workflow is a mapping; this is {describe(document)}", path, hint=_LOOKS)
        return None
    claiming = [each for each in DIALECTS.values() if any(each.claims(value) for _, value in documents)]
    if len(claiming) == 1:
        return claiming[0]
    if not claiming:
        message = f"it cannot be told which dialect this is written in; saw {_keys(document)}"
        findings.add("not-a-workflow", message, path, hint=_LOOKS)
    else:
        candidates = " and ".join(f"{each.title} ({each.like})" for each in claiming)
        names = " or ".join(f"`dialect: {each.name}`" for each in claiming)
        hint = f"say which one it is with {names}, or remove what belongs to the other"
        findings.add("ambiguous-dialect", f"this looks like {candidates}", path, hint=hint)
    return None


def _keys(document: Mapping[str, Any]) -> str:
    """The keys of a document, for a message; not many of them."""
    shown = [f"`{key}`" for key in document]
    return f"{', '.join(shown[:_SHOWN])}{' and more' if len(shown) > _SHOWN else ''}" if shown else "no keys"


_SHOWN: Final = 8
_LOOKS: Final = "; ".join(f"{each.title} has {each.like}" for each in DIALECTS.values())
