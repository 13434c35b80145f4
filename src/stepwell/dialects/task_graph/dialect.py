"""The dialect of task graphs: workflows of packs, in both of their generations."""

from __future__ import annotations

from typing import Any, Final

from stepwell.dialects.dialect import Dialect, Reading, Writing


def claims(document: Any) -> bool:
    """Whether it has tasks in a list, or a `ref` beside its tasks."""
    if not isinstance(document, dict) or document.get("tasks") is None:
        return False
    return isinstance(document["tasks"], list) or "ref" in document


def read(reading: Reading) -> Any:
    """The native document that means the same."""
    # Imported when one comes: most definitions are native.
    from stepwell.dialects.task_graph.reading import read_workflow

    return read_workflow(reading)


def write(writing: Writing) -> Any:
    """The document that means the same as a definition."""
    from stepwell.dialects.task_graph.writing import write as write_document

    return write_document(writing)


TASK_GRAPH: Final = Dialect(
    name="task-graph",
    title="a task graph",
    like="`ref` and a list of `tasks`",
    claims=claims,
    read=read,
    write=write,
    hints={
        "cycle": "take one of the ways out, or give a task of the cycle `max_visits`",
        "self-dependency": "to run it again, use `do: retry` or `retry`",
        "no-steps": "write at least one under `tasks`",
    },
)
