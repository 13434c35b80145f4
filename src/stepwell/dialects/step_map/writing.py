"""From the canonical model to a step map, as far as that can say it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.base.durations import format_duration
from stepwell.definition.context import expressions_in
from stepwell.definition.model import (
    CONTROL_TYPES,
    LEAF_TYPES,
    Path,
    Step,
    WorkflowConfig,
    WorkflowDefinition,
)
from stepwell.dialects.dialect import Writing
from stepwell.dialects.native.parts import given
from stepwell.dialects.step_map.document import DEFAULT_RETRY, DEFAULT_TYPE, DEFAULT_VERSION
from stepwell.dialects.step_map.kinds import NATIVE_TYPES, NEEDED, RESULTS, failing_validation
from stepwell.dialects.step_map.reading import NO_EXPRESSIONS
from stepwell.dialects.step_map.wiring import Dependency, flowing_into, results_of
from stepwell.policy.retry import RetryPolicy

_ONCE: Final = RetryPolicy()
_PLAIN: Final = Step(name="plain")
_SAID: Final = frozenset(
    {"name", "type", "path", "depends_on", "config", "retry", "timeout", "description", "join", "parallel"}
)
"""The parts of a step that a step map says, or that are looked at by themselves."""
_BRACES: Final = NO_EXPRESSIONS.text("{{")
"""How a native text says two braces."""
_KINDS: Final = {native: kind for kind, native in NATIVE_TYPES.items()}


def write(writing: Writing) -> dict[str, Any]:
    """The step map of a definition. What it cannot say is noted, and left out."""
    definition = writing.definition
    _workflow(definition, writing)
    kinds = {step.name: _kind(step) for step in definition.steps}
    return {
        "id": definition.name,
        **given(
            version=definition.version if definition.version != DEFAULT_VERSION else None,
            description=definition.description,
            max_parallel_steps=definition.config.max_parallel_steps,
            **_retry(definition.config.retry or _ONCE, DEFAULT_RETRY, ("spec", "config", "retry_policy"), writing),
        ),
        "steps": {step.name: _step(step, definition, kinds, writing) for step in definition.steps},
    }


def _workflow(definition: WorkflowDefinition, writing: Writing) -> None:
    """Note what is said of the workflow as a whole and has no place in a step map."""
    config, usual = definition.config, WorkflowConfig()
    for field in config.__struct_fields__:
        if field not in ("retry", "max_parallel_steps") and getattr(config, field) != getattr(usual, field):
            writing.lost(("spec", "config", field), f"`{field}` of the workflow")
    whole: Mapping[str, Any] = {
        "an input schema": definition.input_schema,
        "variables": definition.vars,
        "triggers": definition.triggers,
        "compensation": definition.compensation.declared,
        "an output other than the results of all steps": definition.output_schema
        or definition.output_values not in (None, results_of(step.name for step in definition.steps)),
    }
    for what, there in whole.items():
        if there:
            writing.lost(("spec",), what)
    if definition.tags:
        writing.dropped(("metadata", "tags"), "the tags")


# Retries


def _retry(policy: RetryPolicy, usual: RetryPolicy, path: Path, writing: Writing) -> dict[str, Any]:
    """The keys that say how often and how patiently, as far as that is not the usual."""
    base, most = _delays(policy, path, writing)
    for field in ("jitter", "when", "give_up_on", "delay"):
        if getattr(policy, field):
            writing.lost(path, f"`{field}` of a retry policy")
    return given(
        max_retries=policy.max_attempts - 1 if policy.max_attempts != usual.max_attempts else None,
        retry=given(
            base_delay=format_duration(base) if base != usual.initial_delay else None,
            max_delay=format_duration(most) if most != usual.max_delay else None,
            retryable_errors=list(policy.retry_on) if policy.retry_on != usual.retry_on else None,
        ),
    )


def _delays(policy: RetryPolicy, path: Path, writing: Writing) -> tuple[int, int]:
    """The first and the longest wait of a policy whose waits double."""
    base, retries = policy.initial_delay, policy.max_attempts - 1
    usual = DEFAULT_RETRY.max_delay or 0
    if retries < 1 and policy.max_delay is None:
        return (base, usual) if base <= usual else (DEFAULT_RETRY.initial_delay, usual)
    if retries > 1 and (policy.backoff == "linear" or (policy.backoff == "exponential" and policy.multiplier != 2)):
        writing.lost(path, "waits that do not double")
    if policy.backoff == "constant":
        return base, base
    if policy.max_delay is not None:
        return base, policy.max_delay
    return base, max(usual, policy.delay_after(retries, b"", ""))


# Steps


def _kind(step: Step) -> str:
    """The type that the step has in a step map."""
    return _lacking(step) or _KINDS.get(step.type, step.type)


def _lacking(step: Step) -> str | None:
    """The type of which the step is one that lacks what it needs; None when it is none."""
    if step.type != "validation" or not isinstance(step.config.get("data"), dict):
        return None
    return next((kind for kind in NEEDED if step.config == failing_validation(kind, step.config["data"])), None)


def _step(step: Step, definition: WorkflowDefinition, kinds: Mapping[str, str], writing: Writing) -> dict[str, Any]:
    _check(step, writing)
    kind = kinds[step.name]
    dependencies = [Dependency(each.step, kinds[each.step]) for each in step.depends_on if each.step in kinds]
    return given(
        type=kind if kind != DEFAULT_TYPE else None,
        description=step.description,
        input=_input(step, kind, dependencies, writing),
        depends_on=[each.step for each in step.depends_on],
        timeout=format_duration(step.timeout) if step.timeout is not None else None,
        **_own_retry(step, definition.config.retry or _ONCE, writing),
    )


def _own_retry(step: Step, usual: RetryPolicy, writing: Writing) -> dict[str, Any]:
    """What the step itself says about trying again."""
    if step.retry is None:
        return {}
    said = _retry(step.retry, usual, (*step.path, "retry"), writing)
    return said or {"max_retries": step.retry.max_attempts - 1}


def _check(step: Step, writing: Writing) -> None:
    """Note what a step of a step map cannot have."""
    name = step.name
    for field in step.__struct_fields__:
        if field not in _SAID and getattr(step, field) != getattr(_PLAIN, field):
            writing.lost(step.path, f"`{field}` of step {name!r}")
    if step.join not in (None, "all"):
        writing.lost((*step.path, "join"), f"`join: {step.join}` of step {name!r}")
    for dependency in step.depends_on:
        if dependency.on not in ("satisfied", "success"):
            writing.lost(dependency.path, f"that step {name!r} depends on `{dependency.on}` of {dependency.step!r}")
    if step.type in LEAF_TYPES | CONTROL_TYPES and step.type not in _KINDS:
        writing.lost((*step.path, "type"), f"a step of type {step.type!r}")
    if step.parallel is not None:
        writing.dropped((*step.path, "parallel"), "`parallel`, which changes nothing")


# What steps are given


def _input(step: Step, kind: str, dependencies: Sequence[Dependency], writing: Writing) -> dict[str, Any]:
    """What the step is given, without what flows into it by itself."""
    rest = _without_wiring(step, kind, dependencies, writing)
    return {key: _literal(value, key, step, writing) for key, value in rest.items()}


def _without_wiring(step: Step, kind: str, dependencies: Sequence[Dependency], writing: Writing) -> dict[str, Any]:
    if _lacking(step) is not None:
        return dict(step.config["data"])
    if kind == "default":
        value = step.config.get("value")
        return _without_results(step, value if isinstance(value, dict) else {}, ..., dependencies, writing)
    if kind in NATIVE_TYPES:
        return _without_data(step, kind, dependencies, writing)
    return _without_results(step, step.config, ... if dependencies else {}, dependencies, writing)


def _without_data(step: Step, kind: str, dependencies: Sequence[Dependency], writing: Writing) -> dict[str, Any]:
    """The settings of a built-in type without the data that it would get anyway."""
    config, wired = dict(step.config), flowing_into(kind, dependencies)
    if "schema" in config:
        config["validation_schema"] = config.pop("schema")
    usual = wired or ({"data": None} if kind == "data_validation" else {})
    if usual and {key: config[key] for key in ("data", "data_from") if key in config} == usual:
        return {key: value for key, value in config.items() if key not in usual}
    if wired and "data" not in config:
        writing.lost(step.path, f"that step {step.name!r} gets other data than that of those it depends on")
    return config


def _without_results(
    step: Step, settings: Mapping[str, Any], otherwise: Any, dependencies: Sequence[Dependency], writing: Writing
) -> dict[str, Any]:
    """The settings of another type without the results that it would get anyway.

    Args:
        otherwise: what stands for results that it does not get.
    """
    if settings.get(RESULTS, otherwise) != results_of(each.name for each in dependencies):
        what = f"that step {step.name!r} gets something else than the results of those it depends on"
        writing.lost(step.path, what)
    return {key: value for key, value in settings.items() if key != RESULTS}


def _literal(value: Any, key: str, step: Step, writing: Writing) -> Any:
    """The value with its braces as plain text again. An expression in it is noted."""
    plain = _plain(value)
    if expressions_in(_plain(value, braces="")):
        writing.lost((*step.path, "config", key), f"the expression in `{key}` of step {step.name!r}")
    return plain


def _plain(value: Any, braces: str = "{{") -> Any:
    if isinstance(value, str):
        return value.replace(_BRACES, braces)
    if isinstance(value, dict):
        return {key: _plain(part, braces) for key, part in value.items()}
    return [_plain(part, braces) for part in value] if isinstance(value, list) else value
