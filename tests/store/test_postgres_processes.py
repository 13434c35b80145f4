"""Several processes on one PostgreSQL database, some of which are killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack

import pytest

from stepwell.base.errors import Conflict
from stepwell.ports.ledger import FeedRow
from stepwell.ports.records import InboxItem
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import NOW, PATIENCE, SECOND, TTL
from tests.servers.postgres import postgres_server
from tests.store.processes import acknowledged_before_kills, assert_nothing_lost, child, line_of


@pytest.fixture
def url() -> str:
    return postgres_server().fresh_url()


@pytest.fixture
async def store(url: str) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url)
    await store.open()
    yield store
    await store.close()


def test_processes_that_make_a_store_at_once_all_find_it_theirs(url: str) -> None:
    with ExitStack() as running:
        processes = [running.enter_context(child("open_and_close", url)) for _ in range(4)]
        assert [line_of(process) for process in processes] == ["open"] * 4


async def test_every_acknowledged_row_survives_a_kill_and_no_commit_is_half_there(url: str) -> None:
    acknowledged = acknowledged_before_kills(url, kills=2, most=100)
    await assert_nothing_lost(PostgresStore(url), acknowledged)


async def test_the_shard_of_a_killed_process_is_free_at_once(store: PostgresStore, url: str) -> None:
    with child("own", url) as process:
        assert line_of(process) == "owned"
        with pytest.raises(Conflict, match=f"process {process.pid} on "):
            await store.acquire(0, "engine", NOW + SECOND, TTL)
        process.kill()  # and not waited for: a zombie is gone too
        while not (await store.status()).owners[0]["gone"]:
            pass
        assert (await store.acquire(0, "engine", NOW + SECOND, TTL)).fence == 2


async def test_an_owner_in_another_process_is_woken(store: PostgresStore, url: str) -> None:
    with child("listen", url) as process:
        assert line_of(process) == "listening"
        await store.post([InboxItem(shard=0, kind="cancel", payload=b"")])
        assert await asyncio.to_thread(line_of, process) == "called, 1 in the inbox"


async def test_a_reader_of_the_feed_misses_nothing_that_other_processes_commit(store: PostgresStore, url: str) -> None:
    seen: list[FeedRow] = []
    with child("append", url) as first, child("append", url) as second:
        created = [line_of(process).split()[1:] for process in (first, second)]
        async with asyncio.timeout(PATIENCE):
            while len(seen) < 200:
                seen += await store.feed(seen[-1].number if seen else 0, 50)
    async with asyncio.timeout(PATIENCE):
        while rows := await store.feed(seen[-1].number, 1_000_000):
            seen += rows
    for execution in [name for names in created for name in names]:
        history = await store.history(execution, limit=100_000)
        told = [(row.seq, row.events) for row in seen if row.execution == execution]
        assert told == [(row.seq, row.events) for row in history][: len(told)]
        assert len(told) > 1
