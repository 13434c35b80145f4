"""What is at hand while the tasks of a task graph are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from stepwell.definition.context import Known
from stepwell.definition.findings import Findings
from stepwell.dialects.dialect import Reading
from stepwell.dialects.graphs.publish import published
from stepwell.dialects.graphs.results import BUILT_IN, Shape
from stepwell.dialects.graphs.schemas import schema_of
from stepwell.dialects.language import Language
from stepwell.dialects.task_graph.expressions import DELIMITERS, Names, Purpose, language


@dataclass(frozen=True, slots=True)
class Book:
    """What the tasks of a workflow may refer to.

    Attributes:
        tasks: the names of all tasks, nested ones too.
    """

    findings: Findings
    known: Known
    names: Names
    tasks: frozenset[str]

    def language(self, task: str | None = None, purpose: Purpose = "", *, timeouts_apart: bool = False) -> Language:
        """The language of the expressions of a task."""
        return language(self.names, task, purpose, timeouts_apart=timeouts_apart)


def book_of(reading: Reading, document: Mapping[str, Any]) -> Book:
    """The book of a document as it was read, whatever may be wrong with it."""
    scratch = Findings(reading.source)
    tasks = list(_tasks(document.get("tasks"))) + list(_tasks(document.get("on_error")))
    variables = {name for task in tasks for name in _published_by(task, scratch)}
    variables.update(variable for each in _mappings(document.get("vars")) for variable in each)
    if isinstance(document.get("config"), dict):
        variables.add("config")
    parameters = document.get("parameters")
    schema = schema_of(parameters) if isinstance(parameters, dict) else {}
    properties = schema.get("properties")
    names = Names(
        variables=frozenset(variables),
        parameters=frozenset(properties if isinstance(properties, dict) else ()),
        iterated=frozenset(task["name"] for task in tasks if task.get("with_items") is not None),
        groups={task["name"]: _names(task.get("tasks")) for task in tasks if task.get("type") == "parallel"},
        shaped={task["name"]: shape for task in tasks if (shape := _shape(task, reading.known)) is not None},
    )
    return Book(reading.findings, reading.known, names, frozenset(task["name"] for task in tasks))


def _tasks(written: Any) -> Iterator[dict[str, Any]]:
    """Every task that has a name, those inside parallel ones too."""
    pending = list(written) if isinstance(written, list) else []
    while pending:
        task = pending.pop()
        if isinstance(task, dict):
            if isinstance(task.get("name"), str):
                yield task
            if isinstance(task.get("tasks"), list):
                pending += task["tasks"]


def _shape(task: Mapping[str, Any], known: Known) -> Shape | None:
    """The shape of what the action of a task gives; a task may shape it itself."""
    action = task.get("action")
    name = action.split(maxsplit=1)[0] if isinstance(action, str) and action.strip() else ""
    if task.get("output") is not None or task.get("type", "action") != "action" or name in (known.tasks or ()):
        return None
    return BUILT_IN.get(name)


def _names(written: Any) -> tuple[str, ...]:
    tasks = written if isinstance(written, list) else []
    return tuple(task["name"] for task in tasks if isinstance(task, dict) and isinstance(task.get("name"), str))


def _published_by(task: dict[str, Any], scratch: Findings) -> Iterator[str]:
    if task.get("action") == "stepwell.set" and isinstance(task.get("input"), dict):
        yield from task["input"]
    ways = [each for key in ("next", "on_success", "on_failure", "on_complete", "on_timeout")
            for each in _mappings(task.get(key))]  # fmt: skip
    for holder in (task, *ways):
        if holder.get("publish") is not None:
            yield from (each.name for each in published(holder["publish"], (), scratch, DELIMITERS))


def _mappings(written: Any) -> Iterable[dict[str, Any]]:
    """The mappings in a list, or the only one."""
    entries = written if isinstance(written, list) else [written]
    return [entry for entry in entries if isinstance(entry, dict)]
