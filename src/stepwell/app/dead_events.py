"""Events that came to nothing: refused by a trigger, or not to be delivered at all. They are dead letters, too.

Each is a document, written in the transaction that stores the event; trying it again deletes the document in the
transaction that asks for the start. So none is lost, and none starts anything twice.
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.triggers import Fired, Kind
from stepwell.base.derive import digest
from stepwell.base.errors import Conflict, ErrorInfo, NotFound, StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import namespace_of
from stepwell.base.sensitive import seal_by_name
from stepwell.base.values import MASK, unsealed
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.ports.ledger import DEAD_EVENT, Document, Ledger, Write
from stepwell.ports.listings import DeadLetterQuery
from stepwell.ports.records import Discarded

DISCARDED_EVENT: Final = "discarded-event"
"""The kind of the documents that are dead events of which nothing is to be done."""

PLACE: Final = "event"
"""What the ids of dead events begin with, where those of steps have the id of an execution, which is never that."""

_LAST: Final = 2**63 - 1
_KEY: Final = r"[0-9]{19}-[0-9a-f]{32}"
_ID: Final = re.compile(rf"{PLACE}/(?P<key>{_KEY})/[1-9][0-9]{{0,8}}")
_LONGEST_DATA: Final = 300 * 1024
"""Of something that could not be read, so many characters are kept as text."""
_AT_ONCE: Final = 200

_encode: Final = msgspec.msgpack.Encoder().encode


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Something that came from outside and could not become an event, or could not be taken.

    Attributes:
        type, source, id, data, subject, time: as far as they are known, as of an event; data is a JSON value, or the
            text of what is none.
        error: why; its type is a code.
        read_from: the broker and the topic that it was read from, if it was.
        seen: what expressions of triggers would have seen beside it.
    """

    type: str
    source: str
    id: str
    data: Any
    error: ErrorInfo
    subject: str | None = None
    time: int | None = None
    read_from: tuple[str, str] | None = None
    seen: Mapping[str, Any] = {}


class DeadEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The body of such a document.

    Attributes:
        event: without its data.
        at: when it was refused for the first time.
        workflow, version, trigger, kind: the trigger that refused it; empty when it came to none.
        content: `{data, seen}`: the data of the event, and what expressions of the trigger see beside it, as the codec
            encodes them; what is a secret by its name is encrypted. None when it was discarded.
        attempts: how often it was tried.
        read_from: the broker and the topic of a message that came to no trigger.
    """

    event: Event
    error: ErrorInfo
    at: int
    workflow: str = ""
    version: str = ""
    trigger: int | None = None
    kind: Kind | None = None
    content: bytes | None = None
    attempts: int = 1
    discarded: Discarded | None = None
    read_from: tuple[str, str] | None = None

    @property
    def key(self) -> str:
        """Of its document: the newest come first."""
        parts = [self.event.source, self.event.id, self.workflow, str(self.trigger)]
        return f"{_LAST - self.at:019d}-{digest(_encode(parts))[:32]}"

    @property
    def id(self) -> str:
        """Of the dead letter: it has the form of those of steps."""
        return f"{PLACE}/{self.key}/{(self.trigger or 0) + 1}"

    @property
    def namespace(self) -> str:
        """Of the workflow; of what came to none that of its type."""
        return namespace_of(self.workflow or self.event.type)

    def written(self, expected: int | None = None) -> Write:
        """The document that keeps it."""
        kind = DEAD_EVENT if self.discarded is None else DISCARDED_EVENT
        return Write(kind=kind, key=self.key, body=_encode(self), expected=expected)


class Kept(NamedTuple):
    """A dead event as it is kept."""

    dead: DeadEvent
    revision: int


def dead_event(fired: Fired, event: Event, now: int, codec: Codec) -> DeadEvent | None:
    """What is kept of an event that a trigger made that of; None when it did not refuse it."""
    if fired.error is None:
        return None
    firing = fired.firing
    return DeadEvent(
        event=msgspec.structs.replace(event, data=None),
        error=fired.error,
        at=now,
        workflow=firing.workflow,
        version=firing.version,
        trigger=firing.trigger,
        kind=fired.kind,
        content=_content(event.data, fired.seen or {}, codec),
    )


def opened(dead: DeadEvent, codec: Codec) -> tuple[Event, Mapping[str, Any]]:
    """The event with its data, and what expressions saw beside it."""
    content = unsealed(codec.decode_value(dead.content)) if dead.content is not None else {"data": None, "seen": {}}
    return msgspec.structs.replace(dead.event, data=content["data"]), content["seen"]


class DeadEvents:
    """Those of a store."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    async def refuse(self, refusal: Refusal, now: int, codec: Codec) -> str:
        """Keep what could not be taken; durable when this returns the id of the dead letter. What is refused again,
        with the same source, id and time, is kept once."""
        event = Event(
            id=refusal.id,
            type=refusal.type,
            source=refusal.source,
            subject=refusal.subject,
            time=refusal.time if refusal.time is not None else now,
        )
        at = min(now, max(0, event.time))
        dead = DeadEvent(
            event=event,
            error=refusal.error,
            at=at,
            content=_content(_kept_of(refusal.data), refusal.seen, codec),
            read_from=refusal.read_from,
        )
        try:
            await self._ledger.write([dead.written(expected=0)], now)
        except Conflict:
            return dead.id  # it is there already
        return dead.id

    async def get(self, id_: str) -> Kept | None:
        """The dead event with this id, discarded or not."""
        match = _ID.fullmatch(id_)
        if match is None:
            return None
        for kind in (DEAD_EVENT, DISCARDED_EVENT):
            document = await self._ledger.document(kind, match["key"])
            if document is not None:
                kept = _kept(document)
                return kept if kept.dead.id == id_ else None
        return None

    async def discard(self, id_: str, discarded: Discarded, now: int) -> bool:
        """Note that nothing is to be done about it, and forget its data. False when it was discarded before, or is not
        there."""
        kept = await self.get(id_)
        if kept is None or kept.dead.discarded is not None:
            return False
        dead = kept.dead
        without = msgspec.structs.replace(dead, discarded=discarded, content=None)
        gone = Write(kind=DEAD_EVENT, key=dead.key, body=None, expected=kept.revision)
        try:
            await self._ledger.write([gone, without.written(expected=0)], now)
        except Conflict:
            return False
        return True

    async def found(self, query: DeadLetterQuery, after: str, most: int) -> list[DeadEvent]:
        """At most so many that the query asks for, newest first, behind the one with the key `after`."""
        found: list[DeadEvent] = []
        if query.execution is not None:
            return found
        async for dead in self._all(DISCARDED_EVENT if query.discarded else DEAD_EVENT, after):
            if _is_wanted(dead, query):
                found.append(dead)
            if len(found) == most:
                break
        return found

    async def _all(self, kind: str, after: str) -> AsyncIterator[DeadEvent]:
        while True:
            documents = await self._ledger.documents(kind, after=after, limit=_AT_ONCE)
            for document in documents:
                yield _kept(document).dead
            if len(documents) < _AT_ONCE:
                return
            after = documents[-1].key


def is_key(text: str) -> bool:
    """Whether that could be the key of the document of a dead event."""
    return re.fullmatch(_KEY, text) is not None


def listed(dead: DeadEvent) -> dict[str, Any]:
    """A dead event as one of a list of dead letters."""
    discarded = dead.discarded
    event = dead.event
    return {
        "id": dead.id,
        "execution_id": None,
        "workflow": dead.workflow or None,
        "version": dead.version or None,
        "step": None,
        "kind": "event",
        "at": to_rfc3339(dead.at),
        "seq": None,
        "attempts": dead.attempts,
        "error": dead.error.as_dict(),
        "event": {"type": event.type, "source": event.source, "id": event.id},
        "trigger": dead.trigger,
        "discarded": {"at": to_rfc3339(discarded.at), "by": discarded.by, "reason": discarded.reason}
        if discarded is not None
        else None,
    }


def shown(dead: DeadEvent) -> dict[str, Any] | None:
    """The event as expressions saw it, with `***` for what is a secret by its name; None when it was discarded.

    Raises:
        StoreError: (code `damaged-dead-letter`) it cannot be read.
    """
    if dead.content is None:
        return None
    try:
        content = msgspec.msgpack.decode(dead.content, ext_hook=lambda code, content: MASK)
        return {**dead.event.as_dict(), "data": content["data"], **content["seen"]}
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise StoreError(
            f"the event of dead letter {dead.id} is damaged: {error}", code="damaged-dead-letter"
        ) from None


def unknown(id_: str) -> NotFound:
    """There is no such dead letter."""
    return NotFound(
        f"there is no dead letter {id_!r} in this store",
        code="unknown-dead-letter",
        hint="`stepwell dlq list` shows them; one that was tried again is gone",
    )


def _kept_of(data: Any) -> Any:
    """The data as it can be kept: numbers beyond 64 bits, and what is too large for an event, as a text."""
    try:
        if len(_encode(data)) <= _LONGEST_DATA:
            return data
    except (OverflowError, UnicodeEncodeError):
        pass
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    plain = text.encode(errors="replace").decode()
    return plain if len(plain) <= _LONGEST_DATA else plain[:_LONGEST_DATA] + "..."


def _content(data: Any, seen: Mapping[str, Any], codec: Codec) -> bytes:
    return codec.encode_value(seal_by_name({"data": data, "seen": dict(seen)}))


def _is_wanted(dead: DeadEvent, query: DeadLetterQuery) -> bool:
    return (
        (query.workflow is None or dead.workflow == query.workflow)
        and (query.error_type is None or dead.error.type == query.error_type)
        and (query.namespaces is None or dead.namespace in query.namespaces)
    )


def _kept(document: Document) -> Kept:
    return Kept(msgspec.msgpack.decode(document.body, type=DeadEvent), document.revision)
