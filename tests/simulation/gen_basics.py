"""Random definitions: values, conditions, retries and the other small things that steps are made of."""

from __future__ import annotations

from typing import Any

from tests.simulation.draft import Draft, Scope
from tests.simulation.language import Tree

EVENTS = ("go", "go", "stop", "ping")
ERRORS = ("boom", "connection_error", "timeout", "late")


def gen_expression(draft: Draft, scope: Scope) -> str:
    """What an expression may read: variables, input, steps, items, and what is drawn."""
    reads = ["vars.n", "vars.m + 1", "input.flag", "uuid()", "input.size | default(3)", "now()", "random()"]
    if scope.seen:
        seen = draft.pick(scope.seen)
        reads += [
            f"steps.{seen}.output | default(0)",
            f"steps.{seen}.status",
            f"steps.{seen}.completed",
            f"steps.{seen}.attempts",
        ]
        if draft.chance(0.25):
            reads += [f"steps.{seen}.output", f"steps.{seen}.output.n"]
    reads += scope.items * 3
    return draft.pick(reads)


def gen_value(draft: Draft, scope: Scope) -> Any:
    """A value, or an expression that yields one."""
    if draft.chance(0.3):
        return draft.pick((1, 7, "text", None, True, [1, 2], {"n": 2}))
    expression = gen_expression(draft, scope)
    return draft.pick((f"{{{{ {expression} }}}}", f"{{{{ {expression} }}}}", f"x {{{{ {expression} }}}}"))


def gen_condition(draft: Draft, scope: Scope) -> Any:
    """A condition; now and then one that cannot be evaluated."""
    conditions: list[Any] = [True, True, False, "{{ vars.n > 2 }}", "{{ vars.n < 3 }}", "{{ input.flag }}"]
    if scope.seen:
        seen = draft.pick(scope.seen)
        conditions += [
            f"{{{{ steps.{seen}.completed }}}}",
            f"{{{{ steps.{seen}.failed or steps.{seen}.completed }}}}",
            f"{{{{ steps.{seen}.status == 'skipped' }}}}",
        ]
    if draft.chance(0.04):
        return "{{ vars.n.nothing > 1 }}"
    return draft.pick(conditions)


def gen_retry(draft: Draft, *, plain: bool = False) -> Tree:
    """A retry policy; a plain one has no condition."""
    retry: Tree = {"max_attempts": draft.count(1, 3), "backoff": draft.pick(("constant", "linear", "exponential"))}
    retry["initial_delay"] = draft.seconds(0, 0, 1, 2)
    if draft.chance(0.3):
        retry["jitter"] = 0.5
    if not plain and draft.chance(0.25):
        retry["when"] = draft.pick(
            ("{{ attempt < 2 }}", "{{ timed_out() }}", "{{ error.type == 'boom' }}", True, False)
        )
    if draft.use("retry_on", 0.15):
        retry["retry_on"] = draft.some(ERRORS, 2) or ["boom"]
    if draft.use("give_up_on", 0.15):
        retry["give_up_on"] = draft.some(ERRORS, 2) or ["boom"]
    return retry


def gen_action(draft: Draft, scope: Scope) -> Tree:
    """What `on_failure` or `on_timeout` does."""
    action = draft.pick(("continue", "continue", "skip", "terminate", "compensate", "retry"))
    if draft.use("fallback.value", 0.15):
        return {"action": "fallback", "fallback": draft.pick(({"n": 5}, 5, "{{ error.type }}", "{{ vars.n }}"))}
    if draft.use("fallback.step", 0.15):
        return {"action": "fallback", "fallback": gen_body(draft, scope, "fallback")}
    if draft.use("action.pause", 0.06):
        return {"action": "pause"}
    if action == "retry":
        return {"action": "retry", "max_attempts": draft.count(1, 3)}
    if action == "compensate" and draft.use("compensation_workflow", 0.4):
        return {"action": action, "compensation_workflow": draft.pick(draft.children or ("nobody",))}
    if draft.chance(0.2):
        return {"action": action, "message": "because {{ error.message }}"}
    return {"action": action}


def gen_body(draft: Draft, scope: Scope, task: str) -> Tree:
    """A step without a place in the graph."""
    body: Tree = {"type": "python", "config": {"task": task, "args": {"x": gen_value(draft, scope)}}}
    if draft.chance(0.2):
        body["retry"] = gen_retry(draft, plain=True)
    return body


def gen_filter(draft: Draft) -> Any:
    """Which events a wait takes."""
    return draft.pick((None, None, {"n": "{{ vars.n }}"}, {"n": {"~gt": 1}}, "{{ event.data.n > 1 }}", {"n": 2}))


def gen_items(draft: Draft, scope: Scope) -> Any:
    """What is iterated over."""
    if draft.chance(0.15):
        return "{{ [vars.n, vars.m, 3] }}"
    if scope.seen and draft.chance(0.1):
        return f"{{{{ steps.{draft.pick(scope.seen)}.output | default([]) }}}}"
    return [draft.count(0, 3) for _ in range(draft.count(0, 4))]
