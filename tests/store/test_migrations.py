"""The schema: what all migrations together make, and which databases are not migrated."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import apsw
import pytest

from stepwell.base.clock import SystemClock
from stepwell.base.errors import StoreError
from stepwell.base.version import VERSION
from stepwell.ports.records import Batch, Change, Handle, HistoryRow, LockRequest, NewExecution, Summary
from stepwell.store.migrations import Applied, pending
from stepwell.store.sqlite import care as sqlite_care
from stepwell.store.sqlite import schema as sqlite_schema
from stepwell.store.sqlite.file import APPLICATION_ID, Database, connect
from stepwell.store.sqlite.schema import MIGRATIONS
from stepwell.store.sqlite.store import SqliteStore
from stepwell.store.statements import Migration, load_migrations, load_statements
from tests.conformance.store import NOW, RUNNING, TTL, event, new_execution
from tests.conformance.store_registry import register

SCHEMA = Path(sqlite_schema.__file__).parents[1] / "sql" / "sqlite" / "schema.sql"

RELEASED = {
    1: "878a979ced9a11f2c084dc2a373a83962859855efc056d7ebe40dc00eb2ae150",
    2: "c856a83559fa29a4dd3025ca6489ab86c5b6f718b51add0803875b08a94165e9",
    3: "41c8846675c9bf5729a15daace37768522ff6d4110e8dd91447d7a6179987af6",
    4: "f67d7fd604b749bacfcacf8a2153600ac2aa2d4f19ccdca4582975ae5d82839a",
    5: "2453fee45cda9859f119865b39601b74e6e2e5930da498d91c8c5905aa3a2771",
    6: "aecd9b32cfb8f4a72f31695ab25a433461e5f4d627305e7cf7fe313005963b02",
}
"""The checksums of released migrations. A migration is never edited after its release: add another one."""

CURRENT = len(MIGRATIONS)
NEXT_MIGRATION = Migration(CURRENT + 1, "more", "c", "CREATE TABLE more (x); CREATE TABLE even_more (y);")


def schema_of(connection: apsw.Connection) -> dict[str, str]:
    """Every table and index as it was declared, without comments and with white space only where it means something."""
    found = {}
    for name, sql in connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL"):
        in_one_line = re.sub(r"\s+", " ", re.sub(r"--.*", "", str(sql)))
        found[str(name)] = re.sub(r" ?([(),]) ?", r"\1", in_one_line)
    return found


async def make(path: Path) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.close()


async def refusal(path: Path, *, migrate: bool = True) -> StoreError:
    with pytest.raises(StoreError) as raised:
        await SqliteStore(path).open(migrate=migrate)
    return raised.value


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "stepwell.db"


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on there is one more migration."""
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION])
    monkeypatch.setattr(sqlite_care, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION])


def change(path: Path, statement: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()


async def test_all_migrations_together_make_the_schema(path: Path) -> None:
    await make(path)
    whole = apsw.Connection(":memory:")
    whole.execute(SCHEMA.read_text("utf-8"))
    assert schema_of(apsw.Connection(str(path))) == schema_of(whole)


def test_released_migrations_are_as_they_were_released() -> None:
    assert {migration.number: migration.checksum for migration in MIGRATIONS} == RELEASED


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in load_migrations("sqlite")] == list(range(1, len(MIGRATIONS) + 1))


def test_no_statement_is_there_twice() -> None:
    text = (SCHEMA.parent / "queries.sql").read_text("utf-8")
    assert len(load_statements("sqlite")) == text.count("\n-- name: ")


async def test_a_new_database_has_every_migration_once(path: Path) -> None:
    await make(path)
    await make(path)
    connection = apsw.Connection(str(path))
    applied = connection.execute("SELECT number, checksum, applied_by FROM migrations").fetchall()
    assert applied == [(migration.number, migration.checksum, VERSION) for migration in MIGRATIONS]


async def test_a_newer_database_is_refused_and_the_version_needed_is_named(path: Path) -> None:
    await make(path)
    change(path, "INSERT INTO migrations VALUES (8, 'x', 'y', '0.2.0'), (9, 'x', 'y', '0.3.0')")
    error = await refusal(path)
    assert error.code == "store-too-new"
    assert "0.3.0" in error.message
    assert error.hint == "use stepwell 0.3.0 or later"


async def test_an_edited_migration_is_refused(path: Path) -> None:
    await make(path)
    change(path, "UPDATE migrations SET checksum = 'other'")
    error = await refusal(path)
    assert error.code == "store-migration-changed"
    assert "migration 1 (start)" in error.message
    assert await SqliteStore(path).check() == [error.message]


@pytest.mark.usefixtures("newer")
async def test_an_older_database_is_refused_unless_it_may_be_migrated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(sqlite_schema, "MIGRATIONS", MIGRATIONS)
        await make(path)
    error = await refusal(path, migrate=False)
    assert error.code == "store-outdated"
    assert f"{CURRENT + 1} (more)" in error.message
    assert (await SqliteStore(path).status()).schema_version == CURRENT, "the status is told all the same"
    await make(path)
    assert (await SqliteStore(path).status()).schema_version == CURRENT + 1
    assert {"more", "even_more"} <= schema_of(apsw.Connection(str(path))).keys()


async def test_a_database_that_an_older_engine_is_at_work_on_is_not_migrated(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = SqliteStore(path)
    await older.open()
    lease = await older.acquire(None, "engine", SystemClock().now(), TTL)
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION])
    monkeypatch.setattr(sqlite_care, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION])
    error = await refusal(path)
    assert error.code == "store-in-use"
    assert f"is in use by process {os.getpid()} on " in error.message
    assert (await older.status()).schema_version == CURRENT
    await older.release([lease])
    await older.close()
    await make(path)
    assert (await SqliteStore(path).status()).schema_version == CURRENT + 1


async def test_a_migration_that_fails_leaves_the_database_as_it_was(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make(path)
    before = schema_of(apsw.Connection(str(path)))
    broken = Migration(CURRENT + 2, "broken", "c", "CREATE TABLE half (x); CREATE TABLE shards (y);")
    monkeypatch.setattr(sqlite_schema, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION, broken])
    assert (await refusal(path)).code == "store-failed"
    assert schema_of(apsw.Connection(str(path))) == before
    assert (await SqliteStore(path).status()).schema_version == CURRENT


@pytest.fixture
def first_version(path: Path) -> Path:
    """A database as the first version of stepwell left it, with an execution that waits and a definition."""
    database = Database(path, TTL)
    connection = connect(database, create=True)
    first = MIGRATIONS[0]
    connection.execute(first.text)
    connection.execute("INSERT INTO migrations VALUES (1, ?, ?, '0.1.0')", (first.name, first.checksum))
    connection.pragma("application_id", APPLICATION_ID)
    connection.execute(FIRST_CONTENT)
    connection.close()
    return path


FIRST_CONTENT = f"""
    INSERT INTO definitions VALUES ('d1', 'shop', '1.0.0', 'native', 'shop.yaml', 'name: shop');
    INSERT INTO shards VALUES (0, 7, NULL, 0, NULL, 'host', NULL, 1, NULL);
    INSERT INTO executions VALUES
        (3, 'a', 0, 'shop', '1.0.0', 'd1', {NOW}, 'key', '["t"]', 'waiting', 0, {NOW + 5}, {NOW}, NULL, NULL);
    INSERT INTO history VALUES (1, 3, 2, x'00ff');
    INSERT INTO snapshots VALUES (3, 2, x'01');
    INSERT INTO waits VALUES ('paid', 0, 3, 'payment');
"""


async def test_a_database_of_the_first_version_is_brought_up_to_date_with_everything_in_it(first_version: Path) -> None:
    assert (await SqliteStore(first_version).status()).schema_version == 1, "the status is told before it is migrated"
    assert (await refusal(first_version, migrate=False)).code == "store-outdated"
    store = SqliteStore(first_version)
    await store.open()
    stored = await store.load("a")
    assert stored is not None
    assert stored.created == NewExecution(
        workflow="shop", version="1.0.0", digest="d1", created_at=NOW, start_key="key", tags=("t",)
    )
    assert stored.summary == Summary(status="waiting", hot=False, wake_at=NOW + 5, started_at=NOW)
    assert (stored.handle.key, stored.snapshot_seq, stored.snapshot) == (3, 2, b"\x01")
    assert await store.history("a") == [HistoryRow(2, b"\x00\xff")]
    assert await store.check() == []
    await store.close()


async def test_a_database_of_the_first_version_goes_on_with_everything_that_is_new(first_version: Path) -> None:
    store = SqliteStore(first_version)
    await store.open()
    lease = await store.acquire(0, "engine", NOW, TTL)
    handle = Handle("a", 0, 3)
    later = Change(handle=handle, seq=3, events=b"e", locks_taken=[LockRequest("till", 1, "pay", NOW)])
    child = Change(handle=Handle("b", 0), seq=1, events=b"e", summary=RUNNING, create=new_execution(parent="a/call"))
    assert await store.append(Batch(fences={0: lease.fence}, changes=[later, child]))
    assert (await store.publish(event(), NOW, NOW)).waits == 1
    assert await store.children("a") == ["b"]
    assert await store.registrations() == [], "what was only stored is not registered"
    await register(store, content="new")
    assert await store.check() == []
    await store.close()


def test_what_is_pending_follows_what_was_applied() -> None:
    known = [Migration(number, f"m{number}", f"c{number}", "") for number in (1, 2, 3)]
    applied = [Applied(number, f"m{number}", f"c{number}", "0.1.0") for number in (1, 2)]
    assert pending(known, [], "x.db") == known
    assert pending(known, applied, "x.db") == known[2:]
    with pytest.raises(StoreError, match="migration 2") as raised:
        pending(known, [applied[0], applied[1]._replace(checksum="c")], "x.db")
    assert raised.value.code == "store-migration-changed"


async def test_many_that_make_a_store_at_once_all_find_it_theirs(tmp_path: Path) -> None:
    for number in range(20):
        stores = [SqliteStore(tmp_path / f"{number}.db") for _ in range(6)]
        await asyncio.gather(*[store.open() for store in stores])
        for store in stores:
            await store.close()


async def test_two_that_migrate_at_once_do_it_once(path: Path) -> None:
    stores = [SqliteStore(path) for _ in range(4)]
    await asyncio.gather(*[store.open() for store in stores])
    for store in stores:
        await store.acquire(None, "engine", NOW, TTL)
    assert (await stores[0].status()).schema_version == CURRENT
    for store in stores:
        await store.close()
