"""The list of dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.ports.listings import DeadLetterPage, DeadLetterQuery
from stepwell.ports.records import Change, DeadLetter, Discarded
from stepwell.store.cursors import number_of
from stepwell.store.dead_letter_lists import dead_letter_changes
from stepwell.store.sqlite.rows import SQL, RowStatement, select
from stepwell.store.sqlite.thread import transaction

_RESOLVE: Final = RowStatement("resolve_dead_letters")
_WRITE: Final = RowStatement("write_dead_letters")
_encode: Final = msgspec.json.Encoder().encode
_decode_error: Final = msgspec.json.Decoder(ErrorInfo).decode
_decode_discarded: Final = msgspec.json.Decoder(Discarded).decode


def apply(connection: apsw.Connection, changes: Sequence[Change]) -> None:
    """Delete what is resolved and write what is new, within a transaction."""
    resolved, written = dead_letter_changes(changes)
    _RESOLVE.run(connection, list(resolved))
    _WRITE.run(connection, [value for letter in written.values() for value in _row(letter)])


def page(connection: apsw.Connection, query: DeadLetterQuery) -> DeadLetterPage:
    """See `ports.Store.dead_letters`."""
    rows = select(
        connection,
        "dead_letters",
        {
            "before": number_of(query),
            "discarded": int(query.discarded),
            "workflow": query.workflow,
            "execution": query.execution,
            "error_type": query.error_type,
            "namespaces": _encode(query.namespaces).decode() if query.namespaces is not None else None,
            "limit": query.limit + 1,
        },
    )
    shown = rows[: query.limit]
    return DeadLetterPage([_letter(row) for row in shown], str(shown[-1][0]) if len(rows) > query.limit else None)


def dead_letter(connection: apsw.Connection, id_: str) -> DeadLetter | None:
    """See `ports.Store.dead_letter`."""
    for row in select(connection, "dead_letter", (id_,)):
        return _letter(row)
    return None


def discard(connection: apsw.Connection, id_: str, discarded: Discarded) -> bool:
    """See `ports.Store.discard_dead_letter`."""
    with transaction(connection):
        connection.execute(SQL["discard_dead_letter"], (_encode(discarded).decode(), id_))
        return connection.changes() > 0


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    return (
        letter.id,
        letter.execution,
        letter.workflow,
        letter.version,
        letter.step,
        letter.at,
        letter.seq,
        letter.attempts,
        letter.kind,
        letter.error.type,
        _encode(letter.error).decode(),
        letter.input,
        _encode(letter.discarded).decode() if letter.discarded is not None else None,
    )


def _letter(row: tuple[Any, ...]) -> DeadLetter:
    _, execution, workflow, version, step, at, seq, attempts, kind, error, given, discarded = row
    return DeadLetter(
        execution=execution,
        workflow=workflow,
        version=version,
        step=step,
        at=at,
        seq=seq,
        attempts=attempts,
        kind=kind,
        error=_decode_error(error),
        input=given,
        discarded=_decode_discarded(discarded) if discarded is not None else None,
    )
