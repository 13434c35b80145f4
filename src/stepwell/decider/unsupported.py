"""What the language knows and this version does not run: said before anything starts, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from stepwell.decider.constructs import CONSTRUCTS
from stepwell.decider.control import CONTROL
from stepwell.definition.model import CONTROL_TYPES, FailureAction, Path, Step, WorkflowDefinition, all_steps

_STEP_KEYS: Final = ("queue", "resources", "cache")

_BOUNDED: Final = frozenset({"workflow", "approval", "wait_for_event"})
"""Control types without blocks that take a `timeout`."""


def unsupported(definition: WorkflowDefinition, leaf_types: Collection[str]) -> list[tuple[Path, str]]:
    """(where, what) of every construct that would not be run.

    Args:
        leaf_types: the types that have a task handler; names of registered tasks are among them.
    """
    found = list(_of_config(definition))
    groups = (definition.steps, definition.compensation.steps, definition.config.on_error.steps)
    for step in (step for group in groups for step in all_steps(group)):
        found.extend(_of_step(step, leaf_types))
    found.extend(
        (step.path, "edges between compensation steps: they run one after the other")
        for step in definition.compensation.steps
        if step.depends_on or step.edges
    )
    return found


def _of_config(definition: WorkflowDefinition) -> Iterator[tuple[Path, str]]:
    config, path = definition.config, ("spec", "config")
    if config.on_error.notify is not None:
        yield (*path, "on_error", "notify"), "notifications"


def _of_step(step: Step, leaf_types: Collection[str]) -> Iterator[tuple[Path, str]]:
    if step.type in CONTROL_TYPES:
        if step.type not in CONTROL and step.type not in CONSTRUCTS:
            yield (*step.path, "type"), f"steps of type {step.type!r}"
        elif step.type in CONTROL and step.type not in _BOUNDED and step.timeout is not None:
            yield (*step.path, "timeout"), f"a timeout of a step of type {step.type!r}"
    elif step.type not in leaf_types:
        yield (*step.path, "type"), f"steps of type {step.type!r}"
    undo = step.compensate
    if undo is not None and undo.type not in leaf_types and undo.type not in CONTROL:
        yield undo.path, f"steps of type {undo.type!r}"
    for key in _STEP_KEYS:
        if getattr(step, key) is not None:
            yield (*step.path, key), f"{key!r}"
    yield from _of_action(step.on_failure, leaf_types)
    yield from _of_action(step.on_timeout, leaf_types)


def _of_action(action: FailureAction | None, leaf_types: Collection[str]) -> Iterator[tuple[Path, str]]:
    if action is None:
        return
    if action.notify is not None:
        yield action.path, "notifications"
    body = action.fallback.body if action.fallback is not None else None
    if body is not None and body.type not in leaf_types and body.type not in CONTROL:
        yield body.path, f"steps of type {body.type!r}"
