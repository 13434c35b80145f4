"""Retry policies: data and arithmetic."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from stepwell.base.derive import derived_bytes
from stepwell.base.durations import LONGEST, SECOND

Backoff = Literal["constant", "linear", "exponential"]

NO_LIMIT = 10**6
"""More attempts than anyone waits for; the cap on `max_attempts`."""


class RetryPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How often and how patiently a failing step is tried again.

    Attributes:
        max_attempts: all tries counted, the first one too; 1 means no retry.
        backoff: `constant` waits d, `linear` d·n, `exponential` d·multiplier^(n-1) after the n-th try.
        initial_delay: d, in microseconds.
        max_delay: the cap on every wait, in microseconds; None for no cap.
        multiplier: the base of the exponential backoff, at least 1.
        jitter: the fraction (0 to 1) by which a wait may be shortened or lengthened.
        when: an expression (a raw template) over `error`, `result` and `attempt`; None retries what is retryable.
    """

    max_attempts: int = 1
    backoff: Backoff = "exponential"
    initial_delay: int = SECOND
    max_delay: int | None = None
    multiplier: float = 2.0
    jitter: float = 0.0
    when: Any = None

    def delay_after(self, attempt: int, seed: bytes, identity: str) -> int:
        """The wait in microseconds between try number `attempt` (from 1) and the next.

        Jitter is drawn from the execution's seed and the attempt's identity, so that a replay computes the same.
        """
        delay = self._plain_delay(attempt)
        if self.jitter and delay:
            draw = int.from_bytes(derived_bytes(seed, "jitter", identity, attempt, size=8)) / 2**64
            delay = round(delay * (1 + self.jitter * (2 * draw - 1)))
            if self.max_delay is not None:
                delay = min(delay, self.max_delay)
        return delay

    def _plain_delay(self, attempt: int) -> int:
        longest = self.max_delay if self.max_delay is not None else LONGEST
        match self.backoff:
            case "constant":
                delay = float(self.initial_delay)
            case "linear":
                delay = float(self.initial_delay) * attempt
            case "exponential":
                delay = self.initial_delay * _power(self.multiplier, attempt - 1) if self.initial_delay else 0.0
        return round(min(delay, float(longest)))

    def longest_total(self) -> int:
        """The most that all waits add up to, jitter included, in microseconds (counting to 1,000 tries)."""
        waits = sum(self._plain_delay(attempt) for attempt in range(1, min(self.max_attempts, 1_000)))
        return round(waits * (1 + self.jitter))


def _power(base: float, exponent: int) -> float:
    try:
        return base**exponent
    except OverflowError:
        return float("inf")
