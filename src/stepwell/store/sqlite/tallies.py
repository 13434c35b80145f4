"""Counting in SQLite; see `ports.tallies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import apsw
import msgspec

from stepwell.ports.ledger import DEAD_EVENT
from stepwell.ports.tallies import Census, Ended, EndedQuery, Standing
from stepwell.store.sqlite.rows import select
from stepwell.store.tallying import place_of_part

_as_json: Final = msgspec.json.Encoder().encode


def census(connection: apsw.Connection) -> Census:
    """See `Tallies.census`."""
    unfinished = [Standing(*row) for row in select(connection, "tally_unfinished")]
    waits, dead_letters, inbox = select(connection, "tally_others", {"dead_event": DEAD_EVENT})[0]
    return Census(unfinished=unfinished, waits=waits, dead_letters=dead_letters, inbox=inbox)


def ended(connection: apsw.Connection, query: EndedQuery) -> Sequence[Ended]:
    """See `Tallies.ended`."""
    return [Ended(*row) for row in select(connection, "tally_ended", _values(query))]


def durations(connection: apsw.Connection, query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
    """See `Tallies.durations`."""
    values = _values(query)
    count = sum(row[3] for row in select(connection, "tally_ended", values))
    if not count:
        return [None for _ in parts]
    places = [place_of_part(part, count) for part in parts]
    found = dict(select(connection, "tally_durations", {**values, "places": _as_json(places).decode()}))
    return [found.get(place) for place in places]


def _values(query: EndedQuery) -> dict[str, Any]:
    return {
        "since": query.since,
        "until": query.until,
        "workflow": query.workflow,
        "namespaces": _as_json(query.namespaces).decode() if query.namespaces is not None else None,
        "statuses": _as_json(query.statuses).decode() if query.statuses else None,
    }
