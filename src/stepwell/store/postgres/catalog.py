"""What a schema is made of, as PostgreSQL's own catalogue tells it, and what the migrations make."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.statements import SQL
from stepwell.store.statements import Migration


async def parts_of(connection: Connection, schema: str) -> Mapping[str, str]:
    """Everything in a schema, such as `index history_order`, and how it is declared, in one text.

    The schema has to be where names are looked up; its own name does not appear.
    """
    return dict(await connection.fetch(SQL["parts_of_schema"], schema))


async def expected_parts(connection: Connection, migrations: Sequence[Migration]) -> Mapping[str, str]:
    """The parts that these migrations make. Nothing of it stays.

    They are tried on temporary tables, for which one needs no more than the right to make such.
    """
    trial = connection.transaction()
    await trial.start()
    try:
        await connection.execute("SET LOCAL search_path = pg_temp")
        for migration in migrations:
            await connection.execute(migration.text)
        schema = await connection.fetchval(SQL["temporary_schema"])
        return await parts_of(connection, schema)
    finally:
        await trial.rollback()


def differing(expected: Mapping[str, str], found: Mapping[str, str]) -> Sequence[str]:
    """The names of the parts that are missing, unknown or declared otherwise, in order."""
    return [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]
