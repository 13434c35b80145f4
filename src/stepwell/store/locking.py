"""Locks that executions share: what a batch does to them, and who is next. Pure: every store uses it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final, NamedTuple

import msgspec

from stepwell.ports.records import Change, LockGrant, LockRequest

_encode = msgspec.msgpack.Encoder().encode
WHO: Final = "stepwell"
"""Who tells executions to make room."""


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


class Settled(NamedTuple):
    """Who gets the lock now, and who is refused it, each in order."""

    granted: list[Claim]
    refused: list[Claim]


class Notice(NamedTuple):
    """What an execution is to be told through its inbox; see `ports.InboxItem`."""

    execution: str
    kind: str
    step: str | None
    payload: bytes


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


def settled(held: int, waiting: Iterable[tuple[int, Claim]], refusing: Collection[Claim]) -> Settled:
    """Who of those in line gets the lock now: nobody overtakes another, whatever their limits.

    Args:
        held: how many hold it.
        waiting: those in line, in order, each with the limit that it allows. No more of it is read than is needed.
        refusing: those among them who do not wait: they get it now or are refused, and keep nobody waiting.
    """
    outcome = Settled([], [])
    is_blocked, left = False, len(refusing)
    for limit, claim in waiting:
        does_not_wait = claim in refusing
        left -= does_not_wait
        if not is_blocked and held < limit:
            held += 1
            outcome.granted.append(claim)
        elif does_not_wait:
            outcome.refused.append(claim)
        else:
            is_blocked = True
        if is_blocked and not left:
            break
    return outcome


def notices(outcome: Settled, since: Callable[[Claim], int]) -> list[Notice]:
    """What those are told who get the lock, and then those who do not.

    Args:
        since: when a claim was made: the `at` of its `LockRequest`.
    """
    granted = (
        Notice(claim.execution, "lock_granted", claim.holder, _encode(LockGrant(claim.name, since(claim))))
        for claim in outcome.granted
    )
    refused = (Notice(claim.execution, "lock_refused", claim.holder, claim.name.encode()) for claim in outcome.refused)
    return [*granted, *refused]


def make_room(before: Iterable[str], replacing: Claim) -> list[Notice]:
    """What the executions that stand before one that replaces them are told, each once."""
    told = msgspec.msgpack.encode(["cancel", WHO, f"replaced by {replacing.execution}"])
    return [Notice(execution, "tell", None, told) for execution in dict.fromkeys(before)]
