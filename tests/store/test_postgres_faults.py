"""Connections that break and servers that are killed: nothing is lost or done twice, and callers do not notice."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from stepwell.base.errors import FenceLost, StoreError
from stepwell.ports.ledger import Write
from stepwell.ports.records import DuplicateStart, Handle, InboxItem, LockRequest
from stepwell.store.postgres import link as postgres_link
from stepwell.store.postgres import writer as postgres_writer
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import (
    LATER,
    NOW,
    PATIENCE,
    SECOND,
    TTL,
    WAITING,
    Scene,
    batch,
    change,
    creation,
    event,
    scene_on,
    wait,
)
from tests.servers.postgres import postgres_server
from tests.servers.proxy import Fate, Proxy

BROKEN: list[Fate] = ["is lost", "hangs", "arrives", "arrives late"]
BEGIN, COMMIT = b"BEGIN", b"COMMIT"
SIGN = b"the sign"
"""In the events of a change: by it a statement is known that commits by itself."""


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server().port) as proxy:
        yield proxy


@pytest.fixture
def url(proxy: Proxy) -> str:
    """Of a fresh schema, through the proxy."""
    server = postgres_server()
    return server.fresh_url().replace(f":{server.port}/", f":{proxy.port}/")


@pytest.fixture
async def scene(url: str) -> AsyncIterator[Scene]:
    async with opened(url) as store:
        yield await scene_on(store)


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


async def rows_of(store: Any, execution: str) -> list[tuple[int, bytes]]:
    return [(row.seq, row.events) for row in await store.history(execution, limit=100_000)]


# ── One commit ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fate", BROKEN)
async def test_a_batch_of_history_is_written_once(scene: Scene, proxy: Proxy, fate: Fate) -> None:
    handle = await scene.create("a")
    proxy.once(SIGN, fate)
    await scene.append(change(handle, 2, SIGN))
    await scene.append(change(handle, 3))
    assert await rows_of(scene.store, "a") == [(1, b"created"), (2, SIGN), (3, b"more")]


@pytest.mark.parametrize("fate", BROKEN)
async def test_a_batch_that_creates_and_posts_is_written_once(scene: Scene, proxy: Proxy, fate: Fate) -> None:
    post = InboxItem(shard=7, kind="start", payload=b"p")
    handle = Handle("a", scene.lease.shard)
    proxy.once(SIGN, fate)
    await scene.append(creation(handle, events=SIGN, start_key="k"), posts=[post])
    assert handle.key is not None
    await scene.append(change(handle, 2))
    assert await rows_of(scene.store, "a") == [(1, SIGN), (2, b"more")]
    assert [item.payload for item in await scene.store.inbox(7)] == [b"p"]


@pytest.mark.parametrize("fate", BROKEN)
@pytest.mark.parametrize("sign", [BEGIN, SIGN, COMMIT])
async def test_a_batch_of_several_statements_is_written_once(
    scene: Scene, proxy: Proxy, fate: Fate, sign: bytes
) -> None:
    handle, other = await scene.create("a"), await scene.create("b")
    await scene.append(change(other, locks_taken=[LockRequest("till", 1, "", NOW)]))
    await scene.append(consumed=[item.id for item in await scene.inbox()])
    await scene.store.publish(event("early"), NOW, LATER)
    proxy.once(sign, fate)
    begun = change(handle, 2, SIGN, waits_begun=[wait()], locks_taken=[LockRequest("till", 1, "pay", NOW)])
    posted = await scene.append(begun, change(other, 3, locks_released=[("till", "")]))
    assert posted, "what was found out before the connection broke is the answer"
    assert await rows_of(scene.store, "a") == [(1, b"created"), (2, SIGN)]
    assert [item.kind for item in await scene.inbox()] == ["early_event", "lock_granted"]


@pytest.mark.parametrize("fate", BROKEN)
@pytest.mark.parametrize("sign", [BEGIN, COMMIT])
async def test_whatever_else_is_written_is_written_once(scene: Scene, proxy: Proxy, fate: Fate, sign: bytes) -> None:
    store = scene.store
    handle = await scene.create("a", WAITING)
    await scene.append(change(handle, waits_begun=[wait()]))
    proxy.once(sign, fate)
    published = await store.publish(event(), NOW, LATER)
    assert (published.duplicate, published.waits) == (False, 1)
    proxy.once(sign, fate)
    await store.post([InboxItem(shard=scene.lease.shard, kind="cancel", payload=b"")])
    assert [item.kind for item in await scene.inbox()] == ["event", "cancel"]
    proxy.once(sign, fate)
    assert list(await store.write([Write(kind="k", key="a", body=b"1")], NOW)) == [1]
    assert list(await store.write([Write(kind="k", key="a", body=b"2")], NOW)) == [2]
    proxy.once(sign, fate)
    lease = await store.acquire(5, "engine", NOW, TTL)
    assert lease.fence == 1
    await store.append(batch(lease, creation(Handle("b", 5))))


async def test_a_commit_that_arrived_before_the_shard_was_taken_over_counts(scene: Scene, proxy: Proxy) -> None:
    handle = await scene.create("a")
    async with opened(postgres_server().url(schema=_schema(scene.store))) as other:
        proxy.once(SIGN, "arrives", refuses=True)
        doubtful = asyncio.ensure_future(scene.append(change(handle, 2, SIGN)))
        await proxy.met.wait()
        await other.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
        proxy.refuses = False
        await doubtful
        with pytest.raises(FenceLost):
            await scene.append(change(handle, 3))
        assert await rows_of(other, "a") == [(1, b"created"), (2, SIGN)]


async def test_a_commit_of_several_statements_that_arrived_before_the_shard_was_taken_over_is_not_made_again(
    scene: Scene, proxy: Proxy
) -> None:
    handle, other_handle = await scene.create("a"), await scene.create("b")
    await scene.append(change(other_handle, locks_taken=[LockRequest("till", 1, "", NOW)]))
    await scene.append(consumed=[item.id for item in await scene.inbox()])
    await scene.store.publish(event("early"), NOW, LATER)
    post = InboxItem(shard=7, kind="start", payload=b"p")
    begun = change(handle, 2, SIGN, waits_begun=[wait()], locks_taken=[LockRequest("till", 1, "pay", NOW)])
    async with opened(postgres_server().url(schema=_schema(scene.store))) as other:
        proxy.once(COMMIT, "arrives", refuses=True)
        released = change(other_handle, 3, locks_released=[("till", "")])
        doubtful = asyncio.ensure_future(scene.append(begun, released, posts=[post]))
        await proxy.met.wait()
        await other.acquire(scene.lease.shard, "other", NOW + TTL, TTL)
        proxy.refuses = False
        assert await doubtful
        assert [item.payload for item in await other.inbox(7)] == [b"p"]
        assert [item.kind for item in await other.inbox(scene.lease.shard)] == ["early_event", "lock_granted"]
        assert await rows_of(other, "a") == [(1, b"created"), (2, SIGN)]


async def test_what_is_refused_is_refused_after_a_broken_connection_too(scene: Scene, proxy: Proxy) -> None:
    await scene.create("a", start_key="k")
    proxy.once(SIGN, "arrives")
    with pytest.raises(DuplicateStart):
        await scene.append(creation(Handle("b", scene.lease.shard), events=SIGN, start_key="k"))
    await scene.create("c")


# ── Many of them ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Busy:
    """Writes all kinds of things to a store at once, and knows what must be there then."""

    def __init__(self, scene: Scene, name: str) -> None:
        self.scene = scene
        self.name = name
        self.published: list[str] = []
        self.posted: list[bytes] = []

    async def work(self, rounds: int) -> None:
        self.handles = [await self.scene.create(f"{self.name}{number}", WAITING) for number in range(4)]
        await asyncio.gather(self._append(rounds), self._publish(rounds), self._post(rounds), self._read(rounds))

    async def check(self, rounds: int) -> None:
        for handle in self.handles:
            rows = await rows_of(self.scene.store, handle.id)
            assert [seq for seq, _ in rows] == list(range(1, rounds + 2))
        items = await self.scene.store.inbox(self.scene.lease.shard, limit=100_000)
        assert [item.payload for item in items if item.kind == "cancel"] == self.posted
        events = [item for item in items if item.kind in ("event", "early_event")]
        assert len(events) == rounds, "each event and its wait have met once"
        assert len({item.id for item in items}) == len(items)

    async def _append(self, rounds: int) -> None:
        """A wait for one event begins in every round, in one of the executions."""
        for seq in range(2, rounds + 2):
            waiting = self.handles[seq % len(self.handles)]
            begun = [wait(f"step {seq}", self.name, number=seq)]
            changes = [change(each, seq, waits_begun=begun if each is waiting else ()) for each in self.handles]
            await self.scene.append(*changes)

    async def _publish(self, rounds: int) -> None:
        for seq in range(2, rounds + 2):
            published = await self.scene.store.publish(event(f"{self.name}{seq}", self.name, number=seq), NOW, LATER)
            assert not published.duplicate

    async def _post(self, rounds: int) -> None:
        for number in range(rounds):
            self.posted.append(b"%d" % number)
            await self.scene.store.post(
                [InboxItem(shard=self.scene.lease.shard, kind="cancel", payload=self.posted[-1])]
            )

    async def _read(self, rounds: int) -> None:
        for _ in range(rounds):
            stored = await self.scene.store.load(self.handles[0].id)
            assert stored is not None
            assert [row.seq for row in stored.history] == list(range(1, len(stored.history) + 1))


async def _nothing() -> None:
    pass


async def _busy_while(
    url: str, rounds: int, disturb: Callable[[], Awaitable[None]], settle: Callable[[], Awaitable[None]] = _nothing
) -> None:
    """Two stores at work while something is done to their connections, again and again, until `settle`."""
    async with opened(url) as first, opened(url) as second:
        busy = [Busy(await scene_on(store, name), name) for store, name in ((first, "x"), (second, "y"))]
        work = asyncio.gather(*(each.work(rounds) for each in busy))
        while not work.done():
            await disturb()
        await work
        await settle()
        for each in busy:
            await each.check(rounds)
        assert [problem for problem in await first.check() if "definition" not in problem] == []


async def test_connections_that_break_at_random_lose_and_double_nothing(url: str, proxy: Proxy) -> None:
    chance = random.Random(3)

    def judge(_: bytes) -> Fate:
        return chance.choice(BROKEN) if chance.random() < 0.02 else "passes"

    async def disturb() -> None:
        proxy.fate = judge
        await asyncio.sleep(0.05)

    async def settle() -> None:
        proxy.fate = lambda _: "passes"

    await _busy_while(url, 40, disturb, settle)
    assert proxy.made > 20


async def test_sessions_that_an_administrator_ends_lose_and_double_nothing(url: str) -> None:
    administrator = await asyncpg.connect(postgres_server().url())

    async def disturb() -> None:
        await asyncio.sleep(0.3)
        await administrator.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'stepwell%'"
        )

    await _busy_while(url, 40, disturb)
    await administrator.close()


async def test_a_server_that_is_killed_and_restarted_loses_and_doubles_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = postgres_server()
    ways = [server.kill, server.stop]

    async def disturb() -> None:
        await asyncio.sleep(0.6)
        await asyncio.to_thread(ways[0])
        ways.reverse()
        await asyncio.sleep(0.1)
        await asyncio.to_thread(server.start)

    with caplog.at_level(logging.WARNING):
        await _busy_while(server.fresh_url(), 40, disturb)
    said = [record.getMessage() for record in caplog.records]
    assert sum("is lost" in line for line in said) <= 2 * sum("answers again" in line for line in said) + 2
    assert len(said) < 100, "an outage is told once, not once a try"


async def test_nothing_answers_while_the_server_is_frozen_and_all_goes_on_then(scene: Scene) -> None:
    handle = await scene.create("a")
    server = postgres_server()
    server.freeze()
    try:
        calls = [asyncio.ensure_future(call) for call in (scene.append(change(handle, 2)), scene.inbox())]
        _, pending = await asyncio.wait(calls, timeout=0.2)
        assert len(pending) == 2
    finally:
        server.thaw()
    await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)
    assert [seq for seq, _ in await rows_of(scene.store, "a")] == [1, 2]


# ── Outages ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_an_outage_that_lasts_too_long_is_an_error_and_the_store_goes_on_afterwards(
    proxy: Proxy, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(url, reconnect=SECOND // 5) as store:
        scene = await scene_on(store)
        handle = await scene.create("a")
        proxy.refuses = True
        proxy.cut()
        made = proxy.made
        with caplog.at_level(logging.WARNING):
            for call in (scene.append(change(handle, 2)), scene.inbox(), store.publish(event(), NOW, LATER)):
                with pytest.raises(StoreError) as raised:
                    await asyncio.wait_for(call, PATIENCE)
                assert raised.value.code == "store-unavailable"
                assert "it was tried for" in raised.value.message
        assert _is_out(store)
        assert proxy.made - made < 60, "it is not asked without a pause"
        assert len(caplog.records) == 1
        assert "hint" not in caplog.text
        proxy.refuses = False
        await scene.append(change(handle, 2))
        assert not _is_out(store)
        assert [seq for seq, _ in await rows_of(store, "a")] == [1, 2]


async def tried(proxy: Proxy, times: int) -> None:
    """So many connections more were tried."""
    made = proxy.made
    async with asyncio.timeout(PATIENCE):
        while proxy.made - made < times:
            await asyncio.sleep(0.01)


async def test_who_outlasts_the_server_waits_as_long_as_it_takes_and_hurries_when_told_to(
    proxy: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "_HASTE", SECOND // 10)
    async with opened(url, reconnect=SECOND // 10, outlasts=True) as store:
        scene = await scene_on(store)
        handle = await scene.create("a")
        assert store.away_for == 0
        proxy.refuses = True
        proxy.cut()
        waiting = asyncio.ensure_future(scene.append(change(handle, 2)))
        await tried(proxy, 15)
        assert not waiting.done()
        assert store.away_for > 0.1
        proxy.refuses = False
        await asyncio.wait_for(waiting, PATIENCE)
        assert store.away_for == 0
        proxy.refuses = True
        proxy.cut()
        waiting = asyncio.ensure_future(scene.append(change(handle, 3)))
        await tried(proxy, 5)
        store.hasten()
        with pytest.raises(StoreError) as raised:
            await asyncio.wait_for(waiting, PATIENCE)
        assert raised.value.code == "store-unavailable"


async def test_the_end_of_an_outage_is_noticed_though_nobody_waits_for_it_any_more(proxy: Proxy, url: str) -> None:
    async with opened(url, outlasts=True) as store:
        await store.inbox(0)
        proxy.refuses = True
        proxy.cut()
        reading = asyncio.ensure_future(store.inbox(0))
        await tried(proxy, 2)
        reading.cancel()
        assert _is_out(store)
        proxy.refuses = False
        async with asyncio.timeout(PATIENCE):
            while _is_out(store):
                await asyncio.sleep(0.01)


async def test_a_server_that_says_nothing_is_found_out_and_one_that_is_slow_is_not(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_link, "_SILENT", 0.1)
    async with opened(url, outlasts=True) as store:
        await store._read(lambda connection: connection.fetchval("SELECT pg_sleep(0.5)"))
        assert not _is_out(store)
        server = postgres_server()
        server.freeze()
        try:
            reading = asyncio.ensure_future(store.inbox(0))
            async with asyncio.timeout(PATIENCE):
                while not _is_out(store):
                    await asyncio.sleep(0.01)
            assert store.away_for > 0.1, "since it was asked"
        finally:
            server.thaw()
        await asyncio.wait_for(reading, PATIENCE)


@pytest.mark.parametrize("sign", [SIGN, COMMIT])
async def test_what_was_given_up_in_doubt_is_not_taken_for_what_comes_after_it(
    proxy: Proxy, url: str, sign: bytes
) -> None:
    async with opened(url, reconnect=SECOND // 10) as store:
        scene = await scene_on(store)
        handle = await scene.create("a")
        for seq in (2, 4):
            doubtful = scene.append(change(handle, seq, SIGN, waits_begun=[wait()] if sign == COMMIT else ()))
            proxy.once(sign, "arrives", refuses=True)
            with pytest.raises(StoreError) as raised:
                await asyncio.wait_for(doubtful, PATIENCE)
            assert raised.value.code == "store-unavailable"
            proxy.refuses = False
            await scene.append(change(handle, seq + 1))
        assert [seq for seq, _ in await rows_of(store, "a")] == [1, 2, 3, 4, 5]


async def test_a_store_closes_during_an_outage(proxy: Proxy, url: str) -> None:
    async with opened(url, reconnect=SECOND // 10) as store:
        await scene_on(store)
        proxy.refuses = True
        proxy.cut()
        await asyncio.wait_for(store.close(), PATIENCE)


async def test_what_others_put_into_an_inbox_during_an_outage_is_looked_for_after_it(
    scene: Scene, proxy: Proxy
) -> None:
    called = asyncio.Event()
    scene.store.listen(called.set)
    direct = postgres_server()
    async with opened(direct.url(schema=_schema(scene.store))) as other:
        proxy.refuses = True
        proxy.cut()
        await other.post([InboxItem(shard=scene.lease.shard, kind="cancel", payload=b"")])
        assert not called.is_set()
        proxy.refuses = False
        await asyncio.wait_for(called.wait(), PATIENCE)


async def test_a_caller_that_is_cancelled_does_not_stop_what_it_asked_for(scene: Scene) -> None:
    handle = await scene.create("a")
    asked = asyncio.ensure_future(scene.append(change(handle, 2)))
    await asyncio.sleep(0)
    asked.cancel()
    await scene.append(change(handle, 3))
    assert [seq for seq, _ in await rows_of(scene.store, "a")] == [1, 2, 3]


async def test_old_marks_are_deleted(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_writer, "KEPT", 20)
    monkeypatch.setattr(postgres_writer, "_TIDY_EVERY", 8)
    handle = await scene.create("a")
    for seq in range(2, 80):
        await scene.append(change(handle, seq))
    store = scene.store
    assert isinstance(store, PostgresStore)
    marks = await store._read(lambda connection: connection.fetchval("SELECT count(*) FROM commits"))
    assert marks < 40
    await store.close()
    await store.open()
    assert await store._read(lambda connection: connection.fetchval("SELECT count(*) FROM commits")) == 0


# ── Several stores ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_who_lost_a_shard_writes_nothing_more_and_who_has_it_everything(url: str) -> None:
    async with opened(url) as first, opened(url) as second:
        old = await scene_on(first, "first")
        handle = await old.create("a")
        writing = asyncio.ensure_future(_write_until_refused(old, handle))
        await asyncio.sleep(0.05)
        new = Scene(second, await second.acquire(old.lease.shard, "second", NOW + TTL, TTL))
        seen = [seq for seq, _ in await rows_of(second, "a")]
        for seq in range(seen[-1] + 1, seen[-1] + 20):
            await new.append(change(Handle("a", new.lease.shard, handle.key), seq, b"new"))
        refused = await asyncio.wait_for(writing, PATIENCE)
        assert refused.shards == (old.lease.shard,)
        rows = await rows_of(second, "a")
        assert [seq for seq, _ in rows] == list(range(1, seen[-1] + 20))
        assert [events for seq, events in rows if seq > seen[-1]] == [b"new"] * 19


async def _write_until_refused(scene: Scene, handle: Handle) -> FenceLost:
    seq = 1
    while True:
        seq += 1
        try:
            await scene.append(change(handle, seq, b"old"))
        except FenceLost as lost:
            return lost


async def test_events_and_waits_of_several_stores_meet_whichever_comes_first(url: str) -> None:
    async with opened(url) as first, opened(url) as second, opened(url) as third:
        scenes = [await scene_on(first, "first"), await scene_on(second, "second")]
        handles = [[await scene.create(f"{place}.{number}", WAITING) for number in range(30)]
                   for place, scene in enumerate(scenes)]  # fmt: skip
        waits = [
            scene.append(change(handle, waits_begun=[wait(order=number) if number % 3 else wait(type_=f"t{number}")]))
            for scene, own in zip(scenes, handles, strict=True)
            for number, handle in enumerate(own)
        ]
        events = [
            third.publish(event(f"e{number}", "paid" if number % 3 else f"t{number}", order=number), NOW, LATER)
            for number in range(30)
        ]
        both = [*waits, *events]
        random.Random(5).shuffle(both)
        await asyncio.gather(*both)
        for scene in scenes:
            received = await scene.received()
            assert sorted(id_ for _, _, _, id_ in received) == sorted(f"e{number}" for number in range(30))


async def test_a_reader_of_an_inbox_misses_nothing_that_others_put_there_at_once(url: str) -> None:
    async with opened(url) as reader, opened(url) as first, opened(url) as second:
        posts = asyncio.gather(*(_post_many(store, name) for store, name in ((first, b"x"), (second, b"y"))))
        seen: list[InboxItem] = []
        while not posts.done() or len(seen) < 120:
            seen += await asyncio.wait_for(reader.inbox(3, seen[-1].id if seen else 0, 7), PATIENCE)
        await posts
        assert sorted(item.payload for item in seen) == sorted(
            name + b"%d" % number for name in (b"x", b"y") for number in range(60)
        )


async def _post_many(store: PostgresStore, name: bytes) -> None:
    items = [InboxItem(shard=3, kind="cancel", payload=name + b"%d" % number) for number in range(60)]
    await asyncio.gather(*(store.post([item]) for item in items))


def _is_out(store: PostgresStore) -> bool:
    return store.outage is not None


def _schema(store: Any) -> str:
    return str(store._database.schema)
