"""Events that come at once are written together, and each is what it would be alone."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from stepwell.base.errors import Conflict, StoreError, UsageError
from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.records import Published
from stepwell.store.sqlite import publishing as sqlite_publishing
from stepwell.store.sqlite.store import SqliteStore


def event(number: int) -> Event:
    return Event(id=f"e{number}", type="x", source="s", data={"n": number})


async def test_many_are_written_in_few_transactions_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    original = sqlite_publishing.published

    def counted(connection: Any, incoming: Any) -> Any:
        sizes.append(len(incoming))
        return original(connection, incoming)

    monkeypatch.setattr(sqlite_publishing, "published", counted)
    store = SqliteStore(tmp_path / "w.db")
    await store.open()
    found = await asyncio.gather(*(store.publish(event(n % 500), 1, 2) for n in range(600)))
    assert [each.duplicate for each in found] == [False] * 500 + [True] * 100
    assert sum(sizes) == 600
    assert len(sizes) <= 4
    assert (await store.status()).events == 500
    await store.close()


async def test_one_that_cannot_be_stored_keeps_no_other_from_it(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "w.db")
    await store.open()
    taken = Write(kind="k", key="a", body=b"x", expected=7)
    found = await asyncio.gather(
        store.publish(event(0), 1, 2),
        store.publish(event(1), 1, 2, writes=[taken]),
        store.publish(event(2), 1, 2, entries=[JournalEntry(kind="", subject="", at=1, body="")]),
        store.publish(event(3), 1, 2, writes=[Write(kind="k", key="b", body=b"x", expected=0)]),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [Published, Conflict, UsageError, Published]
    assert (await store.status()).events == 2
    assert not (await store.publish(event(1), 1, 2)).duplicate
    assert [document.key for document in await store.documents("k")] == ["b"]
    await store.close()


async def test_what_the_disk_refuses_is_refused_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = SqliteStore(tmp_path / "w.db")
    await store.open()

    def full(*given: Any) -> Any:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(sqlite_publishing, "published", full)
        found = await asyncio.gather(*(store.publish(event(n), 1, 2) for n in range(3)), return_exceptions=True)
    assert all(isinstance(each, StoreError) for each in found)
    assert [each.duplicate for each in await asyncio.gather(*(store.publish(event(n), 1, 2) for n in range(3)))] == [
        False
    ] * 3
    await store.close()


async def test_what_was_asked_for_is_written_though_nobody_waits_and_the_store_is_closed(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "w.db")
    await store.open()
    publishing = asyncio.create_task(store.publish(event(0), 1, 2))
    await asyncio.sleep(0)
    publishing.cancel()
    await store.close()
    await store.open()
    assert (await store.publish(event(0), 1, 2)).duplicate
    await store.close()
    with pytest.raises(StoreError):
        await store.publish(event(1), 1, 2)
