"""Limits on how a step's calls are made, as data: circuit breaker, bulkhead, rate limit.

What they mean is in `circuit_breaker`, `bulkhead` and `rate_limit`. Durations are integers of microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec

from stepwell.base.durations import MINUTE


class CircuitBreaker(msgspec.Struct, frozen=True, kw_only=True):
    """Fail fast after `threshold` failures within `window`; try again after `open_for`.

    Attributes:
        threshold: so many failures open it, at least 1.
        call_timeout: the longest that one call may take; None leaves that to the step's own timeout.
        open_for: how long calls fail without being made.
        window: how long a failure counts.
        half_open_calls: so many calls are tried at once when `open_for` has passed, at least 1.
    """

    threshold: int = 5
    call_timeout: int | None = None
    open_for: int = 5 * MINUTE
    window: int = MINUTE
    half_open_calls: int = 1


class Bulkhead(msgspec.Struct, frozen=True, kw_only=True):
    """At most `max_concurrent` running and `max_queue_size` waiting, for at most `timeout`.

    Attributes:
        timeout: None lets a call wait as long as it takes.
        fallback: what takes the place of a call that was rejected or waited too long, as the definition has it; no
            limit looks at it. None for nothing.
    """

    max_concurrent: int
    max_queue_size: int = 0
    timeout: int | None = None
    fallback: Any = None


class RateLimit(msgspec.Struct, frozen=True, kw_only=True):
    """At most `limit` starts within any `per`; more are delayed, none is dropped.

    Attributes:
        key: what is counted together, as the definition has it, expressions in it: starts count per value of it. None
            counts all of them.
    """

    limit: int
    per: int
    key: str | None = None


Policy: TypeAlias = CircuitBreaker | Bulkhead | RateLimit


PolicyKind: TypeAlias = Literal["circuit_breaker", "bulkhead", "rate_limit"]

KINDS: Final[Mapping[PolicyKind, type[Policy]]] = {
    "circuit_breaker": CircuitBreaker,
    "bulkhead": Bulkhead,
    "rate_limit": RateLimit,
}
"""The policies by their kind."""
