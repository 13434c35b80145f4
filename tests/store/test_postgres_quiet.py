"""How often a PostgreSQL store asks the server, seen from the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from stepwell.ports.records import Handle, InboxItem, Presence
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import NOW, PATIENCE, SECOND, TTL, batch, change, creation
from tests.servers.postgres import postgres_server
from tests.servers.proxy import Fate, Proxy


class Wire:
    """Counts what a store sends: one thing for each statement, once it is prepared."""

    def __init__(self, proxy: Proxy) -> None:
        self.sent = 0
        proxy.fate = self._count

    def _count(self, _: bytes) -> Fate:
        self.sent += 1
        return "passes"

    def taken(self) -> int:
        """How much was sent since this was asked last."""
        sent, self.sent = self.sent, 0
        return sent


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server().port) as proxy:
        yield proxy


@pytest.fixture
async def store(proxy: Proxy) -> AsyncIterator[PostgresStore]:
    server = postgres_server()
    store = PostgresStore(server.fresh_url().replace(f":{server.port}/", f":{proxy.port}/"))
    await store.open()
    yield store
    await store.close()


async def test_a_node_that_attends_asks_once_each_time_and_nothing_in_between(
    store: PostgresStore, proxy: Proxy
) -> None:
    presence = Presence(name="one", shards=64, since=NOW)
    leases = await store.claim(range(64), "one", NOW, TTL)
    store.listen(lambda: None)
    store.listen_to_nodes(lambda: None)
    for _ in range(2):
        await store.attend(presence, leases, NOW, TTL)
        await store.inboxes({lease.shard: 0 for lease in leases})
        await asyncio.sleep(0.1)  # what is told to others is told
    wire = Wire(proxy)
    for number in range(5):
        await store.attend(presence, leases, NOW + number * SECOND, TTL)
        await store.inboxes({lease.shard: 0 for lease in leases})
    assert wire.taken() == 10
    await asyncio.sleep(0.2)
    assert wire.taken() == 0


async def test_a_batch_of_all_that_is_common_is_one_statement_however_many_shards(
    store: PostgresStore, proxy: Proxy
) -> None:
    leases = await store.claim(range(64), "one", NOW, TTL)
    handles = [Handle(f"e{number}", number % 64) for number in range(200)]
    await store.append(batch(leases, *map(creation, handles)))
    await store.append(batch(leases, *map(change, handles)))
    wire = Wire(proxy)
    more = [change(handle, 3, snapshot=b"s") for handle in handles]
    new = [creation(Handle(f"n{number}", number % 64)) for number in range(100)]
    await store.append(batch(leases, *more, *new, posts=[InboxItem(shard=3, kind="cancel", payload=b"")]))
    assert wire.taken() == 1
    await store.append(batch(leases, *(change(handle, 4) for handle in handles)))
    assert wire.taken() == 1


async def test_only_others_are_notified_and_once_for_many_items(store: PostgresStore, proxy: Proxy) -> None:
    await store.claim([0], "one", NOW, TTL)
    called = asyncio.Event()
    store.listen(called.set)
    own = [InboxItem(shard=0, kind="cancel", payload=b"")] * 10
    others = [InboxItem(shard=shard, kind="cancel", payload=b"") for shard in (1, 2, 3)]
    await store.post([*own, *others])
    await asyncio.sleep(0.05)
    called.clear()
    wire = Wire(proxy)
    await store.post(own)
    await asyncio.wait_for(called.wait(), PATIENCE)
    await asyncio.sleep(0.05)
    alone = wire.taken()
    await store.post(others)
    await asyncio.sleep(0.05)
    assert wire.taken() == alone + 1


async def test_who_owns_what_is_one_question_and_counts_nothing(store: PostgresStore, proxy: Proxy) -> None:
    await store.claim(range(2), "one", NOW, TTL)
    await store.owners()
    wire, made = Wire(proxy), proxy.made
    owners = await store.owners()
    assert (wire.taken(), proxy.made - made) == (1, 0)
    assert owners == (await store.status()).owners
    assert [(each["shard"], each["owner"]) for each in owners] == [(0, "one"), (1, "one")]
