"""Whoever changes what was noted for ever is found out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from stepwell.app.chains import PAGE, broken_chains
from stepwell.base.chain import link
from stepwell.ports.ledger import Chain, JournalQuery, JournalRow, Ledger
from stepwell.store.memory.store import MemoryStore
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.ledger import entry
from tests.conformance.store import NOW


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return tmp_path / "stepwell.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    """With a chain of the numbers 1 to 6, among which something else was noted under 3."""
    store = SqliteStore(path)
    await store.open()
    await store.write([], NOW, entries=[entry(str(number), chained=number != 3) for number in range(1, 7)])
    await store.write([], NOW, entries=[entry("x", kind="other", chained=True)])
    yield store
    await store.close()


async def problems(store: Ledger) -> list[str]:
    return [problem async for problem in broken_chains(store)]


def tamper(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


async def test_whole_chains_are_whole(store: SqliteStore) -> None:
    assert await problems(store) == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE journal SET body = '!' WHERE number = 1", "entry 1 does not follow from the beginning"),
        ("UPDATE journal SET body = '!' WHERE number = 4", "entry 4 does not follow from entry 2"),
        ("UPDATE journal SET body = '!' WHERE number = 6", "entry 6 does not follow from entry 5"),
        ("UPDATE journal SET at = at - 1 WHERE number = 4", "entry 4 does not follow from entry 2"),
        ("UPDATE journal SET subject = 'K' WHERE number = 4", "entry 4 does not follow from entry 2"),
        ("UPDATE journal SET hash = zeroblob(32) WHERE number = 4", "entry 4 does not follow from entry 2"),
        ("UPDATE journal SET hash = NULL WHERE number = 4", "entry 5 does not follow from entry 2"),
        ("UPDATE journal SET kind = 'other' WHERE number = 4", "entry 5 does not follow from entry 2"),
        ("DELETE FROM journal WHERE number = 1", "entry 2 does not follow from the beginning"),
        ("DELETE FROM journal WHERE number = 4", "entry 5 does not follow from entry 2"),
        (
            "DELETE FROM journal WHERE number = 6",
            "should end with entry 6, the 5. of it, and ends with entry 5, the 4.",
        ),
        ("DELETE FROM journal WHERE kind = 'audit'", "and ends with the beginning, the 0."),
        ("UPDATE journal SET hash = NULL WHERE number = 6", "should end with entry 6"),
        ("UPDATE journal SET number = 99 WHERE number = 6", "should end with entry 6"),
        ("UPDATE journal SET number = number + 50 WHERE number = 2", "entry 4 does not follow from entry 1"),
        (
            "UPDATE journal SET number = -number; UPDATE journal SET number = 20 + number",
            "entry 14 does not follow from the beginning",
        ),
        (
            "INSERT INTO journal SELECT 99, kind, subject, at, '!', hash FROM journal WHERE number = 6",
            "entry 99 does not follow from entry 6",
        ),
        ("UPDATE chains SET length = 4 WHERE kind = 'audit'", "should end with entry 6, the 4. of it"),
        ("UPDATE chains SET hash = zeroblob(32) WHERE kind = 'audit'", "should end with entry 6"),
    ],
)
async def test_a_chain_that_was_tampered_with_is_found(
    store: SqliteStore, path: Path, statement: str, said: str
) -> None:
    tamper(path, statement)
    found = [problem for problem in await problems(store) if problem.startswith("journal of 'audit': ")]
    assert len(found) == 1
    assert said in found[0], found


async def test_an_entry_that_was_added_with_a_right_hash_is_found_by_the_recorded_end(
    store: SqliteStore, path: Path
) -> None:
    end = (await store.chains())[0]
    right = link(end.hash, "audit", "k", NOW, "forged").hex()
    tamper(path, f"INSERT INTO journal VALUES (99, 'audit', 'k', {NOW}, 'forged', x'{right}')")
    (problem,) = await problems(store)
    assert problem.endswith("should end with entry 6, the 5. of it, and ends with entry 99: the last ones were added")


async def test_entries_that_are_added_meanwhile_do_no_harm() -> None:
    class Busy(MemoryStore):
        """Somebody notes something whenever it is read."""

        async def journal(self, query: JournalQuery) -> list[JournalRow]:
            if query.after < 3 * PAGE:
                await self.write([], NOW, entries=[entry(chained=True)])
            return list(await super().journal(query))

        async def chains(self) -> list[Chain]:
            found = list(await super().chains())
            await self.write([], NOW, entries=[entry(chained=True)])
            return found

    store = Busy()
    await store.open()
    await store.write([], NOW, entries=[entry(chained=True) for _ in range(2 * PAGE + 5)])
    assert await problems(store) == []
    await store.close()
