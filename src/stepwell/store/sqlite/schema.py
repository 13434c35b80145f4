"""The schema of a database file: which one it has, and bringing it up to date."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import apsw

from stepwell.base.clock import SystemClock
from stepwell.base.errors import StoreError
from stepwell.base.version import VERSION
from stepwell.store.migrations import Applied, outdated, pending
from stepwell.store.sqlite.file import APPLICATION_ID
from stepwell.store.sqlite.rows import SQL, select
from stepwell.store.sqlite.shards import all_shards
from stepwell.store.sqlite.thread import transaction
from stepwell.store.statements import Migration, load_migrations

MIGRATIONS: Final[Sequence[Migration]] = load_migrations("sqlite")
CURRENT: Final = MIGRATIONS[-1].number
"""The schema that this version writes."""


def applied_migrations(connection: apsw.Connection) -> Sequence[Applied]:
    """What the database has had, in order; nothing when it is new."""
    if not select(connection, "has_migrations"):
        return []
    return [Applied(*row) for row in select(connection, "migrations")]


def bring_up_to_date(connection: apsw.Connection, location: str, *, migrate: bool) -> None:
    """Apply the migrations that are missing, all of them or none.

    Raises:
        StoreError: see `migrations.pending`; (code `store-outdated`) some are missing and `migrate` is False; (code
            `store-in-use`) an engine is at work on it.
    """
    missing = pending(MIGRATIONS, applied_migrations(connection), location)
    if not missing:
        return
    if not migrate:
        raise outdated(missing, location)
    with transaction(connection):  # another process may have been quicker, so look again
        applied = applied_migrations(connection)
        missing = pending(MIGRATIONS, applied, location)
        if applied and missing:
            _refuse_while_in_use(connection, location)
        for migration in missing:
            connection.execute(migration.text)
            connection.execute(SQL["note_migration"], (migration.number, migration.name, migration.checksum, VERSION))
        connection.pragma("application_id", APPLICATION_ID)


def _refuse_while_in_use(connection: apsw.Connection, location: str) -> None:
    """Raises: StoreError: (code `store-in-use`) an engine is at work on it, which is one of an older version."""
    now = SystemClock().now()
    owned = [shard for shard in all_shards(connection) if shard.is_owned(now)]
    if owned:
        raise StoreError(
            f"{location} is in use by {owned[0].process}, and is not migrated meanwhile: it does not know the new "
            "schema",
            code="store-in-use",
            hint="stop all engines and servers that use it (`stepwell db status` shows them), and say it again",
        )


def changed_parts(connection: apsw.Connection) -> Sequence[str]:
    """The tables and indexes that are not as the migrations make them, such as `index history_order`."""
    fresh = apsw.Connection(":memory:")
    try:
        for migration in MIGRATIONS:
            fresh.execute(migration.text)
        expected, found = dict(select(fresh, "schema")), dict(select(connection, "schema"))
    finally:
        fresh.close()
    return [name for name in sorted(expected | found) if expected.get(name) != found.get(name)]
