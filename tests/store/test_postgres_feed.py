"""The feed of the PostgreSQL store: nobody who reads on behind a number misses anything, in whatever order the
transactions end that write at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.store.postgres import feed as postgres_feed
from stepwell.store.postgres.database import Connection, connect, database_of
from stepwell.store.postgres.feed import Feed, shift_numbers
from stepwell.store.postgres.store import PostgresStore
from tests.servers.postgres import postgres_server

WRITE = """
    INSERT INTO history (number, execution, seq, events)
    VALUES ((pg_current_xact_id()::text::bigint + (SELECT shift FROM numbering)) << 20, 1, $1, '')
"""
EXECUTION = """
    INSERT INTO executions (key, created_at, shard, hot, id, workflow, version, digest, status, tags)
    VALUES (1, 0, 0, false, 'a', 'shop', '1.0.0', 'd', 'running', '{}')
"""


class Writing:
    """A transaction that writes history, under way."""

    def __init__(self, connection: Connection, seq: int) -> None:
        self._connection = connection
        self._seq = seq

    async def begin(self) -> None:
        await self._connection.execute(f"BEGIN; INSERT INTO commits VALUES ({self._seq}, 0)")

    async def write(self) -> None:
        await self._connection.execute(WRITE, self._seq)

    async def commit(self) -> None:
        await self._connection.execute("COMMIT")


class Place:
    """A schema with one execution, a reader, and connections."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.feed = Feed()
        self._connections: list[Connection] = []

    async def connected(self, url: str | None = None) -> Connection:
        self._connections.append(await connect(database_of(url or self.url)))
        return self._connections[-1]

    async def open(self) -> None:
        store = PostgresStore(self.url)
        await store.open()
        await store.close()
        self.reading = await self.connected()
        await self.reading.execute(EXECUTION)

    async def close(self) -> None:
        for connection in self._connections:
            await connection.close()

    async def begun(self, seq: int) -> Writing:
        writing = Writing(await self.connected(), seq)
        await writing.begin()
        return writing

    async def written(self, seq: int) -> None:
        writing = await self.begun(seq)
        await writing.write()
        await writing.commit()

    async def seen(self, after: int = 0) -> Sequence[int]:
        """The rows that the feed tells, by what was written into them."""
        return [row.seq for row in await self.feed.after(self.reading, after, 1_000)]


@asynccontextmanager
async def a_place() -> AsyncIterator[Place]:
    place = Place(postgres_server().fresh_url())
    try:
        await place.open()
        yield place
    finally:
        await place.close()


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with a_place() as place:
        yield place


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is in the way is looked at at once."""
    monkeypatch.setattr(postgres_feed, "_PATIENCE", -1.0)


async def test_what_was_committed_is_not_told_before_what_began_earlier(place: Place) -> None:
    await place.written(1)
    slow, quick = await place.begun(2), await place.begun(3)
    await quick.write()
    await quick.commit()
    end = await place.feed.end(place.reading)
    assert await place.seen() == [1]
    await slow.write()
    await slow.commit()
    assert await place.seen() == [1, 2, 3]
    assert await place.seen(end) == [2, 3], "whoever begins at the end that was told before misses nothing either"


async def test_a_transaction_that_is_given_up_is_in_the_way_no_more(place: Place) -> None:
    begun = await place.begun(1)
    await begun.write()
    await place.written(2)
    assert await place.seen() == []
    await begun._connection.execute("ROLLBACK")
    assert await place.seen() == [2]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("database", ["postgres", "template1"])
async def test_a_stranger_is_not_in_the_way_for_long(place: Place, database: str) -> None:
    stranger = await place.connected(postgres_server().url(database))
    await stranger.execute("BEGIN; SELECT pg_current_xact_id()")
    await place.written(1)
    seen = [await place.seen() for _ in range(4)]
    assert seen[0] == []
    assert seen[-1] == [1]
    assert await place.feed.end(place.reading) > 0
    await stranger.execute("ROLLBACK")


@pytest.mark.usefixtures("impatient")
async def test_whoever_writes_history_is_no_stranger_however_long_he_takes(place: Place) -> None:
    slow = await place.begun(1)
    await place.written(2)
    assert [await place.seen() for _ in range(4)] == [[]] * 4
    await slow.write()
    await slow.commit()
    assert await place.seen() == [1, 2]


async def test_numbers_go_on_behind_those_that_came_from_another_server(place: Place) -> None:
    await place.written(1)
    await place.reading.execute("UPDATE history SET number = number + (1::bigint << 50)")
    assert await place.seen() == [], "as if it had been written by transactions that are still to come"
    store = PostgresStore(place.url)
    await store.open()
    end = await store.feed_end()
    await place.written(2)
    assert [row.seq for row in await store.feed(0)] == [1, 2]
    assert [row.seq for row in await store.feed(end)] == [2]
    await store.close()


async def test_numbers_of_the_same_server_stay_as_they_are(place: Place) -> None:
    await place.written(1)
    await shift_numbers(place.reading)
    assert await place.reading.fetchval("SELECT shift FROM numbering") == 0


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=25))
def test_whoever_reads_on_sees_every_row_once_and_in_order(steps: list[tuple[int, bool]]) -> None:
    """Four writers, each of which begins, writes and commits when it is its turn; a reader that looks now and then."""

    async def play() -> None:
        async with a_place() as place:
            under_way: dict[int, tuple[Writing, bool]] = {}
            connections = [await place.connected() for _ in range(4)]
            numbers, count = list[int](), 0
            for who, looks in steps:
                if who not in under_way:
                    count += 1
                    under_way[who] = (Writing(connections[who], count), False)
                    await under_way[who][0].begin()
                elif not under_way[who][1]:
                    await under_way[who][0].write()
                    under_way[who] = (under_way[who][0], True)
                else:
                    await under_way.pop(who)[0].commit()
                if looks:
                    rows = await place.feed.after(place.reading, numbers[-1] if numbers else 0, 2)
                    numbers += [row.number for row in rows]
            for writing, has_written in under_way.values():
                if not has_written:
                    await writing.write()
                await writing.commit()
            while rows := await place.feed.after(place.reading, numbers[-1] if numbers else 0, 2):
                numbers += [row.number for row in rows]
            assert numbers == sorted(set(numbers))
            assert len(numbers) == count

    asyncio.run(play())
