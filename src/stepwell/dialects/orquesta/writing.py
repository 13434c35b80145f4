"""From the canonical model to a workflow of Orquesta."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from stepwell.definition.model import Path, WorkflowConfig, WorkflowDefinition
from stepwell.dialects.dialect import Writing
from stepwell.dialects.native.parts import given
from stepwell.dialects.orquesta.document import STACKSTORM, VERSION
from stepwell.dialects.orquesta.saying import Saying
from stepwell.dialects.orquesta.writing_tasks import Tasks

_OF_INPUT: Final = re.compile(
    r"\{\{ input(?:\.([A-Za-z_]\w*)|\['([^']*)'\])(?: if '[^']*' in input else \((.*)\))? \}\}", re.S
)
_CONFIG: Final[Mapping[str, str]] = {
    "timeout": "the bound on active time",
    "deadline": "the deadline",
    "max_parallel_steps": "how many steps run at once",
    "failure_mode": "that after a failure the rest runs on",
    "concurrency": "how many executions run at once",
    "cancellation": "what a cancel does to running work",
    "compensate_on_cancel": "that a cancel compensates",
    "on_error": "what follows a failure",
    "policies": "the policies that steps refer to",
    "strict_failures": "that a handled failure fails the workflow",
}
_WORKFLOW: Final[Mapping[str, str]] = {
    "triggers": "what starts the workflow",
    "output_schema": "the schema of the output",
}


def write(writing: Writing) -> dict[str, Any]:
    """The document of a definition. What it cannot say is noted."""
    definition = writing.definition
    _note_unsaid(writing)
    saying = Saying(writing)
    inputs, variables = _inputs(definition, saying, writing)
    return {
        "version": float(VERSION),
        **given(
            description=definition.description,
            input=inputs,
            vars=variables,
            tasks=Tasks(saying, writing).written(definition.steps),
            output=_output(definition, saying),
        ),
    }


def _note_unsaid(writing: Writing) -> None:
    definition, usual = writing.definition, WorkflowConfig()
    writing.dropped(("metadata", "name"), f"the name {definition.name!r}: a workflow is called as its file")
    if definition.tags:
        writing.dropped(("metadata", "tags"), "the tags")
    for name, what in _CONFIG.items():
        if getattr(definition.config, name) != getattr(usual, name):
            writing.lost(("spec", "config", name), what)
    for name, what in _WORKFLOW.items():
        if getattr(definition, name):
            writing.lost(("spec",), what)
    if definition.compensation.declared or definition.compensation.steps:
        writing.lost(("spec", "compensation"), "how the workflow is undone")
    if definition.config.branches == "shared" and _publishes_side_by_side(definition):
        writing.lost(("spec", "config"), "that all branches share their variables")


def _publishes_side_by_side(definition: WorkflowDefinition) -> bool:
    publishes = any(step.publish or any(edge.publish for edge in step.edges) for step in definition.steps)
    entered = {to for step in definition.steps for edge in step.edges for to in edge.to}
    entered |= {step.name for step in definition.steps if step.depends_on}
    parallel = len(definition.steps) - len(entered) > 1 or any(
        sum(len(edge.to) for edge in step.edges) > 1 for step in definition.steps
    )
    return publishes and parallel


def _inputs(definition: WorkflowDefinition, saying: Saying, writing: Writing) -> tuple[list[Any], list[Any]]:
    """The inputs with their defaults, and the variables beside them."""
    schema = definition.input_schema or {}
    properties: Mapping[str, Any] = schema.get("properties") or {}
    variables = dict(definition.vars)
    inputs: list[Any] = []
    for name, said in properties.items():
        path: Path = ("spec", "input", "schema", "properties", name)
        if isinstance(said, dict) and said.keys() - {"default", "title", "description"}:
            writing.lost(path, f"what the input {name!r} must be like")
        default = _computed(name, variables.get(name), saying, path)
        if default is not None:
            inputs.append({name: default})
        else:
            inputs.append(_entry(name, said))
    if schema.get("required") or schema.keys() - {"type", "properties", "required", "title", "description", "$schema"}:
        writing.lost(("spec", "input", "schema"), "which inputs are required, and what else the schema says")
    return inputs, list(_variables(definition, properties, saying))


def _entry(name: str, said: Any) -> Any:
    default = said.get("default") if isinstance(said, dict) else None
    return name if default is None else {name: default}


def _computed(name: str, value: Any, saying: Saying, path: Path) -> Any:
    """The default that is an expression, or None."""
    found = _OF_INPUT.fullmatch(value) if isinstance(value, str) else None
    if found is None or name not in found.groups() or found[3] is None:
        return None
    return saying.template(f"{{{{ {found[3]} }}}}", path)


def _variables(definition: WorkflowDefinition, properties: Mapping[str, Any], saying: Saying) -> Iterator[Any]:
    for name, value in definition.vars:
        if (name, value) == ("st2", STACKSTORM):
            continue
        found = _OF_INPUT.fullmatch(value) if isinstance(value, str) else None
        if found is None or name not in properties or name not in found.groups():
            yield {name: saying.template(value, ("spec", "vars", name))}


def _output(definition: WorkflowDefinition, saying: Saying) -> list[Any]:
    path: Path = ("spec", "output", "values")
    values = definition.output_values or {}
    return [{name: saying.template(value, (*path, name))} for name, value in values.items()]
