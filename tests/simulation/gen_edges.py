"""Random definitions: the edges between the steps of a block, pulled and pushed, and the joins they meet at."""

from __future__ import annotations

from typing import Any

from tests.simulation.draft import Draft, Scope
from tests.simulation.gen_basics import gen_condition, gen_value
from tests.simulation.language import Tree

PREDICATES = (*[None] * 7, "complete", "complete", "complete", "success", "success", "failure", "timeout", "skipped")
OUTCOMES = ("on_success", "on_success", "on_success", "on_complete", "on_complete", "on_failure", "on_timeout")
CONDITIONS = ("{{ succeeded() }}", "{{ failed() }}", "{{ timed_out() }}", "{{ result().n | default(0) > 1 }}")


def gen_edges(draft: Draft, scope: Scope, steps: list[Tree]) -> None:
    """Lead from earlier steps to later ones, and now and then back."""
    names = [step["name"] for step in steps]
    inbound = dict.fromkeys(names, 0)
    for position in range(1, len(steps)):
        sources = draft.some(steps[:position], 3) if draft.chance(0.4) else [draft.pick(steps[:position])]
        if draft.chance(0.15):
            sources = []
        for source in sources:
            _gen_edge(draft, scope, source, steps[position])
            inbound[names[position]] += 1
    if len(steps) > 2 and draft.use("max_visits", 0.12):
        _gen_cycle(draft, steps, inbound)
    for step in steps:
        _gen_join(draft, step, inbound[step["name"]])
    _gen_regions(draft, steps)


def _gen_edge(draft: Draft, scope: Scope, source: Tree, target: Tree) -> None:
    if draft.chance(0.62):
        _gen_pulled(draft, source["name"], target)
    elif draft.use("decision", 0.25):
        _gen_branch(draft, scope, source, target["name"])
    elif draft.chance(0.5):
        source.setdefault("next", []).append(_gen_next(draft, scope, target["name"]))
    else:
        _gen_outcome(draft, source, target["name"])


def _gen_pulled(draft: Draft, source: str, target: Tree) -> None:
    predicate = draft.pick(PREDICATES)
    target.setdefault("depends_on", []).append(source if predicate is None else {"step": source, "on": predicate})


def _gen_next(draft: Draft, scope: Scope, target: str) -> Any:
    edge: Tree = {}
    if draft.use("edge.outcome", 0.35):
        edge["when"] = draft.pick(CONDITIONS)
    elif draft.use("edge.when", 0.3):
        edge["when"] = gen_condition(draft, scope)
    if draft.use("edge.publish", 0.2):
        edge["publish"] = {"n": draft.pick((4, "{{ vars.n + 1 }}")), "m": gen_value(draft, Scope())}
    if draft.use("edge.delay", 0.15):
        edge["delay"] = draft.seconds(1, 2)
    return {**edge, "to": [target]} if edge else target


def _gen_outcome(draft: Draft, source: Tree, target: str) -> None:
    key = draft.pick(OUTCOMES)
    if isinstance(source.get(key), dict):
        key = "on_complete"
    source.setdefault(key, []).append(target)


def _gen_branch(draft: Draft, scope: Scope, source: Tree, target: str) -> None:
    branches = source.setdefault("decision", [])
    if draft.chance(0.3) and not any("default" in branch for branch in branches):
        branches.append({"default": target})
    else:
        branches.append({"when": gen_condition(draft, scope), "next": target})


def _gen_cycle(draft: Draft, steps: list[Tree], inbound: dict[str, int]) -> None:
    """Lead from a step back to one that leads to it, at most so often."""
    targets = [position for position in range(1, len(steps) - 1) if inbound[steps[position]["name"]]]
    if not targets:
        return
    back = draft.pick(targets)
    target, source = steps[back], steps[draft.count(back + 1, len(steps) - 1)]
    source.setdefault(draft.pick(("on_success", "on_complete")), []).append(target["name"])
    inbound[target["name"]] += 1
    target["max_visits"] = draft.count(2, 3)
    if draft.chance(0.7):
        target["join"] = "any"


def _gen_join(draft: Draft, step: Tree, inbound: int) -> None:
    if not inbound or "join" in step:
        return
    if inbound > 1 and draft.leaning == "joins":
        step["join"] = inbound
    elif inbound > 1 and draft.chance(0.4):
        step["join"] = draft.pick(("all", "sync", "any", draft.count(1, inbound), inbound))
    if draft.use("join.each", 0.06):
        step["join"] = "each"


def _gen_regions(draft: Draft, steps: list[Tree]) -> None:
    """Steps that others cancel, and steps that may start only in between."""
    if len(steps) < 3:
        return
    names = [step["name"] for step in steps]
    if draft.use("cancels", 0.12):
        step = draft.pick(steps)
        step["cancels"] = [name for name in draft.some(names, 2) if name != step["name"]] or [
            next(name for name in names if name != step["name"])
        ]
    if draft.use("milestone", 0.1):
        step = draft.pick(steps)
        others = [name for name in names if name != step["name"]]
        milestone = {"after": draft.some(others, 1), "before": draft.some(others, 1)}
        if milestone["after"] or milestone["before"]:
            step["milestone"] = milestone
