"""Many readers of what happens."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from stepwell.app import feed as feeding
from stepwell.app.feed import FeedPage, LifecycleFeed
from stepwell.app.lifecycle import Bell
from stepwell.base.values import Sealed
from stepwell.execution.codec import Codec
from stepwell.execution.history import ExecutionCompleted, ExecutionStarted, StepCompleted
from stepwell.ports.ledger import FeedRow
from stepwell.services.cipher import AesCipher
from stepwell.store.memory.store import MemoryStore

CODEC = Codec(AesCipher(bytes(32)))


class FakeStore(MemoryStore):
    """A store whose feed a test writes; counts how often it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[FeedRow] = []
        self.reads = 0

    def commit(self, *events: object) -> None:
        number = len(self.rows) + 1
        payload = CODEC.encode_events(list(events))  # type: ignore[arg-type]
        self.rows.append(FeedRow(number=number, execution="e", workflow="w", seq=number * 10, events=payload))

    async def feed(self, after: int, limit: int = 1_000) -> list[FeedRow]:
        self.reads += 1
        return self.rows[after : after + limit]

    async def feed_end(self) -> int:
        return len(self.rows)


async def read(feed: LifecycleFeed, after: int, count: int) -> list[FeedPage]:
    """The pages with events, until there were so many events."""
    found: list[FeedPage] = []
    async with asyncio.timeout(20), aclosing(feed.pages(after)) as pages:
        async for page in pages:
            if page.events:
                found.append(page)
            if sum(len(each.events) for each in found) >= count:
                break
    return found


async def test_readers_at_the_same_place_share_what_is_read() -> None:
    store, bell = FakeStore(), Bell()
    async with LifecycleFeed(store, CODEC, bell).open() as feed:
        readers = [asyncio.create_task(read(feed, 0, 2)) for _ in range(50)]
        await asyncio.sleep(0)
        store.commit(ExecutionStarted(1))
        store.commit(ExecutionCompleted(2, None))
        bell.committed("e", None, [])  # type: ignore[arg-type]
        pages = await asyncio.gather(*readers)
    assert all(page == pages[0] for page in pages)
    assert store.reads <= 6
    assert [event.type.split(".")[2] for event in pages[0][0].events] == ["started", "completed"]


async def test_events_of_one_commit_have_the_place_before_it_but_for_the_last() -> None:
    store, bell = FakeStore(), Bell()
    store.commit(ExecutionStarted(1), StepCompleted(1, "a", 1, None), ExecutionCompleted(1, None))
    async with LifecycleFeed(store, CODEC, bell).open() as feed:
        [page] = await read(feed, 0, 3)
    assert [event.place for event in page.events] == [0, 0, 1]


async def test_a_reader_that_comes_late_reads_page_by_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "PAGE", 3)
    store, bell = FakeStore(), Bell()
    for at in range(10):
        store.commit(ExecutionStarted(at))
    async with LifecycleFeed(store, CODEC, bell).open() as feed:
        pages = await read(feed, 2, 8)
    assert [len(page.events) for page in pages] == [3, 3, 2]
    assert [event.place for page in pages for event in page.events] == list(range(3, 11))


async def test_what_another_process_commits_is_seen_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "LOOK_EVERY", 0.01)
    store, bell = FakeStore(), Bell()
    async with LifecycleFeed(store, CODEC, bell).open() as feed:
        reader = asyncio.create_task(read(feed, 0, 1))
        await asyncio.sleep(0.02)
        store.commit(ExecutionStarted(1))
        assert len(await reader) == 1


async def test_a_row_that_cannot_be_read_keeps_nobody_from_those_behind_it(caplog: pytest.LogCaptureFixture) -> None:
    store = FakeStore()
    store.commit(ExecutionStarted(1))
    other = Codec(AesCipher(bytes([1]) * 32))
    for events in (b"\xc1", other.encode_events([StepCompleted(1, "a", 1, Sealed("x"))])):
        number = len(store.rows) + 1
        store.rows.append(FeedRow(number=number, execution="odd", workflow="w", seq=number, events=events))
    store.commit(ExecutionCompleted(2, None))
    async with LifecycleFeed(store, CODEC, Bell()).open() as feed:
        [page] = await read(feed, 0, 2)
    assert [event.type.split(".")[2] for event in page.events] == ["started", "completed"]
    assert caplog.text.count("what happened in execution odd") == 2
