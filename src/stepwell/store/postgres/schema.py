"""The schema of a database: which one it has, and bringing it up to date.

Every connection of an open store holds a lock, which all share, and looks at the schema when it has that. Whoever
migrates must have the lock alone. So nobody ever works on a schema that he does not know, not even one who was at work
before it was migrated and whose connection was lost meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import asyncpg

from stepwell.base.errors import StoreError
from stepwell.base.version import VERSION
from stepwell.store.migrations import Applied, outdated, pending
from stepwell.store.postgres.advisory import hold, lock_key
from stepwell.store.postgres.database import Connection, PostgresDatabase
from stepwell.store.postgres.errors import GRANT
from stepwell.store.postgres.statements import SQL
from stepwell.store.statements import Migration, load_migrations

MIGRATIONS: Final[Sequence[Migration]] = load_migrations("postgres")
CURRENT: Final = MIGRATIONS[-1].number
"""The schema that this version writes."""

How = Literal["never", "when_new", "always"]
"""When migrations are applied: never; to a schema without any tables; whenever some are missing."""


async def applied_migrations(connection: Connection, database: PostgresDatabase) -> Sequence[Applied]:
    """What the schema has had, in order; nothing when it is new.

    Raises:
        StoreError: (code `not-a-store`) its tables are those of another program; (code `store-permission`) they cannot
            be seen.
    """
    tables: list[str] = await connection.fetchval(SQL["some_tables"], database.schema)
    if not tables:
        return []
    try:
        return [Applied(*row) for row in await connection.fetch(SQL["migrations"])]
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        if not await connection.fetchval(SQL["may_use_schema"], database.schema):
            message = f"the user of {database.location} lacks the right USAGE on its schema"
            raise StoreError(message, code="store-permission", hint=GRANT) from None
        raise StoreError(
            f"the schema {database.schema} of {database.location} is another program's: it has the tables "
            + ", ".join(tables),
            code="not-a-store",
            hint="name another schema, with ?schema=NAME behind the URL; this one was not touched",
        ) from None


async def bring_up_to_date(connection: Connection, database: PostgresDatabase, how: How) -> None:
    """Apply the migrations that are missing, all of them or none.

    Raises:
        StoreError: see `migrations.pending`; (code `store-outdated`) some are missing that may not be applied; (code
            `store-missing`) there is no store, and none may be made; (code `store-in-use`) others use it.
    """
    applied = await applied_migrations(connection, database)
    missing = pending(MIGRATIONS, applied, database.location)
    if not missing:
        return
    if how == "never" and not applied:
        raise no_store(database.location)
    if how == "never" or (how == "when_new" and applied):
        raise outdated(missing, database.location)
    async with connection.transaction():
        await hold(connection, [lock_key("schema", database.schema)])  # others may be making it right now
        await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {database.schema}")
        if applied:
            await _refuse_while_in_use(connection, database)
        for migration in pending(MIGRATIONS, await applied_migrations(connection, database), database.location):
            await connection.execute(migration.text)
            await connection.execute(
                SQL["note_migration"], migration.number, migration.name, migration.checksum, VERSION
            )


async def use(connection: Connection, database: PostgresDatabase) -> None:
    """Have the schema stay as it is as long as this connection lasts.

    Raises:
        StoreError: it is not the one that this version knows; see `migrations.pending`, and code `store-outdated`.
    """
    await connection.execute(SQL["use_schema"], _in_use(database))
    missing = pending(MIGRATIONS, await applied_migrations(connection, database), database.location)
    if missing:
        raise outdated(missing, database.location)


async def _refuse_while_in_use(connection: Connection, database: PostgresDatabase) -> None:
    """Nobody uses it before the transaction ends, unless somebody does already.

    Raises:
        StoreError: code `store-in-use`.
    """
    if not await connection.fetchval(SQL["have_schema_alone"], _in_use(database)):
        raise StoreError(
            f"{database.location} is in use, and is not migrated meanwhile: those at work do not know the new schema",
            code="store-in-use",
            hint="stop all engines and servers that use it (`stepwell db status` shows them), and say it again",
        )


def _in_use(database: PostgresDatabase) -> int:
    return lock_key("in use", database.schema)


def no_store(location: str) -> StoreError:
    """What to raise when there must be a store, and there is none."""
    return StoreError(
        f"there is no store at {location}",
        code="store-missing",
        hint="name the store with --store URL; `stepwell db migrate` makes one, and so does the first `stepwell run`",
    )
