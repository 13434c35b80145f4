"""Steps that are named otherwise than by an edge: as a fallback, to be cancelled, as a milestone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from stepwell.definition.building import Parts
from stepwell.definition.context import Context
from stepwell.definition.edge_checks import unknown_step
from stepwell.definition.graph import StepGraph, fallback_steps, not_upstream
from stepwell.definition.groups import Group, Groups
from stepwell.definition.model import Bulkhead, Fallback, Path, Step
from stepwell.definition.reach import join_of
from stepwell.definition.shapes import NAME


class Mention(NamedTuple):
    """A step that another one names.

    Attributes:
        name: of the step that is named.
        near: the name of the one that names it, or of the step that this is nested in, beside `name`.
        itself: `near` names it itself.
    """

    step: Step
    name: str
    near: str
    path: Path

    @property
    def itself(self) -> bool:
        """Whether both stand side by side, and not the one inside a neighbour of the other."""
        return self.near == self.step.name


def check_mentions(groups: Groups, context: Context) -> None:
    """Check what `cancels` and `milestone` name. What is wrong is recorded."""
    cancels: dict[Group, list[Mention]] = {}
    after: dict[Group, list[Mention]] = {}
    before: dict[Group, list[Mention]] = {}
    for group in groups.all:
        for step in group.steps:
            _mentions(step, step.cancels, (*step.path, "cancels"), group, groups, context, cancels)
            if step.milestone is not None:
                path = step.milestone.path
                _mentions(step, step.milestone.after, (*path, "after"), group, groups, context, after)
                _mentions(step, step.milestone.before, (*path, "before"), group, groups, context, before)
    for group in {**cancels, **after, **before}:
        asked = after.get(group, [])
        order = _certain_order(group, asked)
        _check_after(asked, group, order, context)
        _check_before(before.get(group, []), order, context)
        _check_cancels(cancels.get(group, []), order, context)


def _mentions(
    step: Step,
    names: tuple[str, ...],
    path: Path,
    group: Group,
    groups: Groups,
    context: Context,
    found: dict[Group, list[Mention]],
) -> None:
    """Look the names up beside the step and around it."""
    seen: set[str] = set()
    for position, name in enumerate(names):
        place = context.findings.entry_path(path, position)
        if name in seen:
            context.findings.add("duplicate-dependency", f"{name!r} is named twice", place)
        seen.add(name)
        if name == step.name:
            message = f"{name!r} names itself in `{path[-1]}`"
            context.findings.add("self-dependency", message, place, hint="name other steps")
            continue
        at, near = _found(name, step, group)
        if at is None:
            unknown_step(name, group, groups, place, context)
        else:
            found.setdefault(at, []).append(Mention(step, name, near, place))


def _found(name: str, step: Step, group: Group) -> tuple[Group | None, str]:
    """The group, this one or one around it, in which the name is, and what of that group the step is or is part of."""
    at: Group | None = group
    near = step.name
    while at is not None and name not in at.by_name:
        near = at.parent.name if at.parent is not None else near
        at = at.outer
    return at, near


# Order


def _certain_order(group: Group, after: list[Mention]) -> StepGraph:
    """What certainly waits for what: by edges into joins that wait for all of theirs, and by milestones.

    Where steps run in circles an edge need not be waited for, so those are left out.
    """
    plain, order = group.graph, StepGraph(group.steps)
    aside = fallback_steps(group.steps)
    waits = [
        len(plain.predecessors[node]) == 1 or (join_of(step) in ("all", "sync") and step.name not in aside)
        for node, step in enumerate(group.steps)
    ]
    component = plain.component
    order.successors = [
        [to for to in targets if waits[to] and component[to] != component[node]]
        for node, targets in enumerate(plain.successors)
    ]
    for mention in after:
        if mention.name != mention.near:
            order.successors[plain.index[mention.name]].append(plain.index[mention.near])
    return order


def _check_after(mentions: list[Mention], group: Group, order: StepGraph, context: Context) -> None:
    plain = group.graph
    for mention in mentions:
        one, other = plain.index[mention.near], plain.index[mention.name]
        if one == other:
            message = f"{mention.name!r} completes only after {mention.step.name!r}, which is a part of it"
        elif order.component[one] == order.component[other] and plain.component[one] != plain.component[other]:
            message = f"{mention.name!r} in its turn waits for {mention.near!r}, so neither ever starts"
        else:
            continue
        context.findings.add("impossible-milestone", message, mention.path, hint="name a step that can complete before")


def _check_before(mentions: list[Mention], order: StepGraph, context: Context) -> None:
    for mention in _ordered(mentions, order, lambda mention: (mention.near, mention.name)):
        message = f"{mention.name!r} has always ended when {mention.near!r} is due, so {mention.step.name!r} never runs"
        context.findings.add("impossible-milestone", message, mention.path, hint="name a step that may end later")
    for mention in mentions:
        if mention.near == mention.name:
            message = f"{mention.step.name!r} is a part of {mention.name!r}, which cannot end before"
            context.findings.add("no-effect", message, mention.path)


def _check_cancels(mentions: list[Mention], order: StepGraph, context: Context) -> None:
    for mention in _ordered(mentions, order, lambda mention: (mention.near, mention.name)):
        message = f"{mention.name!r} has always ended before {mention.near!r} starts"
        context.findings.add("no-effect", message, mention.path, hint="name a step that may still run")
    own = [mention for mention in mentions if mention.itself]
    for mention in _ordered(own, order, lambda mention: (mention.name, mention.near)):
        message = f"{mention.name!r} waits for {mention.step.name!r}, which cancels it when it completes"
        hint = "take the edge out, or do not cancel it"
        context.findings.add("cancels-later-step", message, mention.path, hint=hint)


def _ordered(
    mentions: list[Mention], order: StepGraph, pair: Callable[[Mention], tuple[str, str]]
) -> Iterator[Mention]:
    """Those of which the second step of the pair has certainly ended when the first is due."""
    asked = [(mention, pair(mention)) for mention in mentions if mention.near != mention.name]
    apart = not_upstream(order, {names for _, names in asked}) if asked else set[tuple[str, str]]()
    return (mention for mention, names in asked if names not in apart)


# Fallbacks


def check_fallbacks(groups: Groups, parts: Parts, context: Context) -> None:
    """Check what runs in place of a step. What is wrong is recorded."""
    for group in groups.all:
        for step in group.steps:
            for fallback in _fallbacks(step):
                _check_fallback(fallback, step, group, groups, context)
    for policy in parts.config.policies.values():
        if isinstance(policy, Bulkhead) and policy.fallback is not None:
            _check_shared(policy.fallback, groups, context)


def _check_shared(fallback: Fallback, groups: Groups, context: Context) -> None:
    """The fallback of a policy that is declared for all steps: no step stands beside it."""
    if isinstance(fallback.value, str) and fallback.value in groups.of:
        message = f"a policy that is shared cannot name the step {fallback.value!r} as its fallback"
        hint = "write the bulkhead into the step, or the step into the fallback: `{type: ..., config: ...}`"
        context.findings.add("unknown-step", message, fallback.path, hint=hint)


def _fallbacks(step: Step) -> Iterator[Fallback]:
    bulkhead = step.bulkhead if isinstance(step.bulkhead, Bulkhead) else None
    for holder in (step.on_failure, step.on_timeout, bulkhead):
        if holder is not None and holder.fallback is not None:
            yield holder.fallback


def _check_fallback(fallback: Fallback, step: Step, group: Group, groups: Groups, context: Context) -> None:
    findings = context.findings
    if fallback.step == step.name:
        message = f"{step.name!r} cannot stand in for itself"
        findings.add("self-dependency", message, fallback.path, hint="to try it again, use `retry`")
    elif fallback.step is not None:
        _check_entered(fallback.step, step, fallback.path, group, context)
    elif fallback.body is None and isinstance(fallback.value, str) and NAME.fullmatch(fallback.value):
        if fallback.value in groups.of:
            unknown_step(fallback.value, group, groups, fallback.path, context)
            return
        meant = findings.meant(fallback.value, group.by_name.keys())
        if meant is not None:
            message = f"there is no step {fallback.value!r}, so this is the value to use"
            findings.add("unrecognised-step", message, fallback.path, hint=f"did you mean {meant!r}?")
    elif fallback.body is None and isinstance(fallback.value, dict) and _looks_like_step(fallback.value):
        message = "without `type` this is a value, not a step to run"
        findings.add("unrecognised-step", message, fallback.path, hint="for a step, write its `type` too")


def _looks_like_step(value: dict[str, object]) -> bool:
    return value.keys() <= {"config", "with", "retry", "timeout"} and not value.keys().isdisjoint({"config", "with"})


def _check_entered(name: str, owner: Step, path: Path, group: Group, context: Context) -> None:
    """A step that stands in for another one has no edges that lead to it."""
    source = group.entered_from.get(name)
    if source is not None:
        message = f"{name!r} stands in for {owner.name!r}, and an edge from {source!r} leads to it as well"
        hint = "it runs only when it is needed: take the edge out, or give the fallback as a step: `{type: ...}`"
        context.findings.add("fallback-has-edges", message, path, hint=hint)
