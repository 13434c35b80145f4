"""Several events in one transaction.

Each has a savepoint of its own, so that one which cannot be stored keeps no other from it. What the disk refuses, it
refuses for all of them, and nothing of any is written then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import apsw

from stepwell.base.errors import StepwellError
from stepwell.store.event_writing import EventWriter, Incoming
from stepwell.store.sqlite.events import Handed, publish
from stepwell.store.sqlite.thread import transaction


def event_writer(
    write: Callable[[Callable[[apsw.Connection], Any]], Awaitable[Any]],
) -> EventWriter[Handed]:
    """What stores events.

    Args:
        write: does something on the connection that writes.
    """

    async def write_some(incoming: Sequence[Incoming]) -> Sequence[Handed | BaseException]:
        outcomes: Sequence[Handed | BaseException] = await write(lambda connection: published(connection, incoming))
        return outcomes

    return EventWriter(write_some)


def published(connection: apsw.Connection, incoming: Sequence[Incoming]) -> list[Handed | BaseException]:
    """Store them in one transaction: what became of each, or why it could not be stored."""
    outcomes: list[Handed | BaseException] = []
    with transaction(connection):
        for each in incoming:
            connection.execute("SAVEPOINT event")
            try:
                outcomes.append(publish(connection, *each))
            except StepwellError as error:  # it is wrong in itself
                connection.execute("ROLLBACK TO event")
                outcomes.append(error)
            connection.execute("RELEASE event")
    return outcomes
