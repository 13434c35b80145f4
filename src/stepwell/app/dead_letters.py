"""Dead letters as users see them: steps that failed for good, and events that came to nothing.

Secrets are masked without being opened, so that looking needs no key.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stepwell.app.dead_events import PLACE, DeadEvent, DeadEvents, is_key, listed, shown, unknown
from stepwell.base.errors import StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.values import MASK, masked
from stepwell.ports.listings import DeadLetterQuery
from stepwell.ports.records import DeadLetter, Discarded
from stepwell.ports.store import Store

_AND: Final = "~"
"""In a cursor, between the place in the list of steps and that in the list of events."""
_BEHIND_ALL: Final = "1"
"""Behind every step: what is listed then has a number below 1."""


class DeadLetters:
    """The dead letters of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._events = DeadEvents(store)

    async def list(self, query: DeadLetterQuery) -> dict[str, Any]:
        """A page: `{"items": [...], "next": cursor or null}`; the items are without their input.

        Raises:
            UsageError: the cursor is none, or the limit is not positive.
        """
        steps_after, events_after = _places(query.cursor)
        asked = msgspec.structs.replace(query, cursor=steps_after)
        steps = await self._store.dead_letters(asked)
        events = await self._events.found(query, events_after, query.limit + 1)
        if not events:
            return {"items": [_listed(letter) for letter in steps.items], "next": _after(steps.next, events_after)}
        taken = _newest(steps.items, events, query.limit)
        of_steps = sum(isinstance(each, DeadLetter) for each in taken)
        if of_steps < len(steps.items) or steps.next is not None or len(taken) - of_steps < len(events):
            last = [each.key for each in taken if isinstance(each, DeadEvent)]
            place = await self._place(asked, of_steps)
            following: str | None = f"{place}{_AND}{last[-1] if last else events_after}"
        else:
            following = None
        items = [_listed(each) if isinstance(each, DeadLetter) else listed(each) for each in taken]
        return {"items": items, "next": following}

    async def _place(self, query: DeadLetterQuery, taken: int) -> str:
        """The cursor behind so many dead letters of steps."""
        if taken == 0:
            return query.cursor or ""
        page = await self._store.dead_letters(msgspec.structs.replace(query, limit=taken))
        return page.next or _BEHIND_ALL

    async def show(self, id_: str) -> dict[str, Any]:
        """One of them, with its input; of an event that is the event.

        Raises:
            NotFound: code `unknown-dead-letter`. StoreError: (code `damaged-dead-letter`) its input cannot be read.
        """
        kept = await self._events.get(id_)
        if kept is not None:
            return {**listed(kept.dead), "input": shown(kept.dead)}
        letter = await self._store.dead_letter(id_)
        if letter is None:
            raise unknown(id_)
        return {**_listed(letter), "input": _shown(letter)}

    async def about(self, id_: str) -> str | None:
        """What namespaces tell of it: the name of its workflow, or the type of an event that came to no trigger; None
        when there is no such dead letter."""
        kept = await self._events.get(id_)
        if kept is not None:
            return kept.dead.workflow or kept.dead.event.type
        letter = await self._store.dead_letter(id_)
        return letter.workflow if letter is not None else None

    async def discard(self, id_: str, *, at: int, by: str, reason: str | None) -> dict[str, Any]:
        """Note that nothing is to be done about it, and forget its input. One that was discarded before stays as it is.

        Raises:
            NotFound: code `unknown-dead-letter`.
        """
        discarded = Discarded(at=at, by=by, reason=reason)
        if is_event(id_):
            done = await self._events.discard(id_, discarded, at)
        else:
            done = await self._store.discard_dead_letter(id_, discarded)
        letter = await self.show(id_)
        del letter["input"]
        return {**letter, "outcome": "discarded" if done else "unchanged"}


def is_event(id_: str) -> bool:
    """Whether the dead letter with this id, if there is one, is an event."""
    return id_.startswith(f"{PLACE}/")


def _newest(steps: Sequence[DeadLetter], events: Sequence[DeadEvent], most: int) -> Sequence[DeadLetter | DeadEvent]:
    """The newest of both lists, each of which is in the order in which it is to be shown."""
    taken: list[DeadLetter | DeadEvent] = []
    left, right = list(steps), list(events)
    while (left or right) and len(taken) < most:
        is_step = bool(left) and (not right or left[0].at >= right[0].at)
        taken.append(left.pop(0) if is_step else right.pop(0))
    return taken


def _places(cursor: str | None) -> tuple[str | None, str]:
    """The cursor in the list of steps, and the key of an event; what is no cursor is left for the store to refuse."""
    steps, found, events = (cursor or "").partition(_AND)
    if not found or not (events == "" or is_key(events)):
        return cursor, ""
    return steps or None, events


def _after(steps: str | None, events_after: str) -> str | None:
    return f"{steps}{_AND}{events_after}" if steps is not None and events_after else steps


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
        "event": None,
        "trigger": None,
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
