"""Whatever is taken and given back: nobody waits for a free lock, none has too many holders, and nobody overtakes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.execution.commands import Otherwise
from stepwell.ports.records import Change, Handle, LockGrant, LockRequest
from stepwell.store.locking import Claim, Notice, settled
from stepwell.store.memory.locks import Locks

LIMITS = {"till": 1, "door": 2}
HANDLES = [Handle(name, 0) for name in "abcdef"]

Deed: TypeAlias = tuple[str, int, str, str, Otherwise]
deeds = st.tuples(
    st.sampled_from(("take", "take", "release", "end")),
    st.integers(0, len(HANDLES) - 1),
    st.sampled_from(sorted(LIMITS)),
    st.sampled_from(("", "pay")),
    st.sampled_from(get_args(Otherwise)),
)


def change_of(deed: Deed) -> Change:
    what, who, name, step, otherwise = deed
    change = Change(handle=HANDLES[who], seq=1, events=b"")
    if what == "take":
        change.locks_taken = [LockRequest(name, LIMITS[name], step, 0, otherwise)]
    elif what == "release":
        change.locks_released = [(name, step)]
    else:
        change.locks_released_all = True
    return change


def _name_in(notice: Notice) -> str:
    """The lock that somebody is told about."""
    if notice.kind == "lock_refused":
        return notice.payload.decode()
    return msgspec.msgpack.decode(notice.payload, type=LockGrant).name


class Lines:
    """What must be: for each lock who asked, in order; who asked anew since `new` was last emptied, and how."""

    def __init__(self) -> None:
        self.claims: dict[str, list[Claim]] = {name: [] for name in LIMITS}
        self.new: dict[Claim, Otherwise] = {}
        self.refused: list[Claim] = []
        self.told: dict[str, set[Claim]] = {name: set() for name in LIMITS}
        """To make room, of those who are there."""

    def apply(self, batch: list[Deed]) -> None:
        self.new.clear()
        for what, who, name, step, otherwise in batch:
            claim = Claim(name, HANDLES[who].id, step)
            line = self.claims[name]
            if what == "take" and claim not in line:
                line.append(claim)
                self.new[claim] = otherwise
            elif what == "release":
                self._drop({claim})
            elif what == "end":
                self._drop({other for each in self.claims.values() for other in each if other.execution == claim[1]})
        self.refused = [claim for claim in self.new if self.new[claim] == "refuse" and claim not in self._first(claim)]
        self._drop(set(self.refused))

    def _drop(self, gone: set[Claim]) -> None:
        for name, line in self.claims.items():
            self.claims[name] = [claim for claim in line if claim not in gone]
            self.told[name] -= gone
        self.new = {claim: otherwise for claim, otherwise in self.new.items() if claim not in gone}

    def _first(self, claim: Claim) -> list[Claim]:
        """With one limit for all, the first in line have the lock."""
        return self.claims[claim.name][: LIMITS[claim.name]]

    def holders(self) -> set[Claim]:
        return {claim for name, limit in LIMITS.items() for claim in self.claims[name][:limit]}

    def make_room(self) -> set[tuple[str, str]]:
        """Who is told to make room, and for whom."""
        found = set()
        for claim, otherwise in self.new.items():
            line, told = self.claims[claim.name], self.told[claim.name]
            if otherwise == "replace" and claim not in self._first(claim):
                before = {other for other in line[: line.index(claim)] if other.execution != claim.execution} - told
                told |= before
                found |= {(other.execution, claim.execution) for other in before}
        return found


@given(st.lists(st.lists(deeds, max_size=4), max_size=12))
def test_the_first_in_line_have_the_lock_and_everybody_is_told_once(batches: list[list[Deed]]) -> None:
    locks, lines = Locks(), Lines()
    for batch in batches:
        before = lines.holders()
        lines.apply(batch)
        told = locks.apply([change_of(deed) for deed in batch])
        listed = {name: locks.listed(name) for name in LIMITS}
        claims = {
            name: [Claim(lock.name, lock.execution, lock.step) for lock in found] for name, found in listed.items()
        }
        assert claims == lines.claims
        assert [lock.held for found in listed.values() for lock in found] == [
            claim in lines.holders() for line in lines.claims.values() for claim in line
        ]
        granted = {claim for claim in lines.holders() if claim not in before or claim in lines.new}
        expected = [("lock_granted", *claim[1:], claim.name) for claim in granted]
        expected += [("lock_refused", *claim[1:], claim.name) for claim in lines.refused]
        said = [
            (notice.kind, notice.execution, notice.step, _name_in(notice)) for notice in told if notice.step is not None
        ]
        assert sorted(said) == sorted(expected)
        rooms = [(notice.execution, replaced_by(notice)) for notice in told if notice.step is None]
        assert set(rooms) == lines.make_room()


def replaced_by(notice: Notice) -> str:
    verb, who, why = msgspec.msgpack.decode(notice.payload)
    assert (notice.kind, verb, who) == ("tell", "cancel", "stepwell")
    return str(why).removeprefix("replaced by ")


def test_a_lock_that_nobody_may_hold_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="never be granted"):
        LockRequest("till", 0, "", 0)


def claims(*names: str) -> list[Claim]:
    return [Claim("till", name, "") for name in names]


def test_of_a_long_line_no_more_is_read_than_is_granted() -> None:
    read = []

    def line() -> Iterator[tuple[int, Claim]]:
        for number in range(1_000):
            read.append(number)
            yield 3, Claim("till", str(number), "")

    assert settled(1, line(), []) == (claims("0", "1"), [])
    assert read == [0, 1, 2]
    read.clear()
    assert settled(3, line(), claims("5")) == ([], claims("5"))
    assert read == list(range(6)), "who does not wait is told at once"


def test_who_is_refused_keeps_nobody_behind_it_waiting() -> None:
    a, b, c = claims(*"abc")
    assert settled(1, [(1, a), (2, b), (2, c)], [a]) == ([b], [a])
    assert settled(1, [(1, a), (2, b), (2, c)], [b]) == ([], [b]), "a stands in line before it"
