"""Figures about a database, and what is wrong with it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from typing import Any, Final

import asyncpg

from stepwell.base.errors import StoreError
from stepwell.ports.ledger import DEAD_EVENT
from stepwell.ports.records import StoreStatus
from stepwell.store.migrations import outdated, pending
from stepwell.store.postgres import schema as postgres_schema
from stepwell.store.postgres.catalog import differing, expected_parts, parts_of
from stepwell.store.postgres.database import Connection, PostgresDatabase
from stepwell.store.postgres.errors import store_error
from stepwell.store.postgres.schema import applied_migrations, no_store
from stepwell.store.postgres.shards import all_shards
from stepwell.store.postgres.statements import SQL
from stepwell.store.postgres.texts import given
from stepwell.store.process import is_gone

_COUNTED: Final = {
    "waits": "waits",
    "events": "events",
    "inbox": "inbox",
    "registered": "registrations",
    "locks": "locks",
    "documents": "documents",
    "journal": "journal",
}
"""What of a status is the number of rows of a table."""
_FINDINGS: Final = {
    "history_without_execution": "history rows refer to the execution number {}, which does not exist",
    "executions_without_history": "execution {} has no history",
    "history_out_of_order": "execution {}: history row {} is not in the order in which the rows were written",
    "snapshots_ahead": "execution {}: its snapshot stands at event {}, beyond the end of its history",
    "rows_of_no_execution": "table {}: refers to the execution number {}, which does not exist",
    "rows_of_no_event": "table {}: refers to the event number {}, which does not exist",
    "executions_of_no_shard": "execution {}: its shard {} does not exist",
    "waits_of_ended": "execution {}: step {} is filed as waiting, but the execution is {}",
    "executions_without_definition": "execution {}: its definition {} is not stored",
    "locks_of_ended": "execution {}: it has or wants the lock {!r}, but the execution is {}",
    "locks_not_granted": "lock {!r} is free for execution {}, which stands first in line and was not told",
    "dead_letters_without_history": "dead letter {}: the history of execution {} does not go so far",
    "registrations_of_another": "{} {} is registered with the definition of {}",
    "chains_without_end": "journal of {!r}: its chain should end with the entry {}, which is not there",
    "chained_without_chain": "journal of {!r}: it has chained entries, but where its chain ends is not recorded",
}
"""Statements that find what must not be, and what to say of a row they give."""


async def status(connection: Connection, database: PostgresDatabase) -> StoreStatus:
    """See `ports.Store.status`; whatever schema it has.

    Raises:
        StoreError: (code `store-missing`) there is no store.
    """
    applied = await applied_migrations(connection, database)
    if not applied:
        raise no_store(database.location)
    tables = {name for (name,) in await connection.fetch(SQL["tables_of_schema"], database.schema)}
    return StoreStatus(
        kind="postgresql",
        location=database.location,
        schema_version=applied[-1].number,
        current_version=postgres_schema.CURRENT,
        executions=dict(await connection.fetch(SQL["count_by_status"])),
        size_bytes=await connection.fetchval(SQL["size_of_schema"], database.schema),
        owners=await owners(connection),
        dead_letters=await connection.fetchval(SQL["count_dead_letters"], DEAD_EVENT)
        if "dead_letters" in tables
        else 0,
        **{name: await _count(connection, table, tables) for name, table in _COUNTED.items()},
    )


async def check(connection: Connection, database: PostgresDatabase) -> Sequence[str]:
    """See `ports.Store.check`. The connection is not used for anything else."""
    problems: list[str] = []
    try:
        async for problem in _problems(connection, database):
            problems.append(problem)  # noqa: PERF401 - what was found before an error counts
    except asyncpg.PostgresError as error:
        problems.append(store_error(error, database.location).message)
    return problems


async def _count(connection: Connection, table: str, tables: Collection[str]) -> int:
    return int(await connection.fetchval(f"SELECT count(*) FROM {table}")) if table in tables else 0  # noqa: S608 - ours


async def owners(connection: Connection) -> Sequence[dict[str, Any]]:
    """See `ports.Store.owners`."""
    return [
        {
            "shard": shard.shard,
            "owner": shard.owner,
            "host": shard.process.host,
            "pid": shard.process.pid,
            "expires_at": shard.expires_at,
            "gone": is_gone(shard.process),
        }
        for shard in await all_shards(connection)
        if shard.owner is not None
    ]


async def _problems(connection: Connection, database: PostgresDatabase) -> AsyncIterator[str]:
    migrations = postgres_schema.MIGRATIONS
    try:
        missing = pending(migrations, await applied_migrations(connection, database), database.location)
    except StoreError as error:
        yield error.message
        return
    if missing:
        yield outdated(missing, database.location).message
        return
    async for part in _changed_parts(connection, database):
        yield part
    for statement, sentence in _FINDINGS.items():
        for row in await connection.fetch(SQL[statement]):
            yield sentence.format(*[given(value) if isinstance(value, str) else value for value in row])


async def _changed_parts(connection: Connection, database: PostgresDatabase) -> AsyncIterator[str]:
    found = await parts_of(connection, database.schema)
    try:
        expected = await expected_parts(connection, postgres_schema.MIGRATIONS)
    except asyncpg.InsufficientPrivilegeError:
        yield (
            f"the tables of {database.location} were not compared with what they should be: the user may not make "
            "temporary tables, for which TEMPORARY on the database is needed"
        )
        return
    for part in differing(expected, found):
        yield f"{part} is missing, unknown or changed"
