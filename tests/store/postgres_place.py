"""Where tests find PostgreSQL stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.store import PostgresStore
from tests.conformance.store import OpenStore, StorePlace
from tests.servers.postgres import postgres_server

_KEPT = ("migrations", "numbering")


class InPostgres(StorePlace):
    """All tests of a process one after another use one schema, which is emptied for each: that is quicker than making
    one."""

    @asynccontextmanager
    async def place(self) -> AsyncIterator[OpenStore]:
        opened = list[PostgresStore]()

        async def open_one() -> PostgresStore:
            opened.append(PostgresStore(postgres_server().url(schema="emptied")))
            await opened[-1].open()
            if len(opened) == 1:
                await opened[0]._read(emptied)
            return opened[-1]

        try:
            yield open_one
        finally:
            for store in opened:
                await store.close()


async def emptied(connection: Connection) -> None:
    """Delete every row of the schema, and begin to count anew."""
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    used = "SELECT sequencename FROM pg_sequences WHERE schemaname = current_schema() AND last_value IS NOT NULL"
    sequences = await connection.fetch(used)
    regardless_of_references = "SET LOCAL session_replication_role = replica"
    deletions = [f"DELETE FROM {name}" for (name,) in tables if name not in _KEPT]
    restarts = [f"ALTER SEQUENCE {name} RESTART" for (name,) in sequences]
    await connection.execute("; ".join([regardless_of_references, *deletions, *restarts]))
