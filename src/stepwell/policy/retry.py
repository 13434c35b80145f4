"""Retry policies: data and arithmetic."""

from __future__ import annotations

from typing import Any, Literal, assert_never

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
        retry_on: the types of error that are tried again, whatever the task says of them; empty leaves it open.
        give_up_on: the types of error that are not; they win over `retry_on`.
        delay: an expression (a raw template) that yields the seconds of every wait, in place of all the above says of
            them; None when that says it.
    """

    max_attempts: int = 1
    backoff: Backoff = "exponential"
    initial_delay: int = SECOND
    max_delay: int | None = None
    multiplier: float = 2.0
    jitter: float = 0.0
    when: Any = None
    retry_on: tuple[str, ...] = ()
    give_up_on: tuple[str, ...] = ()
    delay: Any = None

    def tries_again_after(self, error_type: str, *, retryable: bool) -> bool:
        """Whether an error of this type is worth another try, attempts left or not.

        A policy with a condition (`when`) asks that too, and instead of `retryable`: its caller passes True for it, and
        evaluates the condition after a yes.

        Args:
            retryable: the task's own word; it counts where the policy says nothing about the type.
        """
        if error_type in self.give_up_on:
            return False
        return error_type in self.retry_on if self.retry_on else retryable

    def delay_after(self, attempt: int, seed: bytes, identity: str) -> int:
        """The wait in microseconds between try number `attempt` (from 1) and the next.

        Jitter is drawn from the execution's seed and the attempt's identity, so that a replay computes the same.
        """
        delay = self._plain_delay(attempt)
        if self.jitter and delay:
            draw = int.from_bytes(derived_bytes(seed, "jitter", identity, attempt, size=8)) / 2**64
            delay *= 1 + self.jitter * (2 * draw - 1)
        return round(min(delay, self._longest()))

    def longest_total(self) -> int:
        """The most that all waits add up to, jitter included, in microseconds (counting to 1,000 tries)."""
        delays = (self._plain_delay(attempt) for attempt in range(1, min(self.max_attempts, 1_000)))
        return sum(round(min(delay * (1 + self.jitter), self._longest())) for delay in delays)

    def _plain_delay(self, attempt: int) -> float:
        """The wait without jitter. (Whole microseconds are exact in floating point up to 285 years.)"""
        first = float(self.initial_delay)
        match self.backoff:
            case "constant":
                delay = first
            case "linear":
                delay = first * attempt
            case "exponential":
                delay = first * _power(self.multiplier, attempt - 1) if first else 0.0
            case _:
                assert_never(self.backoff)
        return min(delay, self._longest())

    def _longest(self) -> float:
        return float(self.max_delay if self.max_delay is not None else LONGEST)


def _power(base: float, exponent: int) -> float:
    try:
        return float(base) ** exponent  # never with integers: theirs would grow to millions of digits
    except OverflowError:
        return float("inf")
