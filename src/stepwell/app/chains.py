"""Verifying that nobody changed the chained entries of the journal, such as those of the audit log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from stepwell.base.chain import ORIGIN, link
from stepwell.ports.ledger import Chain, JournalQuery, JournalRow, Ledger

PAGE: Final = 1_000


async def broken_chains(ledger: Ledger) -> AsyncIterator[str]:
    """What is wrong with the chains of the journal, one sentence for each chain that is broken. Entries that are added
    meanwhile do no harm.

    An entry that was changed, dropped, added or put elsewhere is found, at the end of a chain too. Only whoever writes
    the whole chain anew from there, and where it ends, is not: against that, keep a hash of the chain elsewhere.
    """
    for chain in await ledger.chains():
        problem = await _break_in(ledger, chain)
        if problem is not None:
            yield f"journal of {chain.kind!r}: {problem}"


async def _break_in(ledger: Ledger, chain: Chain) -> str | None:
    walk, after = _Walk(chain), 0
    while rows := await ledger.journal(JournalQuery(kind=chain.kind, after=after, limit=PAGE)):
        for row in rows:
            if row.hash is not None and not walk.follows(row):
                return (
                    f"entry {row.number} does not follow from {walk.place}: "
                    "it was changed or added, or one before it was dropped"
                )
        after = rows[-1].number
    expected = f"it should end with entry {chain.number}, the {chain.length}. of it"
    if not walk.came_by_end:
        return f"{expected}, and ends with {walk.place}, the {walk.length}.: the last ones were dropped or changed"
    newest = [each.number for each in await ledger.chains() if each.kind == chain.kind]
    if walk.last > max(newest, default=0):
        return f"{expected}, and ends with {walk.place}: the last ones were added"
    return None


class _Walk:
    """From entry to entry of a chain.

    Attributes:
        length: how many there were.
        last: the number of the last of them.
        came_by_end: whether there was one at which the chain ended when it was looked up.
    """

    def __init__(self, chain: Chain) -> None:
        self.length = self.last = 0
        self.came_by_end = False
        self._chain = chain
        self._hash = ORIGIN

    @property
    def place(self) -> str:
        """Where it stands, in words."""
        return f"entry {self.last}" if self.last else "the beginning"

    def follows(self, row: JournalRow) -> bool:
        """Whether the entry follows from those before it; then the next one is to follow from it."""
        after = link(self._hash, row.kind, row.subject, row.at, row.body)
        if row.hash != after:
            return False
        self._hash, self.length, self.last = after, self.length + 1, row.number
        if row.number == self._chain.number:
            self.came_by_end = (self.length, after) == (self._chain.length, self._chain.hash)
        return True
