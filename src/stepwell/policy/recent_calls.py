"""Error rate and latency of the calls of late."""

from __future__ import annotations

from collections import deque
from typing import Final

import msgspec

MOST_REMEMBERED: Final = 1_000
"""So many of the last calls are looked at, however many fall into the window: enough for a figure to within a percent,
and memory stays bounded."""


class Figures(msgspec.Struct, frozen=True):
    """What the calls within a window were like. All None but `calls` when there were none.

    Attributes:
        error_rate: the share of failures, 0 to 1.
        latency_mean, latency_p95: microseconds.
    """

    calls: int
    error_rate: float | None = None
    latency_mean: int | None = None
    latency_p95: int | None = None


class RecentCalls:
    """Remembers when calls ended, how long they took, and whether they failed."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: deque[tuple[int, int, bool]] = deque(maxlen=MOST_REMEMBERED)

    def add(self, ended_at: int, latency: int, *, failed: bool) -> None:
        """A call has ended."""
        self._calls.append((ended_at, latency, failed))

    def figures(self, now: int, window: int) -> Figures:
        """Of the calls that ended within the last `window` microseconds."""
        calls = [(latency, failed) for ended_at, latency, failed in self._calls if ended_at > now - window]
        if not calls:
            return Figures(0)
        latencies = sorted(latency for latency, _ in calls)
        return Figures(
            calls=len(calls),
            error_rate=sum(failed for _, failed in calls) / len(calls),
            latency_mean=round(sum(latencies) / len(latencies)),
            latency_p95=latencies[-(-len(latencies) * 95 // 100) - 1],
        )
