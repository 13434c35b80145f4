"""What a store counts for those who watch it, without anybody reading its executions one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Standing(msgspec.Struct, frozen=True):
    """How many executions of a version of a workflow have this status, and have not ended."""

    workflow: str
    version: str
    status: str
    count: int


class Census(msgspec.Struct, frozen=True, kw_only=True):
    """What there is at this moment: executions that have not ended, waits for events, dead letters that were not
    discarded, and inbox items that nobody has consumed."""

    unfinished: Sequence[Standing]
    waits: int
    dead_letters: int
    inbox: int


class EndedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Executions that ended from the instant `since` on and before `until`. None means any.

    Attributes:
        namespaces: of their workflows.
        statuses: how they ended; all when empty.
    """

    since: int
    until: int
    workflow: str | None = None
    namespaces: tuple[str, ...] | None = None
    statuses: tuple[str, ...] = ()


class Ended(msgspec.Struct, frozen=True):
    """How many executions of a version of a workflow ended so, and how long all together took, in microseconds, from
    their start to their end. Those that never started took no time."""

    workflow: str
    version: str
    status: str
    count: int
    took: int


class Tallies(Protocol):
    """The part of a store that counts. Every answer takes time in proportion to what it counts, and none on the event
    loop."""

    async def census(self) -> Census:
        """What there is."""
        ...

    async def ended(self, query: EndedQuery) -> Sequence[Ended]:
        """What ended, by workflow, version and status, in this order."""
        ...

    async def durations(self, query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
        """For each of `parts` (above 0, at most 1) the least duration that so large a part of those that ended did not
        exceed, in microseconds; None when nothing ended."""
        ...
