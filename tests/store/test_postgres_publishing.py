"""Events that come at once are written together on PostgreSQL too, and each is what it would be alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from stepwell.base.errors import Conflict, StoreError, UsageError
from stepwell.ports.ledger import JournalEntry, JournalQuery, Write
from stepwell.ports.records import InboxItem, Published
from stepwell.store.postgres import events as postgres_events
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import LATER, NOW, WAITING, change, decoded, event, scene_on, wait
from tests.servers.postgres import postgres_server
from tests.servers.proxy import Proxy


@pytest.fixture
async def store() -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_server().fresh_url())
    await store.open()
    yield store
    await store.close()


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Of the groups in which events are written."""
    sizes: list[int] = []
    original = postgres_events.publish

    async def counted(connection: Any, incoming: Any) -> Any:
        sizes.append(len(incoming))
        return await original(connection, incoming)

    monkeypatch.setattr(postgres_events, "publish", counted)
    return sizes


async def test_many_are_written_in_few_transactions_and_each_id_once(store: PostgresStore, sizes: list[int]) -> None:
    found = await asyncio.gather(*(store.publish(event(f"e{n % 200}"), NOW, LATER) for n in range(300)))
    assert [each.duplicate for each in found] == [False] * 200 + [True] * 100
    assert sum(sizes) == 300
    assert len(sizes) <= 4
    assert (await store.status()).events == 200


async def test_one_alone_waits_for_nobody(store: PostgresStore, sizes: list[int]) -> None:
    for n in range(3):
        await store.publish(event(f"e{n}"), NOW, LATER)
    assert sizes == [1, 1, 1]


async def test_each_finds_its_waits_and_brings_what_belongs_to_it(store: PostgresStore) -> None:
    scene = await scene_on(store)
    handles = [await scene.create(f"x{n}", WAITING) for n in range(20)]
    await scene.append(*(change(each, waits_begun=[wait(order=n)]) for n, each in enumerate(handles)))
    found = await asyncio.gather(
        *(
            store.publish(
                event(f"e{n}", order=n),
                NOW,
                LATER,
                [InboxItem(shard=scene.lease.shard, kind="start", payload=b"%d" % n)],
                [JournalEntry(kind="j", subject="", at=NOW, body=f'"{n}"', chained=True)],
                [Write(kind="k", key=f"{n:02}", body=b"%d" % n, expected=0)],
            )
            for n in range(20)
        )
    )
    assert [each.waits for each in found] == [1] * 20
    items = await scene.inbox()
    events = [(item.execution, decoded(item).id) for item in items if item.kind == "event"]
    assert events == [(f"x{n}", f"e{n}") for n in range(20)]
    starts = [item.payload for item in items if item.kind == "start"]
    assert starts == [b"%d" % n for n in range(20)]
    assert [row.body for row in await store.journal(JournalQuery(kind="j"))] == [f'"{n}"' for n in range(20)]
    assert [document.body for document in await store.documents("k")] == [b"%d" % n for n in range(20)]


async def test_one_that_cannot_be_stored_keeps_no_other_from_it(store: PostgresStore) -> None:
    taken = Write(kind="k", key="a", body=b"x", expected=7)
    found = await asyncio.gather(
        store.publish(event("e0"), NOW, LATER),
        store.publish(event("e1"), NOW, LATER, writes=[taken]),
        store.publish(event("e2"), NOW, LATER, entries=[JournalEntry(kind="", subject="", at=1, body="")]),
        store.publish(event("e3"), NOW, LATER, writes=[Write(kind="k", key="b", body=b"x", expected=0)]),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [Published, Conflict, UsageError, Published]
    assert (await store.status()).events == 2
    assert not (await store.publish(event("e1"), NOW, LATER)).duplicate
    assert [document.key for document in await store.documents("k")] == ["b"]


async def test_those_that_change_one_document_come_one_after_another(store: PostgresStore) -> None:
    found = await asyncio.gather(
        *(
            store.publish(event(f"e{n}"), NOW, LATER, writes=[Write(kind="k", key="a", body=b"%d" % n, expected=n % 2)])
            for n in range(3)
        ),
        return_exceptions=True,
    )
    assert [type(each) for each in found] == [Published, Published, Conflict]
    assert (await store.status()).events == 2


async def test_a_group_whose_connection_breaks_is_written_once() -> None:
    server = postgres_server()
    async with Proxy(server.port) as proxy:
        store = PostgresStore(server.fresh_url().replace(f":{server.port}/", f":{proxy.port}/"))
        await store.open()
        await store.publish(event("first"), NOW, LATER)
        proxy.once(b"COMMIT", "arrives")
        found = await asyncio.gather(*(store.publish(event(f"e{n}"), NOW, LATER) for n in range(50)))
        assert not any(each.duplicate for each in found)
        assert (await store.status()).events == 51
        await store.close()


async def test_what_was_asked_for_is_written_though_nobody_waits_and_the_store_is_closed(store: PostgresStore) -> None:
    publishing = [asyncio.create_task(store.publish(event(f"e{n}"), NOW, LATER)) for n in range(3)]
    await asyncio.sleep(0)
    for each in publishing:
        each.cancel()
    await store.close()
    with pytest.raises(StoreError):
        await store.publish(event("e9"), NOW, LATER)
    await store.open()
    assert [(await store.publish(event(f"e{n}"), NOW, LATER)).duplicate for n in range(3)] == [True] * 3
