"""What the language knows and this version does not run: said before anything starts, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from stepwell.definition.model import (
    BLOCK_TYPES,
    CONTROL_TYPES,
    FailureAction,
    Path,
    Step,
    WorkflowDefinition,
    all_steps,
)

_STEP_KEYS: Final = ("resources",)

_ALONE: Final = CONTROL_TYPES - BLOCK_TYPES
"""Control types that can undo a step or stand in for it: those without steps of their own."""

_OVER_AT_ONCE: Final = frozenset({"noop", "set", "checkpoint", "fail", "wait"})
"""Control types without a result of which a cache could save anything: there the key changes nothing."""


def unsupported(definition: WorkflowDefinition, leaf_types: Collection[str]) -> list[tuple[Path, str]]:
    """(where, what) of every construct that would not be run.

    Args:
        leaf_types: the types that have a task handler; names of registered tasks are among them.
    """
    found: list[tuple[Path, str]] = []
    groups = (definition.steps, definition.compensation.steps, definition.config.on_error.steps)
    for step in (step for group in groups for step in all_steps(group)):
        found.extend(_of_step(step, leaf_types))
    found.extend(
        (step.path, "edges between compensation steps: they run one after the other")
        for step in definition.compensation.steps
        if step.depends_on or step.edges
    )
    return found


def _of_step(step: Step, leaf_types: Collection[str]) -> Iterator[tuple[Path, str]]:
    if step.type in CONTROL_TYPES:
        if step.cache is not None and step.type not in _OVER_AT_ONCE:
            yield (*step.path, "cache"), f"a cache of a step of type {step.type!r}"
    elif step.type not in leaf_types and step.queue is None:  # workers elsewhere may do more
        yield (*step.path, "type"), f"steps of type {step.type!r}"
    undo = step.compensate
    if undo is not None and undo.type not in leaf_types and undo.type not in _ALONE:
        yield undo.path, f"steps of type {undo.type!r}"
    for key in _STEP_KEYS:
        if getattr(step, key) is not None:
            yield (*step.path, key), f"{key!r}"
    yield from _of_action(step.on_failure, leaf_types)
    yield from _of_action(step.on_timeout, leaf_types)


def _of_action(action: FailureAction | None, leaf_types: Collection[str]) -> Iterator[tuple[Path, str]]:
    body = action.fallback.body if action is not None and action.fallback is not None else None
    if body is not None and body.type not in leaf_types and body.type not in _ALONE:
        yield body.path, f"steps of type {body.type!r}"
