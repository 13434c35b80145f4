"""Locks that executions share, in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from stepwell.ports import Change, Lock
from stepwell.store.locking import Claim, granted, lock_changes, touches_locks


class Locks:
    """The locks of a store. See `ports.Store`."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Claim, Lock]] = {}  # by name, in the order in which they were asked for

    def apply(self, changes: Sequence[Change]) -> Sequence[Claim]:
        """Take and give back what the changes say; who gets a lock by it, lock by lock."""
        ended, released, taken = lock_changes(change for change in changes if touches_locks(change))
        of_ended = [claim for line in self._lines.values() for claim in line if claim.execution in ended]
        for claim in (*released, *of_ended):
            self._lines.get(claim.name, {}).pop(claim, None)
        for claim, request in taken.items():
            lock = Lock(
                name=claim.name,
                execution=claim.execution,
                step=claim.holder,
                limit=request.limit,
                since=request.at,
                held=False,
            )
            self._lines.setdefault(claim.name, {}).setdefault(claim, lock)
        names = sorted({claim.name for claim in (*released, *of_ended, *taken)})
        found = [claim for name in names for claim in self._grant(name)]
        self._lines = {name: line for name, line in self._lines.items() if line}
        return found

    def listed(self, name: str | None) -> Sequence[Lock]:
        """See `ports.Store.locks`."""
        names = sorted(self._lines) if name is None else [name]
        return [lock for each in names for lock in self._lines.get(each, {}).values()]

    def _grant(self, name: str) -> Iterator[Claim]:
        line = self._lines.get(name, {})
        held = sum(lock.held for lock in line.values())
        waiting = [(lock.limit, claim) for claim, lock in line.items() if not lock.held]
        for claim in granted(held, waiting):
            line[claim] = replace(line[claim], held=True)
            yield claim
