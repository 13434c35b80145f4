"""Dead letters as users see them. Secrets are masked without being opened, so that looking needs no key."""

from __future__ import annotations

from typing import Any

import msgspec

from stepwell.base.errors import NotFound, StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import MASK, masked
from stepwell.ports.listings import DeadLetterQuery
from stepwell.ports.records import DeadLetter, Discarded
from stepwell.ports.store import Store


class DeadLetters:
    """The dead letters of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list(self, query: DeadLetterQuery) -> dict[str, Any]:
        """A page: `{"items": [...], "next": cursor or null}`; the items are without their input."""
        page = await self._store.dead_letters(query)
        return {"items": [_listed(letter) for letter in page.items], "next": page.next}

    async def show(self, id_: str) -> dict[str, Any]:
        """One of them, with its input.

        Raises:
            NotFound: code `unknown-dead-letter`. StoreError: (code `damaged-dead-letter`) its input cannot be read.
        """
        letter = await self._store.dead_letter(id_)
        if letter is None:
            raise _unknown(id_)
        return {**_listed(letter), "input": _shown(letter)}

    async def discard(self, id_: str, *, at: int, by: str, reason: str | None) -> dict[str, Any]:
        """Note that nothing is to be done about it, and forget its input. One that was discarded before stays as it is.

        Raises:
            NotFound: code `unknown-dead-letter`.
        """
        done = await self._store.discard_dead_letter(id_, Discarded(at=at, by=by, reason=reason))
        letter = await self._store.dead_letter(id_)
        if letter is None:
            raise _unknown(id_)
        return {**_listed(letter), "outcome": "discarded" if done else "unchanged"}


def _listed(letter: DeadLetter) -> dict[str, Any]:
    discarded = letter.discarded
    return {
        "id": letter.id,
        "execution_id": letter.execution,
        "workflow": letter.workflow,
        "version": letter.version,
        "step": letter.step,
        "kind": letter.kind,
        "at": to_rfc3339(letter.at),
        "seq": letter.seq,
        "attempts": letter.attempts,
        "error": masked(letter.error.as_dict()),
        "discarded": {"at": to_rfc3339(discarded.at), "by": discarded.by, "reason": discarded.reason}
        if discarded is not None
        else None,
    }


def _shown(letter: DeadLetter) -> Any:
    """The input with `***` for whatever was encrypted or stands for a secret: those are the extensions in it."""
    if letter.input is None:
        return None
    try:
        return msgspec.msgpack.decode(letter.input, ext_hook=lambda code, content: MASK)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StoreError(
            f"the input of dead letter {letter.id!r} is damaged: {error}", code="damaged-dead-letter"
        ) from None


def _unknown(id_: str) -> NotFound:
    return NotFound(
        f"there is no dead letter {id_!r} in this store",
        code="unknown-dead-letter",
        hint="`stepwell dlq list` shows them; one whose step was tried again is gone",
    )
