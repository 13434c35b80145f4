"""Retry policies as tasks write them."""

from __future__ import annotations

from typing import Any, Final

from jinja2 import nodes

from stepwell.base.durations import SECOND
from stepwell.definition.model import Step
from stepwell.dialects.dialect import Writing
from stepwell.dialects.graphs.conditions import ANY, asks_outcome, functions_in, read_condition
from stepwell.dialects.task_graph.document import MOST_RETRIES
from stepwell.dialects.task_graph.saying import Saying
from stepwell.dialects.task_graph.tasks import RETRIES_OF_COMMAND
from stepwell.expression.unparsing import unparse
from stepwell.policy.retry import RetryPolicy

_FAILED: Final = read_condition("failed()")
_ANY: Final = read_condition(ANY)
_COMMAND: Final = RetryPolicy(max_attempts=RETRIES_OF_COMMAND + 1, backoff="constant", initial_delay=0)
"""What `do: retry` means without `retry`, but for the condition."""


def written_retry(
    policy: RetryPolicy | None, step: Step, saying: Saying, writing: Writing
) -> tuple[dict[str, Any] | None, list[str]]:
    """`retry` of a task, and the conditions under which `do: retry` runs it again."""
    if policy is None or policy.max_attempts == 1:
        return None, []
    _note_unsaid(policy, step, writing)
    errors, again = _parts(policy.when)
    if errors is None and (policy.max_attempts, policy.backoff, policy.initial_delay, policy.max_delay) == (
        _COMMAND.max_attempts, _COMMAND.backoff, 0, None,
    ):  # fmt: skip
        return None, again
    if errors is None:
        writing.lost((*step.path, "retry"), f"the condition of the retries of {step.name!r}")
    said: dict[str, Any] = {"count": min(policy.max_attempts - 1, MOST_RETRIES)}
    if policy.initial_delay:
        said["delay"] = _seconds(policy.initial_delay)
    if policy.backoff != "constant":
        said["backoff"] = policy.backoff
    if policy.max_delay is not None:
        said["max_delay"] = _seconds(policy.max_delay)
    if errors:
        said["on_error"] = saying.condition(errors, (*step.path, "retry", "when"), step, "retry")
    return said, again if errors is not None else []


def _note_unsaid(policy: RetryPolicy, step: Step, writing: Writing) -> None:
    path = (*step.path, "retry")
    if policy.delay is not None:
        writing.lost(path, f"the computed waits between the tries of {step.name!r}")
    if policy.jitter:
        writing.lost(path, f"the jitter of the retries of {step.name!r}")
    if policy.backoff == "exponential" and policy.multiplier != RetryPolicy().multiplier:
        writing.lost(path, f"the multiplier of the retries of {step.name!r}")
    if policy.retry_on or policy.give_up_on:
        writing.lost(path, f"which types of error {step.name!r} is tried again after")
    if policy.max_attempts - 1 > MOST_RETRIES:
        writing.lost(path, f"more than {MOST_RETRIES} retries of {step.name!r}")


def _parts(when: Any) -> tuple[str | None, list[str]]:
    """A native condition of retries, as `on_error` (empty: after any failure; None: nothing is said about failures
    alone) and the conditions of `do: retry`."""
    if when is None:
        return "error.retryable", []
    first, *others = _alternatives(read_condition(str(when) if isinstance(when, str) else "true"))
    errors = _about_errors(first)
    again = [unparse(each) for each in others]
    return (errors, again) if errors is not None else (None, [unparse(first), *again])


def _alternatives(tree: nodes.Expr) -> list[nodes.Expr]:
    """What stands between the `or`s of a condition, in order: each asks how the step ended, or it is the only one."""
    found: list[nodes.Expr] = []
    while isinstance(tree, nodes.Or) and tree != _ANY:
        found.insert(0, tree.right)
        tree = tree.left
    joined = [tree]
    for each in found:
        if asks_outcome(unparse(joined[-1])) and asks_outcome(unparse(each)):
            joined.append(each)
        else:
            joined[-1] = nodes.Or(joined[-1], each)
    return joined


def _about_errors(tree: nodes.Expr) -> str | None:
    if tree == _FAILED:
        return ""
    if isinstance(tree, nodes.And) and tree.left == _FAILED:
        return unparse(tree.right)
    text = unparse(tree)
    return None if asks_outcome(text) or "result" in functions_in(text) else text


def _seconds(micros: int) -> int | float:
    return micros // SECOND if micros % SECOND == 0 else micros / SECOND
