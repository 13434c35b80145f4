"""The contract of who is told what an engine measures of itself."""

from __future__ import annotations

from typing import Protocol


class Measures(Protocol):
    """Told on the event loop. Must be quick and must not raise; durations in microseconds.

    Whoever leaves a method out is not told of that.
    """

    def commit_ended(self, changes: int, took: int) -> None:
        """A commit with so many changes is durable, so long after it was handed to the store."""
        return

    def timer_fired(self, late: int) -> None:
        """A timer was fired, so long after it was due."""
        return

    def event_received(self, event_type: str, *, duplicate: bool) -> None:
        """An event from outside was stored; or, as a `duplicate`, had been before."""
        return

    def lease_lost(self) -> None:
        """Another engine took over a shard that this one owned."""
        return


class Unmeasured(Measures):
    """Nobody is told anything."""
