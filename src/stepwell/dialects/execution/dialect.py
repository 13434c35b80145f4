"""The dialect of activities: documents with `execution` or `saga`, and `workflowDefinition` of the product's API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from stepwell.dialects.dialect import Dialect, Reading, Writing

_NATIVE: Final = frozenset({"apiVersion", "kind", "spec"})


def claims(document: Any) -> bool:
    """Whether it has a workflow of it, or nothing but parts of one."""
    if not isinstance(document, dict):
        return False
    if any(key in document for key in ("execution", "saga", "workflowDefinition")):
        return True
    if not _NATIVE.isdisjoint(document):  # no part is called like that
        return False
    from stepwell.dialects.execution.reading import has_parts_only

    return has_parts_only(document)


def read(reading: Reading) -> Any:
    """The native document that means the same."""
    # Imported when one comes: most definitions are native.
    from stepwell.dialects.execution.reading import read_documents

    return read_documents(reading)


def settings(reading: Reading) -> Mapping[str, Any]:
    """What the documents say about the engine."""
    from stepwell.dialects.execution.reading import settings_in

    return settings_in(reading)


def write(writing: Writing) -> Any:
    """The document that means the same as a definition."""
    from stepwell.dialects.execution.writing import write as write_document

    return write_document(writing)


EXECUTION: Final = Dialect(
    name="execution",
    title="a workflow of activities",
    like="`execution`, `saga` or `workflowDefinition`",
    claims=claims,
    read=read,
    write=write,
    several=True,
    settings=settings,
    hints={
        "cycle": "take one of the names out of `depends_on` (in documents of the API, `dependencies`)",
        "self-dependency": "take it out; to run it again when it fails, use `retry`",
        "no-steps": "write at least one under `activities`",
    },
)
