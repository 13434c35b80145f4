"""The dialect of Orquesta, the workflow language of StackStorm."""

from __future__ import annotations

from typing import Any, Final

from stepwell.dialects.dialect import Dialect, Reading, Writing

_OTHERS: Final = frozenset({"apiVersion", "kind", "spec", "ref"})


def claims(document: Any) -> bool:
    """Whether it has tasks by name, and nothing of another dialect."""
    return isinstance(document, dict) and isinstance(document.get("tasks"), dict) and _OTHERS.isdisjoint(document)


def read(reading: Reading) -> Any:
    """The native document that means the same."""
    # Imported when one comes: most definitions are native.
    from stepwell.dialects.orquesta.reading import read as read_document

    return read_document(reading)


def write(writing: Writing) -> Any:
    """The document that means the same as a definition."""
    from stepwell.dialects.orquesta.writing import write as write_document

    return write_document(writing)


ORQUESTA: Final = Dialect(
    name="orquesta",
    title="a workflow of Orquesta",
    like="`version`, `tasks` by name",
    claims=claims,
    read=read,
    write=write,
    any_step_name=True,
    hints={
        "no-entry": "let a task that nothing leads to lead into the cycle",
        "never-started": "let a task outside the cycle lead into it",
    },
)
