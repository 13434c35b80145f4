"""Random definitions: steps without steps in them, and the keys that any step may have."""

from __future__ import annotations

from typing import Any

from tests.simulation.draft import Draft, Scope
from tests.simulation.gen_basics import (
    EVENTS,
    gen_action,
    gen_body,
    gen_condition,
    gen_filter,
    gen_items,
    gen_retry,
    gen_value,
)
from tests.simulation.language import Tree


def gen_leaf(draft: Draft, scope: Scope) -> Tree:
    """A step that a worker does."""
    step: Tree = {"type": "python", "config": {"task": "work", "args": {"x": gen_value(draft, scope)}}}
    if draft.chance(0.15):
        step["output"] = {"n": "{{ response.n | default(0) }}", "x": gen_value(draft, scope)}
    if draft.chance(0.3):
        step["retry"] = gen_retry(draft)
    if draft.chance(0.2):
        step["timeout"] = draft.seconds(1, 2, 4)
        if draft.chance(0.4):
            step["on_timeout"] = gen_action(draft, scope)
    for generate in (_gen_iteration, _gen_limits, _gen_undoing):
        generate(draft, scope, step)
    return step


def _gen_iteration(draft: Draft, scope: Scope, step: Tree) -> None:
    if draft.use("for_each", 0.1):
        step["for_each"] = gen_for_each(draft, scope)
        step["config"] = {"task": "work", "args": {"x": gen_value(draft, scope.inner("item", "index"))}}
    elif draft.use("repeat", 0.06):
        step["repeat"] = gen_repeat(draft)


def gen_for_each(draft: Draft, scope: Scope) -> Tree:
    """Once for every item."""
    for_each: Tree = {"items": gen_items(draft, scope)}
    if draft.chance(0.5):
        for_each["concurrency"] = draft.count(1, 3)
    if draft.chance(0.3):
        for_each["on_error"] = "continue"
    if draft.use("for_each.batch", 0.2):
        for_each["batch_size"] = draft.count(1, 3)
    elif draft.chance(0.2):
        for_each["when"] = draft.pick(("{{ item != 2 }}", "{{ index > 0 }}", False))
    return for_each


def gen_repeat(draft: Draft) -> Tree:
    """Again and again."""
    key = draft.pick(("while", "until"))
    condition = draft.pick(("{{ result.n | default(0) < 3 }}", "{{ vars.n < 3 }}", False, True))
    repeat: Tree = {key: condition, "max_iterations": draft.count(1, 4)}
    if draft.chance(0.3):
        repeat["delay"] = draft.seconds(1, 2)
    return repeat


def _gen_limits(draft: Draft, scope: Scope, step: Tree) -> None:
    if draft.use("mutex", 0.08):
        step["mutex"] = gen_mutex(draft)
    if draft.use("circuit_breaker", 0.06):
        step["circuit_breaker"] = {"threshold": draft.count(1, 2), "open_for": draft.seconds(1, 3), "window": "5s"}
    elif draft.use("policies", 0.03):
        step["circuit_breaker"] = "p"
    if draft.use("bulkhead", 0.06):
        step["bulkhead"] = gen_bulkhead(draft)
    if draft.use("rate_limit", 0.05):
        step["rate_limit"] = {"limit": draft.count(1, 2), "per": draft.seconds(1, 2)}
    if draft.use("cache", 0.04):
        step["cache"] = {"key": draft.pick(("k", "{{ vars.n }}")), "ttl": "5s"}


def gen_mutex(draft: Draft) -> Any:
    """A lock that executions contend for."""
    key = draft.pick(("a", "a", "b", "{{ vars.n }}"))
    return {"key": key, "timeout": draft.seconds(2, 5)} if draft.chance(0.4) else key


def gen_bulkhead(draft: Draft) -> Tree:
    """At most so many at once."""
    bulkhead: Tree = {"max_concurrent": 1, "max_queue_size": draft.count(0, 2)}
    if draft.chance(0.4):
        bulkhead["timeout"] = draft.seconds(1, 3)
    if draft.chance(0.3):
        bulkhead["fallback"] = {"n": 9}
    return bulkhead


def _gen_undoing(draft: Draft, scope: Scope, step: Tree) -> None:
    if not scope.undoing and draft.use("compensate", 0.12):
        step["compensate"] = gen_body(draft, scope, "undo")


def gen_noop(draft: Draft, scope: Scope) -> Tree:
    """Nothing."""
    return {"type": "noop"}


def gen_set(draft: Draft, scope: Scope) -> Tree:
    """Variables get other values."""
    return {"type": "set", "config": {draft.pick(("n", "m")): draft.pick(("{{ vars.n + 1 }}", 1, 5))}}


def gen_fail(draft: Draft, scope: Scope) -> Tree:
    """A failure."""
    return {"type": "fail", "config": {"message": "because", "type": draft.pick(("boom", "timeout"))}}


def gen_wait(draft: Draft, scope: Scope) -> Tree:
    """A timer."""
    return {"type": "wait", "config": {"for": draft.seconds(0, 1, 1, 2, 3, 7)}}


def gen_wait_for_event(draft: Draft, scope: Scope) -> Tree:
    """An event from outside."""
    config = {"event_type": draft.pick(EVENTS), "filter": gen_filter(draft), "timeout": draft.seconds(1, 2, 3, 5, 9)}
    step: Tree = {
        "type": "wait_for_event",
        "config": {key: value for key, value in config.items() if value is not None},
    }
    if draft.chance(0.25):
        step["on_timeout"] = gen_action_without_retry(draft, scope)
    if draft.use("control.retry", 1.0 if draft.leaning == "text" else 0.3):
        step["retry"] = {**gen_retry(draft, plain=True), "max_attempts": 3}
        step["config"]["timeout"] = draft.pick(("1s", "{{ vars.n }}"))
    return step


def gen_action_without_retry(draft: Draft, scope: Scope) -> Tree:
    """What a control step does when it has failed."""
    action = gen_action(draft, scope)
    return action if action["action"] != "retry" or draft.can("control.retry") else {"action": "continue"}


def gen_approval(draft: Draft, scope: Scope) -> Tree:
    """A question to a person."""
    config: Tree = {"prompt": "go?", "timeout": draft.seconds(2, 5)}
    if draft.chance(0.4):
        config["default"] = draft.pick((True, {"n": 1}))
    if draft.chance(0.3):
        config["response_schema"] = {"type": "object"}
    return {"type": "approval", "config": config}


def gen_checkpoint(draft: Draft, scope: Scope) -> Tree:
    """A place to come back to."""
    return {"type": "checkpoint", "config": {"name": draft.pick(("here", "there"))}}


def gen_workflow_step(draft: Draft, scope: Scope) -> Tree:
    """An execution of another workflow."""
    config: Tree = {"name": draft.pick(draft.children or ("nobody",)), "input": {"flag": gen_value(draft, scope)}}
    if draft.use("workflow.detached", 0.15):
        config["wait"] = False
    return {"type": "workflow", "config": config}


TRIED_AGAIN = ("approval", "workflow", "conditional", "loop", "parallel_group", "state_machine", "dynamic")
"""Types of steps that the engine does itself and that may be tried again, and may run out of time."""


def gen_keys(draft: Draft, scope: Scope, step: Tree) -> None:
    """The keys that a step of any type may have, beside its edges."""
    if draft.chance(0.18):
        step["when"] = gen_condition(draft, scope)
    if draft.chance(0.2) or (draft.leaning == "text" and step["type"] in ("python", "wait") and scope.seen):
        step["publish"] = {draft.pick(("n", "m")): gen_published(draft, scope)}
    if draft.chance(0.2) and "on_failure" not in step:
        action = gen_action if step["type"] == "python" else gen_action_without_retry
        step["on_failure"] = action(draft, scope)
    if step["type"] in TRIED_AGAIN and draft.use("control.retry", 0.15):
        step["retry"] = gen_retry(draft)
        if draft.chance(0.5):
            step["timeout"] = draft.seconds(1, 3, 6)
    if draft.use("delay", 0.06):
        step["delay"] = draft.seconds(1, 2)
    if draft.use("step.checkpoint", 0.05):
        step["checkpoint"] = draft.pick(("here", "there"))


def gen_published(draft: Draft, scope: Scope) -> Any:
    """The new value of a variable."""
    if draft.leaning == "text":
        return "soon"
    return draft.pick(
        (1, 3, 2, "soon", "{{ response.n | default(2) }}", "{{ vars.m }}", "{{ input.size | default(2) }}")
    )
