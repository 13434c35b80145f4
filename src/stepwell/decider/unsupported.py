"""What the language knows and this version does not run: said before anything starts, never ignored."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Final

from stepwell.decider.control import CONTROL
from stepwell.definition.model import CONTROL_TYPES, FailureAction, Path, Step, WorkflowDefinition

_STEP_KEYS: Final = (
    "for_each", "repeat", "compensate", "circuit_breaker", "bulkhead", "rate_limit", "queue", "resources", "cache",
    "checkpoint", "max_visits",
)  # fmt: skip


def unsupported(definition: WorkflowDefinition, leaf_types: Collection[str]) -> list[tuple[Path, str]]:
    """(where, what) of every construct that would not be run.

    Args:
        leaf_types: the types that have a task handler; names of registered tasks are among them.
    """
    found = list(_of_config(definition))
    for step in (*definition.steps, *definition.compensation.steps):
        found.extend(_of_step(step, leaf_types))
    found.extend(
        (step.path, "edges between compensation steps: they run one after the other")
        for step in definition.compensation.steps
        if step.depends_on or step.edges
    )
    return found


def _of_config(definition: WorkflowDefinition) -> Iterator[tuple[Path, str]]:
    config, compensation, path = definition.config, definition.compensation, ("spec", "config")
    if config.concurrency is not None:
        yield (*path, "concurrency"), "concurrency keys"
    if config.compensate_on_cancel:
        yield (*path, "cancellation"), "compensation on cancellation"
    if config.on_error.notify is not None:
        yield (*path, "on_error", "notify"), "notifications"
    if config.on_error.steps:
        yield (*path, "on_error"), "steps in on_error"
    if config.policies:
        yield (*path, "policies"), "named policies"
    path = ("spec", "compensation")
    if compensation.strategy == "parallel":
        yield (*path, "strategy"), "parallel compensation"
    if compensation.mode == "manual":
        yield (*path, "mode"), "manual compensation"
    if compensation.timeout is not None:
        yield (*path, "timeout"), "a timeout of the compensation as a whole"


def _of_step(step: Step, leaf_types: Collection[str]) -> Iterator[tuple[Path, str]]:
    if step.type in CONTROL_TYPES:
        if step.type not in CONTROL:
            yield (*step.path, "type"), f"steps of type {step.type!r}"
        elif step.retry is not None or step.timeout is not None:
            yield step.path, f"retry and timeout of a step of type {step.type!r}"
        for action in (step.on_failure, step.on_timeout):
            if action is not None and action.action == "retry":
                yield action.path, f"the action 'retry' of a step of type {step.type!r}"
    elif step.type not in leaf_types:
        yield (*step.path, "type"), f"steps of type {step.type!r}"
    for key in _STEP_KEYS:
        if getattr(step, key) is not None:
            yield (*step.path, key), f"{key!r}"
    if step.delay:
        yield (*step.path, "delay"), "'delay'"
    if step.join == "each":
        yield (*step.path, "join"), "'join: each'"
    for edge in step.edges:
        if edge.when is not None or edge.publish or edge.delay or edge.decision is not None:
            yield edge.path or step.path, "edges with a condition, a delay or a publish of their own"
    yield from _of_action(step.on_failure)
    yield from _of_action(step.on_timeout)


def _of_action(action: FailureAction | None) -> Iterator[tuple[Path, str]]:
    if action is None:
        return
    if action.action in ("fallback", "pause"):
        yield action.path, f"the action {action.action!r}"
    if action.notify is not None:
        yield action.path, "notifications"
