"""The schema in PostgreSQL: what all migrations together make, who migrates, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from stepwell.base.errors import StoreError
from stepwell.base.version import VERSION
from stepwell.ports.ledger import Write
from stepwell.store.postgres import schema as postgres_schema
from stepwell.store.postgres.catalog import expected_parts, parts_of
from stepwell.store.postgres.database import Connection, connect, database_of
from stepwell.store.postgres.schema import MIGRATIONS
from stepwell.store.postgres.store import PostgresStore
from stepwell.store.statements import Migration, load_migrations, load_statements
from tests.conformance.ledger import entry
from tests.conformance.store import NOW, event, scene_on
from tests.servers.postgres import postgres_server

FOLDER = Path(postgres_schema.__file__).parents[1] / "sql" / "postgres"

CURRENT = len(MIGRATIONS)
NEXT_MIGRATION = Migration(
    CURRENT + 1, "more", "c", "CREATE TABLE more (x INTEGER); CREATE TABLE even_more (y INTEGER)"
)


@pytest.fixture
def url() -> str:
    return postgres_server().fresh_url()


@pytest.fixture
def newer(monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on there is one more migration."""
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION])
    monkeypatch.setattr(postgres_schema, "CURRENT", CURRENT + 1)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Connection]:
    connection = await connect(database_of(url))
    try:
        yield connection
    finally:
        await connection.close()


async def run(url: str, statement: str) -> None:
    async with connected(url) as connection:
        await connection.execute(statement)


async def make(url: str) -> None:
    store = PostgresStore(url)
    await store.open()
    await store.close()


async def tables(url: str) -> set[str]:
    async with connected(url) as connection:
        parts = await parts_of(connection, database_of(url).schema)
    return {name.removeprefix("column ").partition(".")[0] for name in parts if name.startswith("column ")}


async def refusal(url: str, *, migrate: bool = True) -> StoreError:
    with pytest.raises(StoreError) as raised:
        await PostgresStore(url).open(migrate=migrate)
    return raised.value


async def test_all_migrations_together_make_the_schema(url: str) -> None:
    await make(url)
    whole = postgres_server().fresh_url()
    schema = database_of(whole).schema
    await run(whole, f"CREATE SCHEMA {schema}")
    await run(whole, (FOLDER / "schema.sql").read_text("utf-8"))
    async with connected(url) as migrated, connected(whole) as made:
        parts = await parts_of(migrated, database_of(url).schema)
        assert parts == await parts_of(made, schema)
        assert {"column history.number", "index history_order", "sequence inbox_id_seq"} <= parts.keys()
        assert "constraint registrations_digest_fkey" in parts
        assert await expected_parts(migrated, MIGRATIONS) == parts


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in load_migrations("postgres")] == list(range(1, CURRENT + 1))


def test_no_statement_is_there_twice() -> None:
    texts = [path.read_text("utf-8") for path in FOLDER.glob("queries*.sql")]
    assert len(load_statements("postgres")) == sum(text.count("\n-- name: ") for text in texts)


async def test_a_new_schema_has_every_migration_once(url: str) -> None:
    await make(url)
    await make(url)
    async with connected(url) as connection:
        applied = await connection.fetch("SELECT number, checksum, applied_by FROM migrations ORDER BY number")
    assert [tuple(row) for row in applied] == [(each.number, each.checksum, VERSION) for each in MIGRATIONS]


async def test_only_looking_makes_no_store(url: str) -> None:
    for error in (await refusal(url, migrate=False), await _error(PostgresStore(url).status())):
        assert error.code == "store-missing"
        assert "stepwell db migrate" in str(error.hint)
    assert await tables(url) == set()


async def test_the_tables_of_another_program_are_not_touched(url: str) -> None:
    await run(url, f"CREATE SCHEMA {database_of(url).schema}")
    await run(url, "CREATE TABLE accounts (id INTEGER)")
    for migrate in (True, False):
        assert (await refusal(url, migrate=migrate)).code == "not-a-store"
    assert (await _error(PostgresStore(url).migrate())).code == "not-a-store"
    assert await tables(url) == {"accounts"}


async def test_a_newer_schema_is_refused_and_the_version_needed_is_named(url: str) -> None:
    await make(url)
    await run(url, "INSERT INTO migrations VALUES (98, 'x', 'y', '0.2.0'), (99, 'x', 'y', '0.3.0')")
    for error in (await refusal(url), await _error(PostgresStore(url).migrate())):
        assert error.code == "store-too-new"
        assert "0.3.0" in error.message
        assert error.hint == "use stepwell 0.3.0 or later"


async def test_an_edited_migration_is_refused(url: str) -> None:
    await make(url)
    await run(url, "UPDATE migrations SET checksum = 'other'")
    error = await refusal(url)
    assert error.code == "store-migration-changed"
    assert "migration 1 (start)" in error.message
    assert await PostgresStore(url).check() == [error.message]


async def test_an_older_schema_is_refused_by_engines_and_migrated_on_demand(
    url: str, newer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as before:
        before.setattr(postgres_schema, "MIGRATIONS", MIGRATIONS)
        await make(url)
    for migrate in (True, False):
        error = await refusal(url, migrate=migrate)
        assert error.code == "store-outdated"
        assert f"{CURRENT + 1} (more)" in error.message
        assert error.hint == "`stepwell db migrate` brings it up to date"
    status = await PostgresStore(url).status()
    assert (status.schema_version, status.current_version) == (CURRENT, CURRENT + 1), "it is told all the same"
    assert len(await PostgresStore(url).check()) == 1
    await PostgresStore(url).migrate()
    assert (await PostgresStore(url).status()).schema_version == CURRENT + 1
    assert {"more", "even_more"} <= await tables(url)
    assert await PostgresStore(url).check() == []
    await make(url)


async def test_a_migration_that_fails_leaves_the_schema_as_it_was(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await make(url)
    before = await tables(url)
    broken = Migration(CURRENT + 2, "broken", "c", "CREATE TABLE half (x INTEGER); CREATE TABLE shards (y INTEGER)")
    monkeypatch.setattr(postgres_schema, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION, broken])
    assert (await _error(PostgresStore(url).migrate())).code == "store-failed"
    assert await tables(url) == before
    assert (await PostgresStore(url).status()).schema_version == CURRENT


async def test_many_that_open_a_new_store_at_once_make_it_once(url: str) -> None:
    stores = [PostgresStore(url) for _ in range(5)]
    await asyncio.gather(*[store.open() for store in stores])
    for number, store in enumerate(stores):
        await store.write([Write(kind="k", key=str(number), body=b"")], NOW)
    assert len(await stores[0].documents("k")) == 5
    for store in stores:
        await store.close()


@pytest.mark.usefixtures("newer")
async def test_a_store_in_use_is_not_migrated(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    old = PostgresStore(url)
    with monkeypatch.context() as before:
        before.setattr(postgres_schema, "MIGRATIONS", MIGRATIONS)
        await old.open()
    error = await _error(PostgresStore(url).migrate())
    assert error.code == "store-in-use"
    assert "stop all engines and servers" in str(error.hint)
    assert (await PostgresStore(url).status()).schema_version == CURRENT
    await old.close()
    await PostgresStore(url).migrate()
    assert (await PostgresStore(url).status()).schema_version == CURRENT + 1


async def test_whoever_lost_his_connection_while_it_was_migrated_goes_on_no_more(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = PostgresStore(url)
    await old.open()
    await old.write([Write(kind="k", key="a", body=b"")], NOW)
    async with connected(postgres_server().url()) as another:
        await another.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()")
    with monkeypatch.context() as newer:
        newer.setattr(postgres_schema, "MIGRATIONS", [*MIGRATIONS, NEXT_MIGRATION])
        await PostgresStore(url).migrate()
    assert (await _error(old.write([Write(kind="k", key="b", body=b"")], NOW))).code == "store-too-new"
    assert (await _error(old.documents("k"))).code == "store-too-new"
    await old.close()


async def test_a_changed_table_or_index_is_found(url: str) -> None:
    await make(url)
    await run(
        url,
        "ALTER TABLE waits ALTER COLUMN step DROP NOT NULL; DROP INDEX history_order; CREATE TABLE mine (x INTEGER)",
    )
    assert await PostgresStore(url).check() == [
        "column mine.x is missing, unknown or changed",
        "column waits.step is missing, unknown or changed",
        "index history_order is missing, unknown or changed",
    ]


async def test_without_the_right_to_make_temporary_tables_the_rest_is_checked(url: str) -> None:
    await make(url)
    schema = database_of(url).schema
    await run(
        url,
        f"""
        CREATE ROLE {schema} LOGIN;
        REVOKE TEMPORARY ON DATABASE postgres FROM PUBLIC;
        GRANT USAGE ON SCHEMA {schema} TO {schema};
        GRANT ALL ON ALL TABLES IN SCHEMA {schema} TO {schema};
        INSERT INTO snapshots VALUES (77, 1, '')
        """,
    )
    restricted = postgres_server().url(schema=schema, user=schema)
    problems = await PostgresStore(restricted).check()
    await run(url, "GRANT TEMPORARY ON DATABASE postgres TO PUBLIC")
    assert "TEMPORARY on the database is needed" in problems[0]
    assert problems[1:] == ["table snapshots: refers to the execution number 77, which does not exist"]
    assert await PostgresStore(restricted).check() == problems[1:]


async def test_a_user_with_no_more_rights_than_are_named_uses_a_store_that_another_made(url: str) -> None:
    await make(url)
    schema = database_of(url).schema
    user = f"{schema}_user"
    await run(url, f"CREATE ROLE {user} LOGIN")
    as_user = postgres_server().url(schema=schema, user=user)
    for error in (await refusal(as_user), await _error(PostgresStore(as_user).status())):
        assert error.code == "store-permission"
        assert error.message == f"the user of {database_of(as_user).location} lacks the right USAGE on its schema"
    await run(url, f"GRANT USAGE ON SCHEMA {schema} TO {user}")
    assert (await refusal(as_user)).code == "store-permission"
    await run(
        url,
        f"""
        GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user};
        GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {user}
        """,
    )
    store = PostgresStore(as_user)
    await store.open()
    scene = await scene_on(store)
    await scene.create("a")
    await store.publish(event(), NOW, NOW)
    await store.forget_events(NOW)
    await store.write([Write(kind="k", key="a", body=b"")], NOW, entries=[entry(chained=True)])
    await store.forget_journal("audit", NOW)
    assert await store.check() == ["execution a: its definition d1 is not stored"]
    await store.close()
    missing = postgres_server().url(schema=f"{schema}_other", user=user)
    assert (await refusal(missing)).code == "store-permission"


async def _error(call: object) -> StoreError:
    with pytest.raises(StoreError) as raised:
        await call  # type: ignore[misc]
    return raised.value
