"""A task graph as the native workflow that means the same."""

from __future__ import annotations

from typing import Any, Final

from stepwell.definition.findings import Findings
from stepwell.definition.model import Path
from stepwell.definition.reading import describe, read, wrong_type
from stepwell.dialects.dialect import Reading
from stepwell.dialects.graphs.schemas import is_schema, schema_of
from stepwell.dialects.origin import Taken
from stepwell.dialects.task_graph.book import Book, book_of
from stepwell.dialects.task_graph.document import WorkflowDoc
from stepwell.dialects.task_graph.graph_checks import check_graph
from stepwell.dialects.task_graph.tasks import steps_of

_STAND_INS: Final = {"ref": "unknown.workflow", "version": "0.0.0"}
"""So that the tasks are looked at although the head is wrong."""


def read_workflow(reading: Reading) -> Any:
    """The native document of a task graph; None when it is no such thing at all."""
    ((path, document),) = reading.documents
    findings = reading.findings
    findings.tree = reading.tree
    workflow = read(WorkflowDoc, document, path, findings, _STAND_INS)
    if workflow is None:
        return None
    for key in ("tasks", "on_error"):
        value = getattr(workflow, key)
        if not isinstance(value, list) and (key == "tasks" or value is not None):
            wrong_type("a list of tasks", value, (key,), findings)
            return None
    book = book_of(reading, document)
    check_graph(workflow.tasks, ("tasks",), findings)
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": _metadata(workflow),
        "spec": {
            "config": _config(workflow, book),
            **_input(workflow, findings),
            **_vars(workflow, book),
            **_triggers(workflow, book),
            "steps": Taken(steps_of(workflow.tasks, ("tasks",), book), ("tasks",)),
            **_output(workflow, book),
        },
    }


def _metadata(workflow: WorkflowDoc) -> dict[str, Any]:
    said = {"name": Taken(workflow.ref, ("ref",)), "version": Taken(workflow.version, ("version",))}
    described = "description" if workflow.description is not None else "label"
    for key, source in (("description", described), ("tags", "tags")):
        value = getattr(workflow, source)
        if value is not None:
            said[key] = Taken(value, (source,))
    return said


def _config(workflow: WorkflowDoc, book: Book) -> dict[str, Any]:
    said: dict[str, Any] = {"failure_mode": "drain"}
    for key, source in (("cancellation", "cancellation_policy"), ("timeout", "timeout"), ("enabled", "enabled")):
        value = getattr(workflow, source)
        if value is not None:
            said[key] = Taken(value, (source,))
    if workflow.on_error is not None:
        steps = steps_of(workflow.on_error, ("on_error",), book)
        said["on_error"] = {"steps": Taken(steps, ("on_error",))}
    return said


def _input(workflow: WorkflowDoc, findings: Findings) -> dict[str, Any]:
    if workflow.parameters is None:
        return {}
    kind = workflow.parameters.get("type", "object")
    if isinstance(kind, str) and kind != "object":
        message = f"the parameters of a workflow are an object; this schema is of type {kind!r}"
        findings.add("bad-schema", message, ("parameters", "type"))
    return {"input": {"schema": schema_taken(workflow.parameters, ("parameters",))}}


def schema_taken(written: dict[str, Any], path: Path) -> Taken:
    """The JSON Schema of parameters that stand at `path`."""
    schema = schema_of(written)
    if not is_schema(written):
        schema["properties"] = {key: Taken(value, (*path, key)) for key, value in schema["properties"].items()}
    return Taken(schema, path)


def _vars(workflow: WorkflowDoc, book: Book) -> dict[str, Any]:
    """The variables in their order; the configuration of the pack is one of them."""
    values: dict[str, Any] = {}
    if workflow.config is not None:
        values["config"] = Taken(workflow.config, ("config",))
    language = book.language()
    for name, value, path in _listed(workflow.vars, ("vars",), book.findings):
        if name in values:
            message = f"the variable {name!r} is declared twice"
            book.findings.add("duplicate-key", message, path, hint="take one of them out")
        values[name] = Taken(language.template(value, path, book.findings), path)
    return {"vars": Taken(values, ("vars",))} if values else {}


def _listed(written: Any, path: Path, findings: Findings) -> list[tuple[str, Any, Path]]:
    if written is None:
        return []
    if isinstance(written, dict):
        return [(name, value, (*path, name)) for name, value in written.items()]
    if not isinstance(written, list):
        wrong_type("variables: a mapping, or a list of mappings", written, path, findings)
        return []
    found: list[tuple[str, Any, Path]] = []
    for position, entry in enumerate(written):
        place = (*path, position)
        if isinstance(entry, dict):
            found += [(name, value, (*place, name)) for name, value in entry.items()]
        elif isinstance(entry, str):
            found.append((entry, None, place))
        else:
            findings.add("wrong-type", f"expected `name: value`, saw {describe(entry)}", place)
    return found


def _triggers(workflow: WorkflowDoc, book: Book) -> dict[str, Any]:
    """The triggers; their expressions read `event.payload`."""
    if not isinstance(workflow.triggers, list):
        return {} if workflow.triggers is None else {"triggers": Taken(workflow.triggers, ("triggers",))}
    language = book.language(None, "rule")
    said: list[Any] = []
    for position, trigger in enumerate(workflow.triggers):
        place = ("triggers", position)
        made = dict(trigger) if isinstance(trigger, dict) else trigger
        for key in ("filter", "map", "dedupe_key") if isinstance(trigger, dict) else ():
            if isinstance(made.get(key), str) and key == "filter":
                made[key] = Taken(language.condition(made[key], (*place, key), book.findings), (*place, key))
            elif made.get(key) is not None:
                made[key] = Taken(language.template(made[key], (*place, key), book.findings), (*place, key))
        said.append(Taken(made, place))
    return {"triggers": Taken(said, ("triggers",))}


def _output(workflow: WorkflowDoc, book: Book) -> dict[str, Any]:
    said: dict[str, Any] = {}
    key = "output" if workflow.output is not None else "output_schema"
    if workflow.output is not None and workflow.output_schema is not None:
        message = "`output` and `output_schema` mean the same; only one of them can be given"
        book.findings.add("conflicting-keys", message, ("output_schema",), key=True)
    written = getattr(workflow, key)
    if written is not None:
        said["schema"] = schema_taken(written, (key,))
    if workflow.output_map is not None:
        values = book.language().template(workflow.output_map, ("output_map",), book.findings)
        said["values"] = Taken(values, ("output_map",))
    return {"output": said} if said else {}
