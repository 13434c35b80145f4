"""A definition as a task graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from stepwell.definition.model import Step, Trigger, WorkflowConfig, WorkflowDefinition, all_steps
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.results import shape_of
from stepwell.dialects.graphs.schemas import is_schema
from stepwell.dialects.native.writing import kind_settings
from stepwell.dialects.task_graph.expressions import Names
from stepwell.dialects.task_graph.saying import Saying
from stepwell.dialects.task_graph.writing_tasks import Tasks, fails_in, seconds


def write(writing: Writing) -> dict[str, Any]:
    """The task graph that means what a definition means; what cannot be said is noted."""
    definition = writing.definition
    saying = Saying(writing, _names(definition))
    tasks = Tasks(saying, writing, definition.config.retry)
    _note_unsaid(definition, writing)
    config = definition.config
    document: dict[str, Any] = {
        "ref": definition.name,
        "version": definition.version,
        "description": definition.description or None,
        "tags": list(definition.tags) or None,
        "enabled": None if config.enabled else False,
        "cancellation_policy": config.cancellation if config.cancellation != "allow_finish" else None,
        "timeout": seconds(config.timeout),
        "parameters": _schema(definition.input_schema),
        "output": _schema(definition.output_schema),
        "vars": saying.template(dict(definition.vars), ("spec", "vars")) or None,
        "triggers": [_trigger(trigger, saying) for trigger in definition.triggers] or None,
        "tasks": tasks.listed(definition.steps),
        "on_error": tasks.listed(config.on_error.steps) or None,
        "output_map": saying.template(definition.output_values, ("spec", "output", "values")),
    }
    return {key: value for key, value in document.items() if value is not None}


def _trigger(trigger: Trigger, saying: Saying) -> dict[str, Any]:
    said: dict[str, Any] = {trigger.kind: kind_settings(trigger), **({} if trigger.active else {"active": False})}
    if isinstance(trigger.filter, str):
        said["filter"] = saying.condition(trigger.filter, trigger.path, purpose="rule")
    elif trigger.filter is not None:
        said["filter"] = saying.template(trigger.filter, trigger.path, purpose="rule")
    for key in ("map", "dedupe_key"):
        value = getattr(trigger, key)
        if value is not None:
            said[key] = saying.template(value, trigger.path, purpose="rule")
    return said


def _names(definition: WorkflowDefinition) -> Names:
    steps = [*all_steps(definition.steps), *all_steps(definition.config.on_error.steps)]
    groups = {step.name: step.blocks[0][1] for step in steps if step.type == "parallel_group" and step.blocks}
    inner = {
        name: tuple(each.name for each in group if each.name not in fails_in(group)) for name, group in groups.items()
    }
    return Names(
        iterated=frozenset(step.name for step in steps if step.for_each is not None),
        groups=inner,
        shaped={step.name: shape for step in steps if (shape := shape_of(step.type, step.output)) is not None},
    )


def _schema(schema: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A schema, which must be told from parameters by name."""
    if schema is None:
        return None
    return dict(schema) if is_schema(schema) else {"type": "object", **schema}


def _note_unsaid(definition: WorkflowDefinition, writing: Writing) -> None:
    config = definition.config
    for path, what, is_said in (
        ("deadline", "the deadline", config.deadline is None),
        ("max_parallel_steps", "how many steps may run at once", config.max_parallel_steps is None),
        ("concurrency", "how many executions may run at once", config.concurrency is None),
        ("cancellation", "that a cancelled execution is undone", not config.compensate_on_cancel),
        ("strict_failures", "that a handled failure is a failure", not config.strict_failures),
        ("policies", "policies that steps share", not config.policies),
        ("failure_mode", "that a failure starts nothing new", _drains(definition.steps, config)),
        ("branches", "that branches are separate", config.branches == "shared" or _is_one_way(definition.steps)),
    ):
        if not is_said:
            writing.lost(("spec", "config", path), what)
    if config.on_error.strategy is not None or config.on_error.notify is not None:
        writing.lost(("spec", "config", "on_error"), "what follows a failure of the whole, but for its steps")
    if definition.compensation.declared:
        writing.lost(("spec", "compensation"), "how completed steps are undone")


def _drains(steps: tuple[Step, ...], config: WorkflowConfig) -> bool:
    """Whether after a failure other branches run on; where there are none it makes no difference."""
    return config.failure_mode == "drain" or _is_one_way(steps)


def _is_one_way(steps: tuple[Step, ...]) -> bool:
    """Whether no two branches ever run side by side."""
    leads = Counter(each.step for step in steps for each in step.depends_on)
    for step in steps:
        ways = [edge for edge in step.edges if edge.decision is None and edge.on in ("success", "complete")]
        leads[step.name] += sum(len(edge.to) for edge in ways)
    entered = {name for step in steps for edge in step.edges for name in edge.to}
    entries = sum(not step.depends_on and step.name not in entered for step in steps)
    return entries <= 1 and all(count <= 1 for count in leads.values())
