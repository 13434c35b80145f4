"""Random definitions: steps with steps in them, and the choice between all kinds."""

from __future__ import annotations

from typing import Any

from tests.simulation.draft import Draft, Scope
from tests.simulation.gen_basics import EVENTS, gen_condition, gen_items
from tests.simulation.gen_edges import gen_edges
from tests.simulation.gen_steps import (
    gen_approval,
    gen_checkpoint,
    gen_fail,
    gen_keys,
    gen_leaf,
    gen_noop,
    gen_set,
    gen_wait,
    gen_wait_for_event,
    gen_workflow_step,
)
from tests.simulation.language import Tree

DEEPEST = 3


def gen_block(draft: Draft, scope: Scope, least: int = 1, most: int = 3) -> list[Tree]:
    """Steps side by side, with edges between them."""
    steps: list[Tree] = []
    inner = scope
    for _ in range(max(least, min(draft.count(least, most), draft.budget))):
        step = gen_step(draft, inner)
        steps.append(step)
        inner = inner.after(step["name"])
    gen_edges(draft, scope, steps)
    return steps


def gen_step(draft: Draft, scope: Scope) -> Tree:
    """A step of any kind, without edges."""
    draft.budget -= 1
    name = draft.name()
    simple = draft.budget < 2 or scope.depth >= DEEPEST or (scope.depth > 0 and not draft.can("nested"))
    _, generate = draft.weighted(SIMPLE if simple else (*SIMPLE, *CONSTRUCTS))
    step = {"name": name, **generate(draft, scope)}
    gen_keys(draft, scope, step)
    return step


def gen_conditional(draft: Draft, scope: Scope) -> Tree:
    """One of two ways."""
    config: Tree = {"condition": gen_condition(draft, scope), "then": gen_block(draft, scope.inner())}
    if draft.chance(0.6):
        config["else"] = gen_block(draft, scope.inner(), most=2)
    return {"type": "conditional", "config": config}


def gen_cases(draft: Draft, scope: Scope) -> Tree:
    """One of several ways."""
    cases = [
        {"when": gen_condition(draft, scope), "steps": gen_block(draft, scope.inner(), most=2)}
        for _ in range(draft.count(1, 3))
    ]
    config: Tree = {"cases": cases}
    if draft.chance(0.5):
        config["default"] = gen_block(draft, scope.inner(), most=2)
    return {"type": "conditional", "config": config}


def gen_loop_items(draft: Draft, scope: Scope) -> Tree:
    """Once for every item."""
    config: Tree = {"items": gen_items(draft, scope), "steps": gen_block(draft, scope.inner("item", "index"))}
    if draft.use("loop.concurrency", 0.4):
        config["concurrency"] = draft.count(1, 3)
    return {"type": "loop", "config": config}


def gen_loop_count(draft: Draft, scope: Scope) -> Tree:
    """So often."""
    config: Tree = {"count": draft.pick((0, 1, 2, 3, "{{ vars.n }}")), "steps": gen_block(draft, scope.inner("index"))}
    return {"type": "loop", "config": config}


def gen_loop_while(draft: Draft, scope: Scope) -> Tree:
    """As long as, or until."""
    key = draft.pick(("while", "until"))
    condition = draft.pick(("{{ vars.n < 3 }}", "{{ vars.n > 2 }}", "{{ index < 2 }}", False, True))
    block = gen_block(draft, scope.inner("index"))
    config: Tree = {key: condition, "max_iterations": draft.count(1, 3), "steps": block}
    if draft.chance(0.2):
        config["delay"] = draft.seconds(1, 2)
    return {"type": "loop", "config": config}


def gen_parallel_group(draft: Draft, scope: Scope) -> Tree:
    """Side by side."""
    block = gen_block(draft, scope.inner(), 1, 4)
    config: Tree = {"steps": block}
    if draft.chance(0.6):
        config["wait_for"] = draft.pick(("all", "any", draft.count(1, len(block))))
    if draft.chance(0.4):
        config["fail_fast"] = draft.chance(0.5)
    return {"type": "parallel_group", "config": config}


def gen_state_machine(draft: Draft, scope: Scope) -> Tree:
    """States, and events between them."""
    names = ["red", "green", "blue"][: draft.count(2, 3)]
    states: dict[str, Any] = {}
    for name in names[:-1]:
        transitions = [_transition(draft, scope, names) for _ in range(draft.count(1, 2))]
        states[name] = {"transitions": transitions}
        if draft.chance(0.5):
            states[name]["on_enter"] = gen_block(draft, scope.inner(), most=2)
    states[names[-1]] = {"final": True}
    if draft.chance(0.3):
        states[names[-1]]["on_enter"] = gen_block(draft, scope.inner(), most=1)
    config: Tree = {"initial": names[0], "states": states}
    if draft.chance(0.15):
        config["strict"] = True
    return {"type": "state_machine", "config": config, "timeout": draft.seconds(6, 12)}


def _transition(draft: Draft, scope: Scope, names: list[str]) -> Tree:
    transition: Tree = {"event": draft.pick(EVENTS), "to": draft.pick((*names, names[-1]))}
    if draft.chance(0.2):
        transition["when"] = "{{ event.data.n > 1 }}"
    if draft.chance(0.3):
        transition["actions"] = gen_block(draft, scope.inner(), most=1)
    return transition


def gen_dynamic(draft: Draft, scope: Scope) -> Tree:
    """Steps that are known only when it runs."""
    if draft.use("dynamic.task", 0.3):
        return {"type": "dynamic", "config": {"task": "list", "args": {"x": 1}}}
    return {"type": "dynamic", "config": {"steps": gen_listed(draft)}}


def gen_listed(draft: Draft) -> list[Tree]:
    """Steps as a task would list them: without expressions, which would be evaluated before they are steps."""
    steps: list[Tree] = [
        {"name": f"d{len(draft.names)}_{number}", "type": draft.pick(("python", "python", "noop", "wait"))}
        for number in range(draft.count(1, 3))
    ]
    for position, step in enumerate(steps):
        step["config"] = {"python": {"task": "work"}, "noop": {}, "wait": {"for": "1s"}}[step["type"]]
        if position and draft.chance(0.6):
            step["depends_on"] = [{"step": steps[position - 1]["name"], "on": draft.pick(("success", "complete"))}]
    return steps


SIMPLE = (
    (70, "", gen_leaf),
    (4, "", gen_noop),
    (5, "", gen_set),
    (1, "", gen_fail),
    (7, "", gen_wait),
    (8, "", gen_wait_for_event),
    (4, "approval", gen_approval),
    (2, "checkpoint", gen_checkpoint),
    (5, "workflow", gen_workflow_step),
)
"""(weight, part of the language, what writes it): kinds of steps without steps in them."""

CONSTRUCTS = (
    (5, "conditional", gen_conditional),
    (4, "conditional.cases", gen_cases),
    (4, "loop.items", gen_loop_items),
    (3, "loop.count", gen_loop_count),
    (4, "loop.while", gen_loop_while),
    (7, "parallel_group", gen_parallel_group),
    (4, "state_machine", gen_state_machine),
    (3, "dynamic", gen_dynamic),
)
"""Kinds of steps with steps in them."""
