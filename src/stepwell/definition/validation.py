"""What a definition must satisfy beyond its form: names, edges, joins, cycles, policies, timeouts."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from stepwell.base.durations import format_duration
from stepwell.definition.building import Parts
from stepwell.definition.context import Context
from stepwell.definition.graph import cycles, inbound_counts, unstarted
from stepwell.definition.model import (
    Bulkhead,
    CircuitBreaker,
    FailureAction,
    Path,
    RateLimit,
    Step,
    all_steps,
)
from stepwell.definition.references import check_references
from stepwell.definition.settings_checks import check_known

_PARKED = frozenset({"wait", "wait_for_event", "approval", "workflow"})
"""Types whose time is spent waiting, which the workflow's timeout does not count."""

_TIMED = frozenset({"wait_for_event", "approval", "service_call", "http"})
"""Types that can time out although the step says nothing: by default, or by the configuration of a service."""


def validate(parts: Parts, context: Context) -> None:
    """Check everything that needs more than one place of the document. What is wrong is recorded."""
    everything = every_step(parts)
    _names(everything, context)
    everywhere = {step.name for step in everything}
    for block in every_block(parts):
        _edges(block, everywhere, context)
    _policies(everything, parts, context)
    _timeouts(everything, parts, context)
    check_references(parts, everything, context)


def every_step(parts: Parts) -> list[Step]:
    """Every step of a document: nested ones, those of the compensation and of `on_error` too."""
    return [step for group in _groups(parts) for step in all_steps(group)]


def every_block(parts: Parts) -> Iterator[tuple[Step, ...]]:
    """Every group of steps that lie side by side; only within one do edges lead from step to step."""
    pending = deque(_groups(parts))
    while pending:
        block = pending.popleft()
        yield block
        pending += [inner for step in block for _, inner in step.blocks]


def _groups(parts: Parts) -> tuple[tuple[Step, ...], ...]:
    return (parts.steps, parts.compensation.steps, parts.config.on_error.steps)


# Names


def _names(steps: list[Step], context: Context) -> None:
    first: dict[str, Step] = {}
    for step in steps:
        if step.name not in first:
            first[step.name] = step
            continue
        where = context.findings.place(name_path(first[step.name]))
        message = f"there are two steps {step.name!r}; the first is in {where}"
        hint = "names are unique in the whole workflow, so that expressions can tell steps apart"
        context.findings.add("duplicate-name", message, name_path(step), hint=hint, key=not _is_listed(step))


def name_path(step: Step) -> Path:
    """Where the name of a step stands."""
    return (*step.path, "name") if _is_listed(step) else step.path


def _is_listed(step: Step) -> bool:
    return isinstance(step.path[-1], int)


# Edges


def _edges(block: tuple[Step, ...], everywhere: set[str], context: Context) -> None:
    by_name = {step.name: step for step in reversed(block)}
    for step, target, path in _named_by(block):
        if target == step.name:
            hint = "to run it again, use `repeat` or `retry`"
            context.findings.add("self-dependency", f"{target!r} leads to itself", path, hint=hint)
        elif target not in by_name:
            _unknown_step(target, by_name.keys(), everywhere, path, context)
    _twice(block, context)
    found = cycles(block)
    for cycle in found:
        shown = " -> ".join(cycle if len(cycle) <= 12 else (*cycle[:6], "...", *cycle[-5:]))
        place = name_path(by_name[cycle[0]])
        hint = "take one of the edges out, or give a step of the cycle `max_visits`"
        context.findings.add("cycle", f"the steps wait for each other: {shown}", place, hint=hint)
    if not found:
        _joins(block, by_name, context)


def _named_by(block: tuple[Step, ...]) -> Iterator[tuple[Step, str, Path]]:
    """(step, the name of another one, where): every place where an edge names a step."""
    for step in block:
        for dependency in step.depends_on:
            yield step, dependency.step, dependency.path
        for edge in step.edges:
            for target in edge.to:
                yield step, target, edge.path


def _unknown_step(name: str, beside: Collection[str], everywhere: set[str], path: Path, context: Context) -> None:
    if name in everywhere:
        message = f"the step {name!r} is not beside this one"
        hint = "edges lead only between steps of the same group"
    else:
        message = f"there is no step {name!r}"
        hint = context.findings.hint_for(name, beside) or ""
    context.findings.add("unknown-step", message, path, hint=hint or None)


def _twice(block: tuple[Step, ...], context: Context) -> None:
    for step in block:
        seen: set[str] = set()
        for dependency in step.depends_on:
            if dependency.step in seen:
                context.findings.add("duplicate-dependency", f"{dependency.step!r} is named twice", dependency.path)
            seen.add(dependency.step)


def _joins(block: tuple[Step, ...], by_name: dict[str, Step], context: Context) -> None:
    inbound = inbound_counts(block)
    for step in block:
        if isinstance(step.join, int) and step.join > inbound[step.name]:
            edges = "edge leads" if inbound[step.name] == 1 else "edges lead"
            message = f"`join: {step.join}` can never be met: {inbound[step.name]} {edges} to {step.name!r}"
            context.findings.add("impossible-join", message, (*step.path, "join"))
    for names in unstarted(block):
        message = f"nothing ever starts {names[0]!r}: only steps of its own cycle lead to it"
        hint = "let a step outside the cycle lead into it"
        context.findings.add("unreachable-step", message, name_path(by_name[names[0]]), hint=hint)


# Policies and timeouts

_POLICY_KINDS = (("circuit_breaker", CircuitBreaker), ("bulkhead", Bulkhead), ("rate_limit", RateLimit))


def _policies(steps: list[Step], parts: Parts, context: Context) -> None:
    declared = parts.config.policies
    for step in steps:
        for key, kind in _POLICY_KINDS:
            named = getattr(step, key)
            if not isinstance(named, str) or isinstance(declared.get(named), kind):
                continue
            if named in declared:
                message = f"the policy {named!r} is not a {key}"
                context.findings.add("unknown-policy", message, (*step.path, key))
            elif context.known.policies is not None:
                names = {name for name, policy in declared.items() if isinstance(policy, kind)}
                check_known("unknown-policy", key, named, names | context.known.policies, step.path, context)
        for action_key in ("on_failure", "on_timeout"):
            action: FailureAction | None = getattr(step, action_key)
            if action is not None:
                workflow = action.compensation_workflow
                known = context.known.workflows
                check_known("unknown-workflow", "compensation_workflow", workflow, known, action.path, context)


def _timeouts(steps: list[Step], parts: Parts, context: Context) -> None:
    longest = parts.config.timeout
    for step in steps:
        if longest is not None and step.timeout is not None and step.timeout > longest and step.type not in _PARKED:
            message = f"the step may take {format_duration(step.timeout)}, the workflow {format_duration(longest)}"
            hint = "the workflow's timeout ends it first"
            context.findings.add("timeout-too-long", message, (*step.path, "timeout"), hint=hint)
        if not _can_time_out(step):
            _no_timeout(step, context)


def _can_time_out(step: Step) -> bool:
    breaker = step.circuit_breaker
    bounded = isinstance(breaker, str) or (breaker is not None and breaker.call_timeout is not None)
    return step.timeout is not None or step.type in _TIMED or "timeout" in step.config or bounded


def _no_timeout(step: Step, context: Context) -> None:
    places = [edge.path for edge in step.edges if edge.on == "timeout"]
    if step.on_timeout is not None:
        places.append(step.on_timeout.path)
    for path in places[:1]:
        message = f"{step.name!r} has no timeout, so this never happens"
        context.findings.add("no-timeout", message, path, hint="give the step a `timeout`")
