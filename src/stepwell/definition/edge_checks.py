"""What the edges of a group of steps must satisfy: they lead to steps beside, and every step can run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_never

from stepwell.definition.branch_checks import check_branches
from stepwell.definition.context import Context
from stepwell.definition.graph import cycles, inbound_counts, leads_to_itself
from stepwell.definition.groups import Group, Groups, name_path
from stepwell.definition.model import DependencyOn, Path, Step
from stepwell.definition.reach import Blocked, Inbound, blocked_steps, can_be_skipped

_SHOWN = 5
"""Names that a message lists."""


def check_edges(group: Group, groups: Groups, context: Context, *, separate: bool = False) -> None:
    """Check the edges of a group, and what follows from them. What is wrong is recorded.

    Args:
        separate: its branches are; see `branch_checks`.
    """
    for step, target, path in _named_by(group.steps):
        if target == step.name and step.max_visits is not None and path not in _dependencies(step):
            continue
        if target == step.name:
            hint = "to run it again, use `repeat` or `retry`"
            context.findings.add("self-dependency", f"{target!r} leads to itself", path, hint=hint)
        elif target not in group.by_name:
            unknown_step(target, group, groups, path, context)
    _twice(group.steps, context)
    _never_skipped(group, context)
    found = cycles(group.graph)
    for cycle in found:
        shown = " -> ".join(cycle if len(cycle) <= 12 else (*cycle[:6], "...", *cycle[-5:]))
        place = name_path(group.by_name[cycle[0]])
        hint = "take one of the edges out, or give a step of the cycle `max_visits`"
        context.findings.add("cycle", f"the steps wait for each other: {shown}", place, hint=hint)
    if not found and separate:
        _visits(group, context)
        check_branches(group, context)
    elif not found:
        _visits(group, context)
        _joins(group, context)
        for blocked in blocked_steps(group.graph):
            _blocked(blocked, group, context)


def _dependencies(step: Step) -> set[Path]:
    return {each.path for each in step.depends_on}


def unknown_step(name: str, group: Group, groups: Groups, path: Path, context: Context) -> None:
    """Record that no step beside is called that; when there is one elsewhere, say where."""
    found = groups.of.get(name)
    if found is None:
        hint = context.findings.hint_for(name, group.by_name.keys())
        context.findings.add("unknown-step", f"there is no step {name!r}", path, hint=hint)
        return
    message, hint = f"the step {name!r} is not beside this one", "edges lead only between steps of the same group"
    inner = next((outer for at, outer in groups.chain(name) if at is group), None)
    if inner is not None:
        message += f", but inside {inner!r}"
        hint += f"; {inner!r} stands beside it"
    elif group.parent is not None and any(at is found for at, _ in groups.chain(group.parent.name)):
        message += f", but outside of {group.parent.name!r}"
        hint += f"; let {group.parent.name!r} wait for it"
    context.findings.add("unknown-step", message, path, hint=hint)


def _named_by(steps: tuple[Step, ...]) -> Iterator[tuple[Step, str, Path]]:
    """(step, the name of another one, where): every place where an edge names a step."""
    for step in steps:
        for dependency in step.depends_on:
            yield step, dependency.step, dependency.path
        for edge in step.edges:
            for target in edge.to:
                yield step, target, edge.path


def _twice(steps: tuple[Step, ...], context: Context) -> None:
    for step in steps:
        if len(step.depends_on) > 1:
            _once(((each.step, _kind(each.on), each.path) for each in step.depends_on), context)
        for edge in step.edges:
            if len(edge.to) > 1:
                _once(((target, "", edge.path) for target in edge.to), context)


def _kind(on: DependencyOn) -> str:
    """What tells two dependencies on the same step apart: those that a success takes say the same."""
    return "" if on in ("satisfied", "success", "complete") else on


def _once(named: Iterator[tuple[str, str, Path]], context: Context) -> None:
    seen: set[tuple[str, str]] = set()
    for name, kind, path in named:
        if (name, kind) in seen:
            context.findings.add("duplicate-dependency", f"{name!r} is named twice", path)
        seen.add((name, kind))


def _never_skipped(group: Group, context: Context) -> None:
    """A dependency on a step being skipped, when nothing in the document skips it."""
    for step in group.steps:
        for dependency in step.depends_on:
            source = group.by_name.get(dependency.step) if dependency.on == "skipped" else None
            if source is not None and not can_be_skipped(source):
                message = f"{source.name!r} has no `when`, so it is never skipped by itself"
                hint = "a step whose way is dead does not count as skipped here"
                context.findings.add("no-effect", message, dependency.path, hint=hint)


def _visits(group: Group, context: Context) -> None:
    """`max_visits` on a step that runs once anyway."""
    if all(step.max_visits is None for step in group.steps):
        return
    again = {node for members in group.graph.tangles for node in members}
    for node, step in enumerate(group.steps):
        if step.max_visits is not None and node not in again and step.join != "each" and not leads_to_itself(step):
            message = f"{step.name!r} stands in no cycle, so `max_visits` has no effect"
            context.findings.add("no-effect", message, (*step.path, "max_visits"), key=True)


# Joins


def _joins(group: Group, context: Context) -> None:
    inbound = inbound_counts(group.steps)
    for step in group.steps:
        count, path = inbound[step.name], (*step.path, "join")
        if isinstance(step.join, int) and step.join > count:
            edges = "edge leads" if count == 1 else "edges lead"
            message = f"`join: {step.join}` can never be met: {count} {edges} to {step.name!r}"
            context.findings.add("impossible-join", message, path)
        elif step.join is not None and count == 0:
            message = f"no edge leads to {step.name!r}, so `join` has no effect"
            context.findings.add("no-effect", message, path, key=True)


def _blocked(blocked: Blocked, group: Group, context: Context) -> None:
    name, step = blocked.step.name, blocked.step
    match blocked.cause:
        case "circle":
            code, path = "unreachable-step", name_path(step)
            message = f"nothing ever starts {name!r}: only steps of its own cycle lead to it"
            hint = "let a step outside the cycle lead into it"
        case "edge":
            code, path = "behind-failure", blocked.edges[0].path
            message = f"{name!r} can never run: {group.steps[blocked.edges[0].source].name!r} always fails"
            hint = "say so if it is meant: `on: failure` or `on: complete`"
        case "excluded":
            code, path = "impossible-join", _join_path(step, blocked)
            one, other = (_edge_name(edge, group) for edge in blocked.edges)
            message = f"{name!r} waits for all of its edges, but those {one} and {other} are never both taken: "
            message += f"{group.steps[blocked.at].name!r} takes one of the two ways"
            hint = "with `join: sync` it runs when the way that is taken has arrived, with `join: any` at the first"
        case "too_few":
            code, path = "impossible-join", (*step.path, "join")
            message = f"`join: {step.join}` can never be met: at most {blocked.at} of its edges can be taken"
            hint = "the others exclude each other, or are never taken"
        case _:
            assert_never(blocked.cause)
    context.findings.add(code, message + _behind(blocked), path, hint=hint)


def _edge_name(edge: Inbound, group: Group) -> str:
    source = group.steps[edge.source].name
    return f"from {source!r}" if edge.on in ("satisfied", "success") else f"from {source!r} on {edge.on}"


def _join_path(step: Step, blocked: Blocked) -> Path:
    return (*step.path, "join") if step.join is not None else blocked.edges[1].path


def _behind(blocked: Blocked) -> str:
    """What can never run either."""
    names = blocked.behind
    if not names:
        return ""
    shown = ", ".join(repr(name) for name in names[:_SHOWN])
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"; nor can what stands behind it: {shown}{more}"
