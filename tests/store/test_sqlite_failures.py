"""What goes wrong while a database is in use: one clear error, nothing half-written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
import pytest

from stepwell.base.errors import StoreError
from stepwell.ports.ledger import JournalQuery
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import Handle, HistoryRow, InboxItem
from stepwell.store.sqlite.errors import store_error
from stepwell.store.sqlite.store import SqliteStore
from tests.conformance.ledger import delete, entry, put
from tests.conformance.store import NOW, TTL, Scene, change, creation, event, scene_on
from tests.conformance.store_locks import runners
from tests.store.child import FILE_LIMIT
from tests.store.processes import child, line_of, said_by


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    return tmp_path / "stepwell.db"


@pytest.fixture
async def scene(path: Path) -> AsyncIterator[Scene]:
    store = SqliteStore(path, busy_timeout=20_000)
    await store.open()
    yield await scene_on(store)
    await store.close()


def sqlite_of(scene: Scene) -> SqliteStore:
    assert isinstance(scene.store, SqliteStore)
    return scene.store


async def test_a_full_disk_refuses_a_batch_as_a_whole_and_the_next_one_succeeds(scene: Scene) -> None:
    handle = await scene.create("a")
    store = sqlite_of(scene)
    await store._write(lambda connection: connection.pragma("max_page_count", connection.pragma("page_count") + 5))
    new = Handle("b", scene.lease.shard)
    with pytest.raises(StoreError) as raised:
        await scene.append(change(handle, 2), creation(new, events=b"x" * 100_000))
    assert raised.value.code == "store-full"
    assert raised.value.hint
    assert await store.load("b") is None
    assert len(await store.history("a")) == 1
    await store._write(lambda connection: connection.pragma("max_page_count", 10**9))
    await scene.append(change(handle, 2), creation(new, events=b"x" * 100_000))
    assert new.key is not None
    assert await store.history("a") == [HistoryRow(1, b"created"), HistoryRow(2, b"more")]


async def test_a_lock_is_not_handed_on_by_a_batch_that_could_not_be_written(scene: Scene) -> None:
    first, second = await runners(scene, "ab")
    await first.take()
    await second.take()
    before = await scene.store.locks(), await scene.inbox()
    store = sqlite_of(scene)
    await store._write(lambda connection: connection.pragma("max_page_count", connection.pragma("page_count") + 5))
    with pytest.raises(StoreError):
        await scene.append(first.releasing(), creation(Handle("c", scene.lease.shard), events=b"x" * 100_000))
    assert (await store.locks(), await scene.inbox()) == before
    await store._write(lambda connection: connection.pragma("max_page_count", 10**9))
    assert await first.release()
    assert [lock.execution for lock in await store.locks()] == ["b"]


@pytest.mark.parametrize("too_large", ["document", "post", "entry"])
async def test_a_full_disk_refuses_a_write_to_the_ledger_as_a_whole(scene: Scene, too_large: str) -> None:
    store = sqlite_of(scene)
    await store.write([put("a", due_at=1)], NOW, entries=[entry(chained=True)])

    async def seen() -> object:
        documents = await store.documents("schedule"), await store.next_due("schedule")
        return documents, await store.journal(JournalQuery(kind="audit")), await store.chains(), await scene.inbox()

    before = await seen()
    await store._write(lambda connection: connection.pragma("max_page_count", connection.pragma("page_count") + 5))
    writes = [delete("a"), put("b", due_at=2), put("c", b"x" * (100_000 if too_large == "document" else 1))]
    posts = [InboxItem(shard=0, kind="start", payload=b"x" * (100_000 if too_large == "post" else 1))]
    entries = [entry(chained=True), entry("x" * (100_000 if too_large == "entry" else 1), chained=True)]
    with pytest.raises(StoreError) as raised:
        await store.write(writes, NOW, posts=posts, entries=entries)
    assert raised.value.code == "store-full"
    assert await seen() == before
    await store._write(lambda connection: connection.pragma("max_page_count", 10**9))
    assert await store.write(writes, NOW, posts=posts, entries=entries) == [1, 2, 2]
    assert [chain.length for chain in await store.chains()] == [3]
    assert await store.check() == []


async def test_a_write_to_the_ledger_waits_for_no_reader_and_is_refused_while_another_process_writes(
    scene: Scene, path: Path
) -> None:
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError) as raised:
        await scene.store.write([put()], NOW)
    assert raised.value.code == "store-busy"
    other.execute("ROLLBACK")
    other.execute("BEGIN; SELECT count(*) FROM documents")
    assert await scene.store.write([put()], NOW) == [1]
    other.close()


async def test_a_file_that_may_not_grow_keeps_what_was_acknowledged(path: Path) -> None:
    with child("append_into_a_small_file", path) as process:
        _, *names = line_of(process).split()
        *acknowledged, last, code = [line.strip() for line in said_by(process)]
        assert process.wait() == 0
    assert code == "store-full"
    assert len(acknowledged) > 10
    assert path.stat().st_size <= FILE_LIMIT
    store = SqliteStore(path)
    await store.open()
    for name in names:
        assert len(await store.history(name, limit=100_000)) == int(last)
    await store.close()


async def test_a_lock_that_stays_is_an_error_and_the_next_try_succeeds(scene: Scene, path: Path) -> None:
    handle = await scene.create("a")
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    for write in (scene.append(change(handle)), scene.store.publish(event(), NOW, NOW)):
        with pytest.raises(StoreError) as raised:
            await write
        assert raised.value.code == "store-busy"
    assert len(await scene.store.history("a")) == 1, "readers do not wait for a writer"
    other.execute("ROLLBACK")
    other.close()
    await scene.append(change(handle))


async def test_a_deleted_file_is_noticed_at_the_next_write(scene: Scene, path: Path) -> None:
    handle = await scene.create("a")
    path.unlink()
    for _ in range(2):
        with pytest.raises(StoreError) as raised:
            await scene.append(change(handle))
        assert raised.value.code == "store-gone"


async def test_a_replaced_file_is_noticed_and_not_written(scene: Scene, path: Path, tmp_path: Path) -> None:
    handle = await scene.create("a")
    (tmp_path / "other.db").write_bytes(b"something else")
    (tmp_path / "other.db").rename(path)
    with pytest.raises(StoreError) as raised:
        await scene.append(change(handle))
    assert raised.value.code == "store-gone"
    assert path.read_bytes() == b"something else"


def damage(path: Path, table: str) -> None:
    """Overwrite every page of a table."""
    connection = apsw.Connection(str(path))
    pages = [page for (page,) in connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (table,))]
    size = connection.pragma("page_size")
    connection.close()
    content = bytearray(path.read_bytes())
    for page in pages:
        content[(page - 1) * size : page * size] = b"\xa5" * size
    path.write_bytes(content)


async def test_damaged_pages_are_an_error_where_they_are_read_and_a_finding(scene: Scene, path: Path) -> None:
    for number in range(100):
        await scene.create(f"e{number}", events=b"x" * 300)
    await scene.store.close()
    damage(path, "history")
    store = SqliteStore(path)
    await store.open()
    with pytest.raises(StoreError) as raised:
        await store.executions_after(0, 1_000)
    assert raised.value.code == "store-damaged"
    assert raised.value.hint
    with pytest.raises(StoreError):
        await asyncio.gather(*[store.load(f"e{number}") for number in range(100)])
    findings = await store.check()
    assert findings
    assert all("is damaged" in finding for finding in findings)
    await store.close()


async def test_no_error_of_sqlite_gets_out(scene: Scene, path: Path) -> None:
    other = apsw.Connection(str(path))
    other.execute("DROP TABLE history; DROP TABLE executions; DROP TABLE events")
    other.close()
    for call in (
        scene.create("a"),
        scene.store.history("a"),
        scene.store.load("a"),
        scene.store.executions_after(0, 1),
        scene.store.publish(event(), NOW, NOW),
        scene.store.status(),
    ):
        with pytest.raises(StoreError) as raised:
            await call
        assert raised.value.code == "store-failed"
    assert any("no such table" in finding for finding in await scene.store.check())


def test_a_disk_that_is_full_when_synced_is_full() -> None:
    assert store_error(apsw.IOError("IOError"), "x.db", 28).code == "store-full"
    failed = store_error(apsw.IOError("IOError"), "x.db", 5)
    assert failed.message == "x.db cannot be read or written: Input/output error"
    assert store_error(apsw.IOError("IOError: disk I/O error"), "x.db").code == "store-failed"


async def test_a_caller_that_no_longer_waits_does_not_stop_the_write(scene: Scene) -> None:
    handle = await scene.create("a")
    task = asyncio.ensure_future(scene.append(change(handle)))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await scene.append(change(handle, 3))
    assert [row.seq for row in await scene.store.history("a")] == [1, 2, 3]


async def test_lists_do_not_wait_for_writes(scene: Scene) -> None:
    handle = await scene.create("a")
    appends = [asyncio.ensure_future(scene.append(change(handle, seq))) for seq in range(2, 30)]
    pages = await asyncio.gather(*[scene.store.list(ExecutionQuery()) for _ in range(5)])
    assert [len(page.items) for page in pages] == [1] * 5
    await asyncio.gather(*appends)


async def test_without_a_socket_an_owner_is_still_called_for_what_its_own_process_posts(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise OSError("no sockets here")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_datagram_endpoint", refuse, raising=True)
    store = SqliteStore(path)
    await store.open()
    assert "no sockets here" in caplog.text
    lease = await store.acquire(None, "engine", NOW, TTL)
    called = asyncio.Event()
    store.listen(called.set)
    await store.post([InboxItem(shard=lease.shard, kind="cancel", payload=b"")])
    await asyncio.wait_for(called.wait(), 10)
    await store.close()
