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
            for fallback, outcomes in _fallbacks(step):
                _check_fallback(fallback, step, group, groups, context)
                _check_answered(fallback, outcomes, step, group, context)
    for policy in parts.config.policies.values():
        if isinstance(policy, Bulkhead) and policy.fallback is not None:
            _check_shared(policy.fallback, groups, context)


def _check_shared(fallback: Fallback, groups: Groups, context: Context) -> None:
    """The fallback of a policy that is declared for all steps: no step stands beside it."""
    if isinstance(fallback.value, str) and fallback.value in groups.of:
        message = f"a policy that is shared cannot name the step {fallback.value!r} as its fallback"
        hint = "write the bulkhead into the step, or the step into the fallback: `{type: ..., config: ...}`"
        context.findings.add("unknown-step", message, fallback.path, hint=hint)


def _fallbacks(step: Step) -> Iterator[tuple[Fallback, tuple[str, ...]]]:
    """What stands in for a step, each with the outcomes by which an edge would go before it."""
    bulkhead = step.bulkhead if isinstance(step.bulkhead, Bulkhead) else None
    holders = ((step.on_failure, _ON_FAILURE), (step.on_timeout, _ON_TIMEOUT), (bulkhead, _ON_FAILURE))
    for holder, outcomes in holders:
        if holder is not None and holder.fallback is not None:
            yield holder.fallback, outcomes


_ON_FAILURE = ("failure", "complete")
_ON_TIMEOUT = ("timeout", "failure", "complete")


def _check_answered(fallback: Fallback, outcomes: tuple[str, ...], step: Step, group: Group, context: Context) -> None:
    """An edge handles the failure, so nothing stands in for the step."""
    to = next((group.answered[step.name, on] for on in outcomes if (step.name, on) in group.answered), None)
    if to is not None:
        message = f"a failure of {step.name!r} takes the edge to {to!r}, so the fallback has no effect"
        context.findings.add("no-effect", message, fallback.path, hint="edges go before fallbacks: keep one of them")


def _check_fallback(fallback: Fallback, step: Step, group: Group, groups: Groups, context: Context) -> None:
    if fallback.step == step.name:
        message, hint = f"{step.name!r} cannot stand in for itself", "to try it again, use `retry`"
        context.findings.add("self-dependency", message, fallback.path, hint=hint)
    elif fallback.step is not None:
        _check_entered(fallback.step, step, fallback.path, group, context)
    elif fallback.body is None:
        _check_value(fallback.value, fallback.path, group, groups, context)


def _check_value(value: object, path: Path, group: Group, groups: Groups, context: Context) -> None:
    """A value that looks as if it was meant as a step."""
    if isinstance(value, str) and value in groups.of:
        unknown_step(value, group, groups, path, context)
    elif isinstance(value, str) and NAME.fullmatch(value):
        meant = context.findings.meant(value, group.by_name.keys())
        as_text = f"a text is written \"{{{{ '{value}' }}}}\""
        hint = f"did you mean {meant!r}? {as_text}" if meant is not None else as_text
        message = f"there is no step {value!r}, so this is the value to use"
        context.findings.add("unrecognised-step", message, path, hint=hint)
    elif isinstance(value, dict) and _looks_like_step(value):
        message = "without `type` this is a value, not a step to run"
        context.findings.add("unrecognised-step", message, path, hint="for a step, write its `type` too")


def _looks_like_step(value: dict[str, object]) -> bool:
    return value.keys() <= {"config", "with", "retry", "timeout"} and not value.keys().isdisjoint({"config", "with"})


def _check_entered(name: str, owner: Step, path: Path, group: Group, context: Context) -> None:
    """A step that stands in for another one has no edges that lead to it."""
    source = group.entered_from.get(name)
    if source is not None:
        message = f"{name!r} stands in for {owner.name!r}, and an edge from {source!r} leads to it as well"
        hint = "it runs only when it is needed: take the edge out, or give the fallback as a step: `{type: ...}`"
        context.findings.add("fallback-has-edges", message, path, hint=hint)
