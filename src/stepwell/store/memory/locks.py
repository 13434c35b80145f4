"""Locks that executions share, in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import takewhile

from msgspec.structs import replace

from stepwell.ports.records import Change, Lock
from stepwell.store.locking import Claim, Notice, lock_changes, make_room, notices, settled, touches_locks


class Locks:
    """The locks of a store. See `ports.Store`."""

    def __init__(self) -> None:
        self._lines: dict[str, dict[Claim, Lock]] = {}  # by name, in the order in which they were asked for
        self._told = set[Claim]()  # to make room

    def apply(self, changes: Sequence[Change]) -> Sequence[Notice]:
        """Take and give back what the changes say; who is to be told what by it, lock by lock."""
        ended, released, taken = lock_changes(change for change in changes if touches_locks(change))
        of_ended = [claim for line in self._lines.values() for claim in line if claim.execution in ended]
        for claim in (*released, *of_ended):
            self._drop(claim)
        new = {claim: request for claim, request in taken.items() if claim not in self._lines.get(claim.name, {})}
        for claim, request in new.items():
            self._lines.setdefault(claim.name, {})[claim] = Lock(
                name=claim.name,
                execution=claim.execution,
                step=claim.holder,
                limit=request.limit,
                since=request.at,
                held=False,
            )
        names = sorted({claim.name for claim in (*released, *of_ended, *taken)})
        refusing = [claim for claim, request in new.items() if request.otherwise == "refuse"]
        replacing = [claim for claim, request in new.items() if request.otherwise == "replace"]
        told = [notice for name in names for notice in self._settle(name, refusing, replacing)]
        self._lines = {name: line for name, line in self._lines.items() if line}
        return told

    def listed(self, name: str | None) -> Sequence[Lock]:
        """See `ports.Store.locks`."""
        names = sorted(self._lines) if name is None else [name]
        return [lock for each in names for lock in self._lines.get(each, {}).values()]

    def _drop(self, claim: Claim) -> None:
        self._lines.get(claim.name, {}).pop(claim, None)
        self._told.discard(claim)

    def _settle(self, name: str, refusing: Sequence[Claim], replacing: Sequence[Claim]) -> Sequence[Notice]:
        line = self._lines.get(name, {})
        held = sum(lock.held for lock in line.values())
        waiting = [(lock.limit, claim) for claim, lock in line.items() if not lock.held]
        outcome = settled(held, waiting, [claim for claim in refusing if claim.name == name])
        for claim in outcome.granted:
            line[claim] = replace(line[claim], held=True)
        for claim in outcome.refused:
            self._drop(claim)
        told = notices(outcome, lambda claim: line[claim].since)
        for claim in replacing:
            if claim.name == name and not line[claim].held:
                told += self._make_room(line, claim)
        return told

    def _make_room(self, line: Collection[Claim], replacing: Claim) -> Sequence[Notice]:
        before = [claim for claim in takewhile(lambda claim: claim != replacing, line) if claim not in self._told]
        before = [claim for claim in before if claim.execution != replacing.execution]
        self._told.update(before)
        return make_room((claim.execution for claim in before), replacing)
