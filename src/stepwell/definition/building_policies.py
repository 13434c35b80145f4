"""From what a document says about breakers, failures, locks and the like to the canonical model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from stepwell.definition import document as doc
from stepwell.definition.building_bodies import Around, build_fallback
from stepwell.definition.building_retry import or_else
from stepwell.definition.context import Context
from stepwell.definition.model import (
    Bulkhead,
    Cache,
    CircuitBreaker,
    FailureAction,
    Milestone,
    Mutex,
    Path,
    RateLimit,
)
from stepwell.definition.places import CONFIG, FAILURE, RATE_KEY
from stepwell.definition.shapes import Doc, amount, as_names

T = TypeVar("T")
Policy = CircuitBreaker | Bulkhead | RateLimit


def build_breaker(written: doc.CircuitBreakerDoc) -> CircuitBreaker:
    """The circuit breaker as written, with defaults for what is left out."""
    default = CircuitBreaker()
    return CircuitBreaker(
        threshold=or_else(written.threshold, default.threshold),
        call_timeout=written.call_timeout,
        open_for=or_else(written.open_for, default.open_for),
        window=or_else(written.window, default.window),
        half_open_calls=or_else(written.half_open_calls, default.half_open_calls),
    )


def build_bulkhead(
    written: doc.BulkheadDoc, path: Path, step: str | None, context: Context, around: Around
) -> Bulkhead:
    """The bulkhead as written."""
    return Bulkhead(
        max_concurrent=written.max_concurrent,
        max_queue_size=written.max_queue_size or 0,
        timeout=written.timeout,
        fallback=build_fallback(written.fallback, (*path, "fallback"), step, context, around),
    )


def inline_bulkhead(
    written: doc.BulkheadDoc | str | None, path: Path, step: str, context: Context, around: Around
) -> Bulkhead | str | None:
    """A bulkhead written in its place, or the name of one."""
    if written is None or isinstance(written, str):
        return written
    return build_bulkhead(written, path, step, context, around)


def build_rate_limit(
    written: doc.RateLimitDoc, path: Path, step: str | None, context: Context, names: frozenset[str]
) -> RateLimit:
    """The rate limit as written."""
    context.template(written.key, (*path, "key"), RATE_KEY, step, names)
    return RateLimit(limit=written.limit, per=written.per, key=written.key)


def inline_rate_limit(
    written: doc.RateLimitDoc | str | None, path: Path, step: str, context: Context, names: frozenset[str]
) -> RateLimit | str | None:
    """A rate limit written in its place, or the name of one."""
    if written is None or isinstance(written, str):
        return written
    return build_rate_limit(written, path, step, context, names)


def build_policy(written: doc.PolicyDoc, path: Path, context: Context, around: Around) -> Policy | None:
    """One entry of `spec.config.policies`. It is shared, so no step stands beside it."""
    kinds = written.given("circuit_breaker", "bulkhead", "rate_limit")
    if len(kinds) != 1:
        message = "a policy is exactly one of `circuit_breaker`, `bulkhead`, `rate_limit`"
        context.findings.add("conflicting-keys" if kinds else "missing-key", message, path)
        return None
    if written.circuit_breaker is not None:
        return build_breaker(written.circuit_breaker)
    if written.bulkhead is not None:
        return build_bulkhead(written.bulkhead, (*path, "bulkhead"), None, context, around)
    assert written.rate_limit is not None
    return build_rate_limit(written.rate_limit, (*path, "rate_limit"), None, context, around.names)


def inline_or_name(written: Any, build: Callable[[Any], T]) -> T | str | None:
    """A policy written in its place, or the name of one."""
    return written if written is None or isinstance(written, str) else build(written)


def build_cache(
    written: doc.CacheDoc | None, path: Path, step: str, context: Context, names: frozenset[str]
) -> Cache | None:
    """`cache`, or None."""
    if written is None:
        return None
    context.template(written.key, (*path, "key"), CONFIG, step, names)
    return Cache(key=written.key, ttl=written.ttl)


def build_resources(written: doc.ResourcesDoc | None, path: Path, context: Context) -> dict[str, Any] | None:
    """`resources`, as it is written."""
    if written is None:
        return None
    for key in written.given("cpu", "memory"):
        asked: doc.CpuDoc | doc.MemoryDoc = getattr(written, key)
        if asked.request is not None and asked.limit is not None and amount(asked.request) > amount(asked.limit):
            message = f"the step asks for {asked.request} and may use {asked.limit}"
            hint = "`request` is at most `limit`"
            context.findings.add("wrong-value", message, (*path, key, "request"), hint=hint)
    resources: dict[str, Any] = plain(written)
    return resources


def build_mutex(written: Any, path: Path, step: str, context: Context, names: frozenset[str]) -> Mutex | None:
    """`mutex`: a mapping, or just the key; None when there is none."""
    if written is None:
        return None
    key, timeout = (written, None) if isinstance(written, str) else (written.key, written.timeout)
    context.template(key, path if isinstance(written, str) else (*path, "key"), CONFIG, step, names)
    return Mutex(key=key, timeout=timeout, path=path)


def build_milestone(written: doc.MilestoneDoc | None, path: Path, context: Context) -> Milestone | None:
    """`milestone`, or None."""
    if written is None:
        return None
    milestone = Milestone(after=as_names(written.after), before=as_names(written.before), path=path)
    if not milestone.after and not milestone.before:
        message = "a milestone needs `after` or `before`, with the name of a step"
        context.findings.add("missing-key", message, path)
    return milestone


_ONLY_FOR = {"max_attempts": "retry", "fallback": "fallback", "compensation_workflow": "compensate"}


def build_action(written: Any, path: Path, step: str, context: Context, around: Around) -> FailureAction | None:
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
    context.template(written.message, (*path, "message"), FAILURE, step, around.names)
    fallback = build_fallback(written.fallback, (*path, "fallback"), step, context, around)
    notify = plain(written.notify)
    context.template(notify, (*path, "notify"), FAILURE, step, around.names)
    return FailureAction(
        action=written.action,
        message=written.message,
        max_attempts=written.max_attempts,
        fallback=fallback if written.action == "fallback" else None,
        compensation_workflow=written.compensation_workflow,
        notify=notify,
        path=path,
    )


def plain(written: Any) -> Any:
    """A model as the mapping it was read from; anything else as it is."""
    return written.model_dump(by_alias=True, exclude_none=True) if isinstance(written, Doc) else written
