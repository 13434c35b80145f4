"""Dead letters."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from stepwell.app.dead_letters import DeadLetters
from stepwell.app.who import this_user
from stepwell.base.clock import SystemClock
from stepwell.base.errors import StepwellError
from stepwell.cli.noting import note
from stepwell.cli.opening import reading_of
from stepwell.cli.options import Setup
from stepwell.cli.remote.address import quoted
from stepwell.cli.subjects.letter_paths import letter_path
from stepwell.cli.subjects.opening import OpenStore, Served, opened
from stepwell.ports.listings import DeadLetterQuery

Report = Mapping[str, Any]


class Letters(Protocol):
    """What commands ask about dead letters. An id that there is not: NotFound, code `unknown-dead-letter`."""

    async def page(self, query: DeadLetterQuery) -> Report:
        """A page, newest first."""
        ...

    async def show(self, id_: str) -> Report:
        """One, with its input."""
        ...

    async def is_undone(self, execution: str) -> bool:
        """Whether what the execution had done was undone, so that nothing of it can be tried again."""
        ...

    async def discard(self, id_: str, reason: str | None) -> Report:
        """Note that nothing is to be done about it."""
        ...


def open_letters(setup: Setup) -> AbstractAsyncContextManager[Letters]:
    """The dead letters of the store or the server that the user named."""
    return opened(setup, StoredLetters, ServedLetters)


class StoredLetters:
    """Those of a store."""

    def __init__(self, at: OpenStore) -> None:
        self._store = at.store
        self._letters = DeadLetters(at.store)
        self._reading = reading_of(at.store)

    async def page(self, query: DeadLetterQuery) -> Report:
        return await self._letters.list(query)

    async def show(self, id_: str) -> Report:
        return await self._letters.show(id_)

    async def is_undone(self, execution: str) -> bool:
        try:
            return (await self._reading.state(execution)).compensation in ("done", "failed")
        except StepwellError:  # a letter is shown even when its execution is damaged
            return False

    async def discard(self, id_: str, reason: str | None) -> Report:
        done = await self._letters.discard(id_, at=SystemClock().now(), by=this_user(), reason=reason)
        await note(self._store, "dlq.discard", f"dead-letter:{id_}")
        return done


class ServedLetters:
    """Those of a server."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def page(self, query: DeadLetterQuery) -> Report:
        asked = {
            "workflow": query.workflow,
            "execution": query.execution,
            "error_type": query.error_type,
            "discarded": "true" if query.discarded else None,
            "limit": query.limit,
            "cursor": query.cursor,
        }
        return await self._client.page("/dead-letters", asked)

    async def show(self, id_: str) -> Report:
        letter: Report = await self._client.get(letter_path(id_), has="error")
        return letter

    async def is_undone(self, execution: str) -> bool:
        try:
            return (await self._client.get(f"/executions/{quoted(execution)}"))["compensation"] in ("done", "failed")
        except StepwellError:  # as with a store
            return False

    async def discard(self, id_: str, reason: str | None) -> Report:
        path = f"{letter_path(id_)}/discard"
        done: Report = (await self._client.send("POST", path, {"reason": reason or ""})).document
        return done
