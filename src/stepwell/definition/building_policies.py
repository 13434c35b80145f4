"""From what a document says about retries, breakers, failures and the like to the canonical model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from stepwell.definition import document as doc
from stepwell.definition.context import Context
from stepwell.definition.model import (
    Bulkhead,
    Cache,
    CircuitBreaker,
    FailureAction,
    Path,
    RateLimit,
)
from stepwell.definition.places import CONFIG, FAILURE, RETRY_WHEN
from stepwell.definition.shapes import Doc
from stepwell.policy.retry import RetryPolicy

DEFAULT_ATTEMPTS = 3
"""What a retry block means that does not say how often: one try and two more."""

T = TypeVar("T")
Policy = CircuitBreaker | Bulkhead | RateLimit


def build_retry(
    written: doc.RetryDoc | None,
    base: RetryPolicy | None,
    path: Path,
    context: Context,
    step: str | None = None,
    names: frozenset[str] = frozenset(),
) -> RetryPolicy | None:
    """The retry policy written at `path`; what it leaves out is taken from `base`, else from the defaults.

    A block that says nothing about `max_attempts`, with no base either, means `DEFAULT_ATTEMPTS` tries in all.
    """
    if written is None:
        return None
    base = base or RetryPolicy(max_attempts=DEFAULT_ATTEMPTS)
    backoff = "constant" if written.backoff == "fixed" else written.backoff
    policy = RetryPolicy(
        max_attempts=_or(written.max_attempts, base.max_attempts),
        backoff=_or(backoff, base.backoff),
        initial_delay=_or(written.initial_delay, base.initial_delay),
        max_delay=_or(written.max_delay, base.max_delay),
        multiplier=_or(written.multiplier, base.multiplier),
        jitter=_or(written.jitter, base.jitter),
        when=_or(written.when, base.when),
    )
    context.condition(written.when, (*path, "when"), RETRY_WHEN, step, names)
    if policy.max_delay is not None and policy.max_delay < policy.initial_delay:
        message = "`max_delay` is shorter than `initial_delay`"
        at = "max_delay" if written.max_delay is not None else "initial_delay"
        context.findings.add("wrong-value", message, (*path, at), hint="the longest wait cannot be below the first one")
    return policy


def build_breaker(written: doc.CircuitBreakerDoc) -> CircuitBreaker:
    """The circuit breaker as written, with defaults for what is left out."""
    default = CircuitBreaker()
    return CircuitBreaker(
        threshold=_or(written.threshold, default.threshold),
        call_timeout=written.call_timeout,
        open_for=_or(written.open_for, default.open_for),
        window=_or(written.window, default.window),
        half_open_calls=_or(written.half_open_calls, default.half_open_calls),
    )


def build_bulkhead(written: doc.BulkheadDoc) -> Bulkhead:
    """The bulkhead as written."""
    return Bulkhead(
        max_concurrent=written.max_concurrent,
        max_queue_size=written.max_queue_size or 0,
        timeout=written.timeout,
        fallback=written.fallback,
    )


def build_rate_limit(written: doc.RateLimitDoc) -> RateLimit:
    """The rate limit as written."""
    return RateLimit(limit=written.limit, per=written.per)


def build_policy(written: doc.PolicyDoc, path: Path, context: Context) -> Policy | None:
    """One entry of `spec.config.policies`."""
    kinds = written.given("circuit_breaker", "bulkhead", "rate_limit")
    if len(kinds) != 1:
        message = "a policy is exactly one of `circuit_breaker`, `bulkhead`, `rate_limit`"
        context.findings.add("conflicting-keys" if kinds else "missing-key", message, path)
        return None
    if written.circuit_breaker is not None:
        return build_breaker(written.circuit_breaker)
    if written.bulkhead is not None:
        return build_bulkhead(written.bulkhead)
    assert written.rate_limit is not None
    return build_rate_limit(written.rate_limit)


def inline_or_name(written: Any, build: Callable[[Any], T]) -> T | str | None:
    """A policy written in its place, or the name of one."""
    return written if written is None or isinstance(written, str) else build(written)


def build_cache(written: doc.CacheDoc | None, path: Path, context: Context, step: str, names: frozenset[str]) -> Any:
    """`cache`, or None."""
    if written is None:
        return None
    context.template(written.key, (*path, "key"), CONFIG, step, names)
    return Cache(key=written.key, ttl=written.ttl)


_ONLY_FOR = {"max_attempts": "retry", "fallback": "fallback", "compensation_workflow": "compensate"}


def build_action(
    written: Any, path: Path, context: Context, step: str, names: frozenset[str] = frozenset()
) -> FailureAction | None:
    """`on_failure` or `on_timeout` holding a mapping with `action`; None when it holds something else."""
    if not isinstance(written, doc.FailureActionDoc):
        return None
    for key, action in _ONLY_FOR.items():
        if getattr(written, key) is not None and written.action != action:
            message = f"`{key}` has no effect with `action: {written.action}`"
            context.findings.add("no-effect", message, (*path, key), hint=f"it belongs to `action: {action}`", key=True)
    if written.action == "fallback" and written.fallback is None:
        message = "`action: fallback` needs `fallback`: a step to run instead, or a value to use"
        context.findings.add("missing-key", message, path)
    context.template(written.message, (*path, "message"), FAILURE, step, names)
    context.template(written.fallback, (*path, "fallback"), FAILURE, step, names)
    notify = plain(written.notify)
    context.template(notify, (*path, "notify"), FAILURE, step, names)
    return FailureAction(
        action=written.action,
        message=written.message,
        max_attempts=written.max_attempts,
        fallback=written.fallback,
        compensation_workflow=written.compensation_workflow,
        notify=notify,
        path=path,
    )


def plain(written: Any) -> Any:
    """A model as the mapping it was read from; anything else as it is."""
    return written.model_dump(by_alias=True, exclude_none=True) if isinstance(written, Doc) else written


def _or(value: T | None, default: T) -> T:
    return default if value is None else value
