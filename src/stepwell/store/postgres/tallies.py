"""Counting in PostgreSQL; see `ports.tallies`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stepwell.ports.ledger import DEAD_EVENT
from stepwell.ports.tallies import Census, Ended, EndedQuery, Standing
from stepwell.store.postgres.database import Connection, one_moment
from stepwell.store.postgres.lists import names
from stepwell.store.postgres.statements import SQL
from stepwell.store.postgres.texts import kept
from stepwell.store.tallying import place_of_part


async def census(connection: Connection) -> Census:
    """See `Tallies.census`."""
    unfinished = [Standing(*row) for row in await connection.fetch(SQL["tally_unfinished"])]
    ((waits, dead_letters, inbox),) = await connection.fetch(SQL["tally_others"], DEAD_EVENT)
    return Census(unfinished=unfinished, waits=waits, dead_letters=dead_letters, inbox=inbox)


async def ended(connection: Connection, query: EndedQuery) -> Sequence[Ended]:
    """See `Tallies.ended`."""
    return [Ended(*row) for row in await connection.fetch(SQL["tally_ended"], *_values(query))]


async def durations(connection: Connection, query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
    """See `Tallies.durations`."""
    async with one_moment(connection):
        count = sum(each.count for each in await ended(connection, query))
        if not count:
            return [None for _ in parts]
        places = [place_of_part(part, count) for part in parts]
        found = dict(await connection.fetch(SQL["tally_durations"], *_values(query), places))
    return [found.get(place) for place in places]


def _values(query: EndedQuery) -> tuple[Any, ...]:
    return query.since, query.until, kept(query.workflow), query.statuses or None, names(query.namespaces)
