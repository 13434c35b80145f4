"""Figures about a database, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import apsw

from stepwell.base.errors import StoreError
from stepwell.ports.ledger import DEAD_EVENT
from stepwell.ports.records import StoreStatus
from stepwell.store.migrations import outdated, pending
from stepwell.store.process import is_gone
from stepwell.store.sqlite.errors import store_error
from stepwell.store.sqlite.file import Database, connect_for_reading
from stepwell.store.sqlite.rows import select
from stepwell.store.sqlite.schema import CURRENT, MIGRATIONS, applied_migrations, changed_parts
from stepwell.store.sqlite.shards import all_shards

_NAMED_SINCE: Final = 2
"""The migration that brought registrations, dead letters and locks."""
_LEDGER_SINCE: Final = 5
"""The migration that brought documents and the journal."""
_FINDINGS: Final = {
    "history_without_execution": "history rows refer to the execution number {}, which does not exist",
    "executions_without_history": "execution {} has no history",
    "history_out_of_order": "execution {}: history row {} is not in the order in which the rows were written",
    "snapshots_ahead": "execution {}: its snapshot stands at event {}, beyond the end of its history",
    "waits_of_ended": "execution {}: step {} is filed as waiting, but the execution is {}",
    "executions_without_definition": "execution {}: its definition {} is not stored",
    "locks_of_ended": "execution {}: it has or wants the lock {!r}, but the execution is {}",
    "locks_not_granted": "lock {!r} is free for execution {}, which stands first in line and was not told",
    "dead_letters_without_history": "dead letter {}: the history of execution {} does not go so far",
    "registrations_of_another": "{} {} is registered with the definition of {}",
    "chained_without_chain": "journal of {!r}: it has chained entries, but where its chain ends is not recorded",
}
"""Statements that find what must not be, and what to say of a row they give."""


def status(database: Database) -> StoreStatus:
    """See `ports.Store.status`; opens the file by itself, whatever schema it has."""
    connection = connect_for_reading(database)
    try:
        applied = applied_migrations(connection)
        counts = select(connection, "count_others")[0] if applied else (0, 0, 0)
        named = select(connection, "count_named")[0] if len(applied) >= _NAMED_SINCE else (0, 0, 0)
        has_ledger = len(applied) >= _LEDGER_SINCE
        ledger = select(connection, "count_ledger", {"dead_event": DEAD_EVENT})[0] if has_ledger else (0, 0, 0)
        return StoreStatus(
            kind="sqlite",
            location=database.location,
            schema_version=applied[-1].number if applied else 0,
            current_version=CURRENT,
            executions=dict(select(connection, "count_by_status")) if applied else {},
            waits=counts[0],
            events=counts[1],
            inbox=counts[2],
            size_bytes=connection.pragma("page_count") * connection.pragma("page_size"),
            owners=_owners(connection) if applied else [],
            registered=named[0],
            dead_letters=named[1] + ledger[2],
            locks=named[2],
            documents=ledger[0],
            journal=ledger[1],
        )
    finally:
        connection.close()


def check(database: Database) -> Sequence[str]:
    """See `ports.Store.check`; opens the file by itself."""
    connection = connect_for_reading(database)
    problems: list[str] = []
    try:
        for problem in _problems(connection, database.location):
            problems.append(problem)  # noqa: PERF402 - what was found before an error counts
    except apsw.Error as error:
        problems.append(store_error(error, database.location).message)
    finally:
        connection.close()
    return problems


def _owners(connection: apsw.Connection) -> Sequence[dict[str, Any]]:
    return [
        {
            "shard": shard.shard,
            "owner": shard.owner,
            "host": shard.process.host,
            "pid": shard.process.pid,
            "expires_at": shard.expires_at,
            "gone": is_gone(shard.process),
        }
        for shard in all_shards(connection)
        if shard.owner is not None
    ]


def _problems(connection: apsw.Connection, location: str) -> Iterator[str]:
    damaged = False
    for (finding,) in connection.execute("PRAGMA integrity_check(100)"):
        if finding != "ok":
            damaged = True
            yield f"{location} is damaged: {finding}"
    if damaged:
        return  # what damaged pages say is worth nothing
    try:
        missing = pending(MIGRATIONS, applied_migrations(connection), location)
    except StoreError as error:
        yield error.message
        return
    if missing:
        yield outdated(missing, location).message
        return
    for part in changed_parts(connection):
        yield f"{part} is missing, unknown or changed"
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        where = f"table {table}" if row is None else f"table {table}, row {row}"
        yield f"{where}: refers to a row of {parent} that does not exist"
    for statement, sentence in _FINDINGS.items():
        for row in select(connection, statement):
            yield sentence.format(*row)
