"""Which steps change something outside of the workflow, and which of them nothing would undo."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from stepwell.definition.model import CONTROL_TYPES, LEAF_TYPES, Step, WorkflowDefinition
from stepwell.expression.template import compile_condition, compile_template

_READING_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""The safe methods of HTTP (RFC 9110, 9.2.1) that a step can be given."""
_READING_FILE_OPS: Final = frozenset({"read", "list"})
_CHANGING: Final = frozenset({"python", "shell", "sql", "notify", "emit_event", "ai"})


def has_effect(step: Step) -> bool:
    """Whether running the step may change something that other people see. When only a run knows, it may."""
    match step.type:
        case "http" | "service_call":
            return str(step.config.get("method") or "GET").upper() not in _READING_METHODS
        case "file":
            return step.config.get("op") not in _READING_FILE_OPS
        case kind:
            return kind in _CHANGING or kind not in LEAF_TYPES | CONTROL_TYPES  # a task of the user's


def read_by_compensation(definition: WorkflowDefinition) -> frozenset[str]:
    """The names of the steps whose output or fate the compensation steps read: those are taken to be undone by them."""
    return frozenset(name for step in definition.compensation.steps for name in _read_by(step))


def _read_by(step: Step) -> Iterator[str]:
    templates = [compile_template(step.config, problems=[]), compile_template(step.output, problems=[])]
    if step.when is not None:
        templates.append(compile_condition(step.when, problems=[]))
    for template in templates:
        for reference in template.references:
            if reference.path[0] == "steps" and len(reference.path) > 1:
                yield str(reference.path[1])
