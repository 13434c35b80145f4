"""What steps must satisfy where branches are separate (`config.branches: separate`)."""

from __future__ import annotations

from collections.abc import Iterator

from stepwell.definition.context import Context
from stepwell.definition.groups import Group, name_path
from stepwell.definition.model import FailureAction, Path, Step


def check_branches(group: Group, context: Context) -> None:
    """Check the joins of the definition's own steps, and what has no meaning there. What is wrong is recorded."""
    sources = _sources(group)
    lanes = _lanes(group, sources)
    if group.steps and not lanes:
        message = "no step begins: something leads to each of them"
        context.findings.add("no-entry", message, name_path(group.steps[0]), hint="let nothing lead to one of them")
        return
    for step in group.steps:
        if step.name not in lanes:
            message = f"nothing ever starts {step.name!r}: only steps of its own cycle lead to it"
            hint = "let a step outside the cycle lead into it"
            context.findings.add("never-started", message, name_path(step), hint=hint)
            continue
        _check_join(step, sources[step.name], lanes, context)
        for path in _stand_ins(step):
            message = "a step cannot stand in for another where branches are separate"
            context.findings.add("wrong-value", message, path, hint="let an edge on failure lead to it")
        for inner, path in _published_inside(step):
            message = (
                f"{inner!r} stands inside {step.name!r}, and where branches are separate nothing is published there"
            )
            hint = f"let {step.name!r} publish it"
            if path[-1] == "type":
                context.findings.add("wrong-value", message, path, hint=hint)
            else:
                context.findings.add("misplaced-key", message, path, hint=hint, key=True)


def begins_lanes(step: Step, leading: list[str]) -> bool:
    """Whether the step runs once for every edge that leads to it.

    Args:
        leading: the steps that the edges come from, one for each edge.
    """
    return step.join == "each" or (step.join is None and not step.depends_on and len(leading) > 1)


def _sources(group: Group) -> dict[str, list[str]]:
    """By step, where the edges come from that lead to it."""
    found: dict[str, list[str]] = {step.name: [] for step in group.steps}
    for step in group.steps:
        found[step.name].extend(each.step for each in step.depends_on)
        for edge in step.edges:
            for target in edge.to:
                found.setdefault(target, []).append(step.name)
    return found


def _check_join(step: Step, leading: list[str], lanes: dict[str, int], context: Context) -> None:
    findings, path = context.findings, (*step.path, "join")
    if step.join is not None and not leading:
        findings.add("no-effect", f"no edge leads to {step.name!r}, so `join` has no effect", path, key=True)
    elif step.join in ("sync", "any"):
        message = f"`join: {step.join}` has no meaning where branches are separate"
        findings.add("wrong-value", message, path, hint="leave it out, or say `all`, `each` or a number")
    elif isinstance(step.join, int) and step.join > len(set(leading)):
        message = f"`join: {step.join}` can never be met: {len(set(leading))} steps lead to {step.name!r}"
        findings.add("impossible-join", message, path)
    elif step.join == "all" or isinstance(step.join, int):
        apart = next((name for name in leading if lanes.get(name) != lanes.get(leading[0])), None)
        if apart is not None:
            both = f"{leading[0]!r} and {apart!r}"
            message = f"{step.name!r} joins what never comes together: {both} do not run equally often"
            hint = "a step to which several edges lead runs once for each; let it join them, or join before it"
            findings.add("impossible-join", message, path, hint=hint)


def _lanes(group: Group, sources: dict[str, list[str]]) -> dict[str, int]:
    """By step that can be reached, the steps on the ways to it that run once for each of their edges, as bits.

    Those that run in circles are not among them."""
    graph = group.graph
    found: dict[str, int] = {}
    for members in reversed(graph.components):
        names = {group.steps[node].name for node in members}
        entering = [name for each in names for name in sources[each] if name not in names and name in found]
        if not entering and not (len(names) == 1 and not sources[next(iter(names))]):
            continue
        lanes = 0
        for name in entering:
            lanes |= found[name]
        node = members[0]
        if len(members) == 1 and _begins_lane(group.steps[node], sources):
            lanes |= 1 << node
        found |= dict.fromkeys(names, lanes)
    return found


def _begins_lane(step: Step, sources: dict[str, list[str]]) -> bool:
    return step.name not in sources[step.name] and bool(sources[step.name]) and begins_lanes(step, sources[step.name])


def _stand_ins(step: Step) -> Iterator[Path]:
    for action in (step.on_failure, step.on_timeout):
        if isinstance(action, FailureAction) and action.fallback is not None and action.fallback.step is not None:
            yield action.fallback.path


def _published_inside(step: Step) -> Iterator[tuple[str, Path]]:
    for _, block in step.blocks:
        for inner in block:
            if inner.type == "set":
                yield inner.name, (*inner.path, "type")
            if inner.publish:
                yield inner.name, (*inner.path, "publish")
            for edge in inner.edges:
                if edge.publish:
                    yield inner.name, (*edge.path, "publish")
            yield from _published_inside(inner)
