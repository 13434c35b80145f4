"""Several processes on one database, some of which are killed."""

from __future__ import annotations

import asyncio
import random
import socket
from pathlib import Path

import pytest

from stepwell.base.chain import ORIGIN, link
from stepwell.base.errors import Conflict
from stepwell.ports.ledger import FeedRow, JournalQuery
from stepwell.ports.records import Handle, InboxItem
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.store import NOW, PATIENCE, SECOND, TTL, creation, scene_on
from tests.store.processes import acknowledged_before_kills, assert_nothing_lost, child, line_of


async def test_every_acknowledged_row_survives_a_kill_and_no_commit_is_half_there(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    acknowledged = acknowledged_before_kills(path, kills=4, most=200)
    await assert_nothing_lost(SqliteStore(path), acknowledged)


async def test_of_a_write_everything_or_nothing_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    chance = random.Random(11)
    acknowledged = 0
    for _ in range(4):
        with child("write", path) as process:
            assert line_of(process) == "writing"
            for _ in range(chance.randrange(1, 100)):
                acknowledged = int(line_of(process))
            process.kill()
        await assert_agreement(path, acknowledged)


async def test_two_processes_that_change_one_document_lose_no_change(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    seen: list[int] = []
    with child("write", path) as first, child("write", path) as second:
        for process in (first, second):
            assert line_of(process) == "writing"
        for _ in range(15):
            seen += [int(line_of(first)), int(line_of(second))]
    assert len(set(seen)) == len(seen), "no revision was written by both"
    await assert_agreement(path, max(seen))


async def assert_agreement(path: Path, acknowledged: int) -> None:
    """As many items and entries were written as revisions, in one chain, and none that was acknowledged is missing."""
    store = SqliteStore(path)
    await store.open()
    document = await store.document("counter", "k")
    assert document is not None
    assert document.revision >= acknowledged
    rows = await store.journal(JournalQuery(kind="audit", limit=100_000))
    assert [int(row.body.rstrip("x")) for row in rows] == list(range(1, document.revision + 1))
    assert len(await store.inbox(0, limit=100_000)) == document.revision
    assert await store.next_due("counter") == document.revision
    (end,) = await store.chains()
    before = ORIGIN
    for row in rows:
        before = link(before, row.kind, row.subject, row.at, row.body)
        assert row.hash == before
    assert (end.length, end.number, end.hash) == (document.revision, rows[-1].number, before)
    assert await store.check() == []
    await store.close()


async def test_a_reader_of_the_feed_misses_nothing_that_other_processes_commit(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    store = SqliteStore(path)
    await store.open()
    seen: list[FeedRow] = []
    with child("append", path) as first:
        assert line_of(first) == "created e0 e1"
        with child("append", path) as second:
            assert line_of(second) == "created e2 e3"
            while len(seen) < 400:
                seen += await store.feed(seen[-1].number if seen else 0, 50)
    seen += await store.feed(seen[-1].number, 1_000_000)
    for execution in {row.execution for row in seen}:
        history = await store.history(execution, limit=100_000)
        assert [(row.seq, row.events) for row in seen if row.execution == execution] == [
            (row.seq, row.events) for row in history
        ]
    assert {row.execution for row in seen} == {"e0", "e1", "e2", "e3"}
    await store.close()


async def test_two_processes_write_at_once(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    store = SqliteStore(path)
    await store.open()
    scene = await scene_on(store)
    with child("append", path) as process:
        _, theirs, _ = line_of(process).split()
        for number in range(100):
            await scene.append(creation(Handle(f"mine {number}", scene.lease.shard)))
        while int(line_of(process)) < 50:
            pass
    assert len(await store.history(theirs)) >= 50
    assert (await store.status()).executions == {"running": 102}
    await store.close()


async def test_the_shard_of_a_killed_process_is_free_at_once(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    store = SqliteStore(path)
    await store.open()
    with child("own", path) as process:
        assert line_of(process) == "owned"
        with pytest.raises(Conflict, match=f"process {process.pid} on ") as raised:
            await store.acquire(0, "engine", NOW + SECOND, TTL)
        assert raised.value.code == "shard-owned"
        assert (await store.status()).owners[0]["gone"] is False
        process.kill()  # and not waited for: a zombie is gone too
        while not (await store.status()).owners[0]["gone"]:
            pass
        assert (await store.acquire(0, "engine", NOW + SECOND, TTL)).fence == 2
    await store.close()


async def test_a_datagram_from_anybody_only_makes_an_owner_look(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "stepwell.db")
    await store.open()
    called = asyncio.Event()
    store.listen(called.set)
    assert store._wake.port is not None
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for content in (b"", b"\xff" * 10_000):
            stranger.sendto(content, ("127.0.0.1", store._wake.port))
            await asyncio.wait_for(called.wait(), PATIENCE)
            called.clear()
    await store.close()


async def test_an_owner_that_no_longer_listens_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    with child("listen", path) as process:
        assert line_of(process) == "listening"
        process.kill()
        process.wait()
        store = SqliteStore(path)
        await store.open()
        for _ in range(3):
            await store.post([InboxItem(shard=0, kind="cancel", payload=b"")])
        await store.close()


async def test_an_owner_in_another_process_is_woken(tmp_path: Path) -> None:
    path = tmp_path / "stepwell.db"
    with child("listen", path) as process:
        assert line_of(process) == "listening"
        store = SqliteStore(path)
        await store.open()
        await store.post([InboxItem(shard=0, kind="cancel", payload=b"")])
        assert line_of(process) == "called, 1 in the inbox"
        await store.close()
