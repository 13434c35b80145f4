"""The list of dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.ports.listings import DeadLetterPage, DeadLetterQuery
from stepwell.ports.records import Change, DeadLetter, Discarded
from stepwell.store.cursors import number_of
from stepwell.store.dead_letter_lists import dead_letter_changes
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.lists import names
from stepwell.store.postgres.statements import SQL, chosen, columns
from stepwell.store.postgres.texts import given, kept

_encode: Final = msgspec.json.Encoder().encode
_decode_error: Final = msgspec.json.Decoder(ErrorInfo).decode
_decode_discarded: Final = msgspec.json.Decoder(Discarded).decode


async def apply(connection: Connection, changes: Sequence[Change]) -> None:
    """Delete what is resolved and write what is new, within a transaction."""
    resolved, written = dead_letter_changes(changes)
    gone = [kept(id_) for id_ in sorted(resolved | dict.fromkeys(written))]
    if gone:
        await connection.execute(SQL["delete_dead_letters"], gone)
    if written:
        await connection.execute(SQL["write_dead_letters"], *columns([_row(letter) for letter in written.values()]))


async def page(connection: Connection, query: DeadLetterQuery) -> DeadLetterPage:
    """See `ports.Store.dead_letters`."""
    values = {
        "before": number_of(query),
        "discarded": query.discarded,
        "workflow": kept(query.workflow),
        "execution": kept(query.execution),
        "error_type": kept(query.error_type),
        "namespaces": names(query.namespaces),
    }
    text, parameters = chosen("dead_letters", values, query.limit + 1)
    rows = await connection.fetch(text, *parameters)
    shown = rows[: query.limit]
    return DeadLetterPage([_letter(row) for row in shown], str(shown[-1][0]) if len(rows) > query.limit else None)


async def dead_letter(connection: Connection, id_: str) -> DeadLetter | None:
    """See `ports.Store.dead_letter`."""
    row = await connection.fetchrow(SQL["dead_letter"], kept(id_))
    return _letter(row) if row is not None else None


async def discard(connection: Connection, id_: str, discarded: Discarded) -> bool:
    """See `ports.Store.discard_dead_letter`."""
    found = await connection.fetchrow(SQL["discard_dead_letter"], kept(id_), _encode(discarded).decode())
    return found is not None


def _row(letter: DeadLetter) -> tuple[Any, ...]:
    return (
        kept(letter.id),
        letter.execution,
        letter.workflow,
        letter.version,
        kept(letter.step),
        letter.at,
        letter.seq,
        letter.attempts,
        letter.kind,
        kept(letter.error.type),
        _encode(letter.error).decode(),
        letter.input,
        _encode(letter.discarded).decode() if letter.discarded is not None else None,
    )


def _letter(row: Sequence[Any]) -> DeadLetter:
    _, execution, workflow, version, step, at, seq, attempts, kind, error, input_, discarded = row
    return DeadLetter(
        execution=execution,
        workflow=workflow,
        version=version,
        step=given(step),
        at=at,
        seq=seq,
        attempts=attempts,
        kind=kind,
        error=_decode_error(error),
        input=input_,
        discarded=_decode_discarded(discarded) if discarded is not None else None,
    )
