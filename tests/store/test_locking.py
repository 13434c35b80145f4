"""Whatever is taken and given back: nobody waits for a free lock, none has too many holders, and nobody overtakes."""

from __future__ import annotations

from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepwell.ports import Change, Handle, LockRequest
from stepwell.store.locking import Claim, granted
from stepwell.store.memory_locks import Locks

LIMITS = {"till": 1, "door": 2}
HANDLES = [Handle(name, 0) for name in "abcdef"]

Deed: TypeAlias = tuple[str, int, str, str]
deeds = st.tuples(
    st.sampled_from(("take", "take", "release", "end")),
    st.integers(0, len(HANDLES) - 1),
    st.sampled_from(sorted(LIMITS)),
    st.sampled_from(("", "pay")),
)


def change_of(deed: Deed) -> Change:
    what, who, name, step = deed
    change = Change(handle=HANDLES[who], seq=1, events=b"")
    if what == "take":
        change.locks_taken = [LockRequest(name, LIMITS[name], step, 0)]
    elif what == "release":
        change.locks_released = [(name, step)]
    else:
        change.locks_released_all = True
    return change


class Lines:
    """What must be: for each lock who asked, in order; and who asked anew since `new` was last emptied."""

    def __init__(self) -> None:
        self.claims: dict[str, list[Claim]] = {name: [] for name in LIMITS}
        self.new = set[Claim]()

    def apply(self, deed: Deed) -> None:
        what, who, name, step = deed
        claim = Claim(name, HANDLES[who].id, step)
        line = self.claims[name]
        if what == "take" and claim not in line:
            line.append(claim)
            self.new.add(claim)
        elif what == "release" and claim in line:
            line.remove(claim)
        elif what == "end":
            for name, line in self.claims.items():
                self.claims[name] = [other for other in line if other.execution != claim.execution]

    def holders(self) -> set[Claim]:
        """With one limit for all, the first in line."""
        return {claim for name, limit in LIMITS.items() for claim in self.claims[name][:limit]}


@given(st.lists(st.lists(deeds, max_size=4), max_size=12))
def test_the_first_in_line_have_the_lock_and_are_told_once(batches: list[list[Deed]]) -> None:
    locks, lines = Locks(), Lines()
    for batch in batches:
        before = lines.holders()
        lines.new.clear()
        for deed in batch:
            lines.apply(deed)
        told = locks.apply([change_of(deed) for deed in batch])
        listed = {name: locks.listed(name) for name in LIMITS}
        claims = {
            name: [Claim(lock.name, lock.execution, lock.step) for lock in found] for name, found in listed.items()
        }
        assert claims == lines.claims
        assert [lock.held for found in listed.values() for lock in found] == [
            claim in lines.holders() for line in lines.claims.values() for claim in line
        ]
        assert len(told) == len(set(told))
        assert set(told) == {claim for claim in lines.holders() if claim not in before or claim in lines.new}


def test_a_lock_that_nobody_may_hold_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="never be granted"):
        LockRequest("till", 0, "", 0)


def test_of_a_long_line_no_more_is_read_than_is_granted() -> None:
    read = []

    def line() -> object:
        for number in range(1_000):
            read.append(number)
            yield 3, number

    assert list(granted(1, line())) == [0, 1]  # type: ignore[arg-type]
    assert read == [0, 1, 2]
