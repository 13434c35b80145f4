"""Locks that executions share: what a batch does to them, and who is next. Pure: every store uses it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

from stepwell.ports import Change, LockRequest

_Waiting = TypeVar("_Waiting")


class Claim(NamedTuple):
    """Who wants which lock. A claim is made once, however often it is asked for."""

    name: str
    execution: str
    holder: str


class LockChanges(NamedTuple):
    """What a batch does to locks: everything of the executions `ended` and what is `released` goes, then `taken` is
    added, in order."""

    ended: dict[str, None]
    released: dict[Claim, None]
    taken: dict[Claim, LockRequest]


def touches_locks(change: Change) -> bool:
    """Whether the change says anything about locks."""
    return bool(change.locks_taken or change.locks_released or change.locks_released_all)


def lock_changes(changes: Iterable[Change]) -> LockChanges:
    """What all changes of a batch together do to locks."""
    ended, released, taken = outcome = LockChanges({}, {}, {})
    for change in changes:
        execution = change.handle.id
        for name, holder in change.locks_released:
            claim = Claim(name, execution, holder)
            taken.pop(claim, None)
            released[claim] = None
        for request in change.locks_taken:
            taken.setdefault(Claim(request.name, execution, request.holder), request)
        if change.locks_released_all:
            ended[execution] = None
            for claim in [claim for claim in taken if claim.execution == execution]:
                del taken[claim]
    return outcome


def granted(held: int, waiting: Iterable[tuple[int, _Waiting]]) -> Iterator[_Waiting]:
    """Who of those in line gets the lock now: nobody overtakes another, whatever their limits.

    Args:
        held: how many hold it.
        waiting: those in line, in order, each with the limit that it allows. No more of it is read than is needed.
    """
    for limit, claim in waiting:
        if held >= limit:
            return
        held += 1
        yield claim
