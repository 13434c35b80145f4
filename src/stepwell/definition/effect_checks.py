"""Keys that mean nothing where they stand: on a type that knows no retries, without anything to undo, and the like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from stepwell.base.durations import format_duration
from stepwell.definition.building import Parts
from stepwell.definition.context import Context
from stepwell.definition.groups import Groups
from stepwell.definition.model import CONTROL_TYPES, Bulkhead, Path, Step

_WORK = ("queue", "resources", "circuit_breaker", "bulkhead", "rate_limit")
"""Keys about the work of a step, which a worker does."""

_OVER_AT_ONCE = ("retry", "timeout", "cache")
"""Keys without meaning for what is over at once: it neither fails for a while, nor lasts, nor gives a result."""

_WITHOUT_EFFECT: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(CONTROL_TYPES - {"dynamic"}, _WORK),
    **dict.fromkeys(("noop", "set", "checkpoint", "fail"), (*_OVER_AT_ONCE, *_WORK)),
    "wait": ("retry", "cache", *_WORK),
}
"""By type, the keys that change nothing."""

_NOTHING_TO_DO = "there is nothing to try again or to end"

_UNDOING = ("cancels", "milestone", "compensate", "checkpoint")
"""Keys that have no meaning on a step of `compensation.steps`."""


def check_effects(groups: Groups, parts: Parts, context: Context) -> None:
    """Check that what is written changes something. What does not is recorded."""
    for step in groups.everything:
        _check_type(step, context)
    _check_compensation(groups, parts, context)
    _check_undoing(parts, context)
    _check_deadline(parts, context)
    _check_checkpoints(groups, context)


def _without_effect(step: Step) -> tuple[str, ...]:
    """The keys that change nothing on this step. A wait fails, and can be tried again, only when it has a timeout."""
    keys = _WITHOUT_EFFECT.get(step.type, ())
    return tuple(key for key in keys if key != "retry") if step.type == "wait" and step.timeout is not None else keys


def _check_type(step: Step, context: Context) -> None:
    for key in _without_effect(step):
        if getattr(step, key) is not None:
            message = f"`{key}` has no effect on a step of type {step.type!r}"
            hint = "the engine does it itself, at no cost" if key in _WORK else _NOTHING_TO_DO
            context.findings.add("no-effect", message, (*step.path, key), hint=hint, key=True)
    if step.on_failure is None and step.on_timeout is None and step.compensate is None and step.bulkhead is None:
        return
    for action in (step.on_failure, step.on_timeout):
        if action is not None and action.action == "retry" and "retry" in _without_effect(step):
            message = f"`action: retry` has no effect on a step of type {step.type!r}"
            context.findings.add("no-effect", message, (*action.path, "action"), hint=_NOTHING_TO_DO)
    _check_bodies(step, context)


def _check_bodies(step: Step, context: Context) -> None:
    """The same for what undoes a step or takes its place."""
    bulkhead = step.bulkhead if isinstance(step.bulkhead, Bulkhead) else None
    fallbacks = [each.fallback for each in (step.on_failure, step.on_timeout, bulkhead) if each is not None]
    bodies = [step.compensate, *(each.body for each in fallbacks if each is not None)]
    for body in bodies:
        if body is None:
            continue
        for key in ("retry", "timeout"):
            if key in _WITHOUT_EFFECT.get(body.type, ()) and getattr(body, key) is not None:
                message = f"`{key}` has no effect on a step of type {body.type!r}"
                context.findings.add("no-effect", message, (*body.path, key), hint=_NOTHING_TO_DO, key=True)


# Compensation


def _check_compensation(groups: Groups, parts: Parts, context: Context) -> None:
    """Undoing is asked for where nothing says how."""
    undoing = any(step.compensate is not None or step.type == "workflow" for step in groups.everything)
    if undoing or parts.compensation.steps:
        return
    for path in _asked_to_undo(groups, parts):
        message = "there is nothing to undo: no step has `compensate`, and there is no `compensation`"
        context.findings.add("no-effect", message, path, hint="say what undoes the steps, or leave this out")


def _asked_to_undo(groups: Groups, parts: Parts) -> Iterator[Path]:
    if parts.config.on_error.strategy == "compensate":
        yield ("spec", "config", "on_error", "strategy")
    if parts.config.compensate_on_cancel:
        yield ("spec", "config", "cancellation", "compensate")
    for step in groups.everything:
        for action in (step.on_failure, step.on_timeout):
            if action is not None and action.action == "compensate" and action.compensation_workflow is None:
                yield (*action.path, "action")


def _check_undoing(parts: Parts, context: Context) -> None:
    for step in parts.compensation.steps:
        for key in _UNDOING:
            if getattr(step, key) not in (None, ()):
                message = f"`{key}` has no meaning on {step.name!r}: compensation steps run in the order of the list"
                context.findings.add("misplaced-key", message, (*step.path, key), key=True)
        for action in (step.on_failure, step.on_timeout):
            if action is not None and action.fallback is not None and action.fallback.step is not None:
                message = f"{action.fallback.step!r} runs in its place in the list; it cannot stand in for another step"
                hint = "write the step into the fallback: `{type: ..., config: ...}`"
                context.findings.add("misplaced-key", message, action.fallback.path, hint=hint)


# The workflow as a whole


def _check_deadline(parts: Parts, context: Context) -> None:
    timeout, deadline = parts.config.timeout, parts.config.deadline
    if timeout is not None and deadline is not None and timeout > deadline:
        message = (
            f"the timeout is {format_duration(timeout)}, and the deadline ends it after {format_duration(deadline)}"
        )
        hint = "the deadline counts all time, the timeout active time only, so it is the shorter one"
        context.findings.add("timeout-too-long", message, ("spec", "config", "timeout"), hint=hint)


def _check_checkpoints(groups: Groups, context: Context) -> None:
    first: dict[str, Path] = {}
    for step in groups.everything:
        for name, path in _checkpoints(step):
            if name in first:
                message = f"the checkpoint {name!r} is set in {context.findings.place(first[name])} as well"
                hint = "rolling back leads to the one that was reached last"
                context.findings.add("duplicate-checkpoint", message, path, hint=hint)
            first.setdefault(name, path)


def _checkpoints(step: Step) -> Iterator[tuple[str, Path]]:
    """The names that one can roll back to after the step, and where they stand."""
    if step.checkpoint is not None:
        yield step.checkpoint, (*step.path, "checkpoint")
    if step.type == "checkpoint":
        name = step.config.get("name")
        yield (name, (*step.path, "config", "name")) if isinstance(name, str) else (step.name, step.path)
