"""Policies as a native document writes them; what is the default everywhere is left out where that is the same."""

from __future__ import annotations

from typing import Any

from stepwell.definition.model import Fallback, Milestone, Mutex, StepBody
from stepwell.dialects.native.parts import duration, given
from stepwell.policy.limits import Bulkhead, CircuitBreaker, RateLimit
from stepwell.policy.retry import RetryPolicy


def retry(policy: RetryPolicy | None) -> dict[str, Any] | None:
    """A retry policy, whole: what it left out would be taken from the workflow's own."""
    if policy is None:
        return None
    return {
        "max_attempts": policy.max_attempts,
        "backoff": policy.backoff,
        "initial_delay": duration(policy.initial_delay),
        "multiplier": policy.multiplier,
        **given(
            max_delay=duration(policy.max_delay),
            jitter=policy.jitter or None,
            when=policy.when,
            retry_on=list(policy.retry_on),
            give_up_on=list(policy.give_up_on),
            delay=policy.delay,
        ),
    }


def breaker(policy: CircuitBreaker) -> dict[str, Any]:
    """A circuit breaker."""
    return given(
        threshold=policy.threshold,
        call_timeout=duration(policy.call_timeout),
        open_for=duration(policy.open_for),
        window=duration(policy.window),
        half_open_calls=policy.half_open_calls,
    )


def bulkhead(policy: Bulkhead) -> dict[str, Any]:
    """A bulkhead."""
    return {
        "max_concurrent": policy.max_concurrent,
        "max_queue_size": policy.max_queue_size,
        **given(timeout=duration(policy.timeout)),
        **({"fallback": fallback(policy.fallback)} if policy.fallback is not None else {}),
    }


def rate_limit(policy: RateLimit) -> dict[str, Any]:
    """A rate limit."""
    return given(limit=policy.limit, per=duration(policy.per), key=policy.key)


def fallback(written: Fallback) -> Any:
    """What takes the place of a step: a step's name, a body or a value."""
    if written.step is not None:
        return written.step
    return body(written.body) if written.body is not None else written.value


def body(written: StepBody) -> dict[str, Any]:
    """A type and its settings."""
    return {
        "type": written.type,
        **given(
            config=dict(written.config),
            retry=retry(written.retry),
            timeout=duration(written.timeout),
            when=written.when,
        ),
    }


def mutex(lock: Mutex | None) -> dict[str, Any] | None:
    """A lock."""
    return given(key=lock.key, timeout=duration(lock.timeout)) if lock is not None else None


def milestone(between: Milestone | None) -> dict[str, Any] | None:
    """Between which steps a step may start."""
    return given(after=list(between.after), before=list(between.before)) if between is not None else None
