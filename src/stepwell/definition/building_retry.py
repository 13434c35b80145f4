"""From what a document says about trying again to a retry policy."""

from __future__ import annotations

from typing import TypeVar

from stepwell.definition import document as doc
from stepwell.definition.context import Context
from stepwell.definition.model import Path
from stepwell.definition.places import RETRY_WHEN
from stepwell.definition.shapes import as_names
from stepwell.policy.retry import RetryPolicy

DEFAULT_ATTEMPTS = 3
"""What a retry block means that does not say how often: one try and two more."""

ERROR_TYPES = frozenset({
    "timeout", "http_error", "connection_error", "validation_error", "expression_error", "invalid_config",
    "invalid_result", "circuit_open", "bulkhead_full", "bulkhead_timeout", "lock_timeout", "invalid_items",
    "items_failed", "group_failed", "invalid_steps", "unexpected_event", "workflow_failed", "workflow_cancelled",
})  # fmt: skip
"""The types of error that steps fail with beside those of the tasks themselves."""

T = TypeVar("T")


def build_retry(
    written: doc.RetryDoc | None,
    base: RetryPolicy | None,
    path: Path,
    context: Context,
    step: str | None = None,
    names: frozenset[str] = frozenset(),
) -> RetryPolicy | None:
    """The retry policy written at `path`; what it leaves out is taken from `base`, else from the defaults.

    A block that says nothing about `max_attempts`, with no base either, means `DEFAULT_ATTEMPTS` tries in all. An empty
    list of error types says nothing about them, whatever `base` says.
    """
    if written is None:
        return None
    base = base or RetryPolicy(max_attempts=DEFAULT_ATTEMPTS)
    backoff = "constant" if written.backoff == "fixed" else written.backoff
    policy = RetryPolicy(
        max_attempts=or_else(written.max_attempts, base.max_attempts),
        backoff=or_else(backoff, base.backoff),
        initial_delay=or_else(written.initial_delay, base.initial_delay),
        max_delay=or_else(written.max_delay, base.max_delay),
        multiplier=or_else(written.multiplier, base.multiplier),
        jitter=or_else(written.jitter, base.jitter),
        when=or_else(written.when, base.when),
        retry_on=base.retry_on if written.retry_on is None else as_names(written.retry_on),
        give_up_on=base.give_up_on if written.give_up_on is None else as_names(written.give_up_on),
        delay=or_else(written.delay, base.delay),
    )
    if written.delay is not None:
        context.template(written.delay, (*path, "delay"), RETRY_WHEN, step, names)
    context.condition(written.when, (*path, "when"), RETRY_WHEN, step, names)
    _check_delays(written, policy, path, context)
    _check_types(written, policy, path, context)
    return policy


def or_else(value: T | None, default: T) -> T:
    """The value, or the default when nothing is written."""
    return default if value is None else value


def _check_delays(written: doc.RetryDoc, policy: RetryPolicy, path: Path, context: Context) -> None:
    if policy.max_delay is not None and policy.max_delay < policy.initial_delay:
        message = "`max_delay` is shorter than `initial_delay`"
        at = "max_delay" if written.max_delay is not None else "initial_delay"
        context.findings.add("wrong-value", message, (*path, at), hint="the longest wait cannot be below the first one")


def _check_types(written: doc.RetryDoc, policy: RetryPolicy, path: Path, context: Context) -> None:
    """Types of error that the policy cannot tell, or that say nothing."""
    findings = context.findings
    if policy.max_attempts == 1:
        for key in written.given("when", "retry_on", "give_up_on"):
            message = f"`{key}` has no effect with one try"
            findings.add("no-effect", message, (*path, key), hint="`max_attempts` counts the first try too", key=True)
        return
    for key, others in (("retry_on", policy.give_up_on), ("give_up_on", ())):
        for position, name in enumerate(as_names(getattr(written, key))):
            place = findings.entry_path((*path, key), position)
            if name in others:
                message = f"errors of type {name!r} are both tried again and given up on; giving up wins"
                findings.add("no-effect", message, place, hint="take it out of one of the lists")
            elif name not in ERROR_TYPES and name.islower():
                _check_spelling(name, place, context)


def _check_spelling(name: str, path: Path, context: Context) -> None:
    meant = context.findings.meant(name, ERROR_TYPES)
    if meant is not None:
        message = f"{name!r} is no type of error of the engine's, so a task must fail with it"
        context.findings.add("unrecognised-error", message, path, hint=f"did you mean {meant!r}?")
