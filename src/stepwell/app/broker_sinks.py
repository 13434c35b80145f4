"""Tells brokers what happens: each event at least once, under an id that stays the same.

What is to be told is read from the feed of the store, and what steps emitted from documents. The place in the feed
moves, and those documents go, only after the broker has confirmed what stands before; so nothing is lost when the
process is killed or the broker is down, and what was sent last is sent again. A message that the broker refuses for
ever is noted and passed over.

One node carries a sink at a time: the place holds its claim, so that another one cannot move it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.broker_claims import RENEW_AFTER, Claim, claimed
from stepwell.app.broker_messages import Traces, emitted_message, lifecycle_message
from stepwell.app.broker_sections import SinkSection
from stepwell.app.broker_sources import Trouble, is_told_to_end, until
from stepwell.app.emitted import emitted_in, execution_of, outbox_of, workflow_of
from stepwell.app.lifecycle import TYPES, LifecycleEvent, lifecycle_event
from stepwell.app.reading import Reading
from stepwell.app.report import event_report
from stepwell.app.subscription_documents import matches_any
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict, StepwellError, StoreError
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.engine.alarm import Alarm
from stepwell.execution.codec import Codec
from stepwell.execution.history import HistoryEvent
from stepwell.ports.brokers import Broker, BrokerError, Outgoing
from stepwell.ports.ledger import Document, FeedRow, JournalEntry, Write
from stepwell.ports.store import Store

KIND: Final = "broker-sink"
"""Of the documents with the places of sinks, by their names."""
UNDELIVERED: Final = "undelivered"
"""The kind of journal entry about a message that a broker refuses for ever."""
LOOK_EVERY: Final = SECOND
"""Between two looks at what other processes committed."""

_PAGE: Final = 500
_DAMAGED: Final = frozenset({"damaged-history", "wrong-key"})
_RENEW: Final = RENEW_AFTER / SECOND
_LONGEST: Final = 60.0

_log = logging.getLogger(__name__)


class SinkPlace(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a sink has come.

    Attributes:
        after: up to there the feed was told.
        sent_at: when something was told last; 0 for never.
        problem, since: what is wrong, and since when.
    """

    after: int
    claim: Claim = Claim()
    sent_at: int = 0
    problem: str | None = None
    since: int = 0


class SinkState(msgspec.Struct, frozen=True, kw_only=True):
    """How a sink goes.

    Attributes:
        sent, refused: messages, since this process began.
        behind: microseconds since the oldest event happened that is not told yet; 0 when all are.
        is_mine: whether this node carries it.
    """

    name: str
    sent: int
    refused: int
    behind: int
    problem: str | None
    since: int | None
    is_mine: bool


class _Found(NamedTuple):
    """Something to be told, and when it happened."""

    message: Outgoing
    workflow: str
    type: str
    at: int


class Sink:
    """Tells a broker.

    Args:
        dead_letter: the topic that is told of what the broker refuses; None for none.
        node: unique text for this process.
    """

    def __init__(
        self,
        name: str,
        section: SinkSection,
        broker: Broker,
        dead_letter: str | None,
        store: Store,
        codec: Codec,
        reading: Reading,
        traces: Traces,
        clock: Clock,
        node: str,
    ) -> None:
        self._name = name
        self._section = section
        self._broker = broker
        self._dead_letter = dead_letter
        self._store = store
        self._codec = codec
        self._reading = reading
        self._traces = traces
        self._clock = clock
        self._node = node
        self._trouble = Trouble(f"sink {name}", clock)
        self._sent = 0
        self._refused = 0
        self._oldest: int | None = None
        self._is_mine = False
        self._known: tuple[SinkPlace, int] | None = None
        self.rung = asyncio.Event()
        self._alarm = Alarm(clock, self.rung.set)

    @property
    def state(self) -> SinkState:
        """How it goes."""
        behind = self._clock.now() - self._oldest if self._oldest is not None else 0
        trouble = self._trouble
        return SinkState(
            name=self._name,
            sent=self._sent,
            refused=self._refused,
            behind=max(0, behind),
            problem=trouble.problem,
            since=trouble.since,
            is_mine=self._is_mine,
        )

    async def run(self) -> None:
        """Tell, until cancelled."""
        self.rung.set()
        try:
            while True:
                await self.rung.wait()
                self.rung.clear()
                try:
                    while await self.round():
                        pass
                except Conflict:
                    self._known = None
                    self.rung.set()  # somebody else moved it at this moment: look again
                    await asyncio.sleep(0)
                except (Exception, asyncio.CancelledError) as error:
                    if is_told_to_end():
                        raise
                    await self._pause(error)  # whatever it is, the place has not moved, and it must go on
        finally:
            self._alarm.clear()
            await asyncio.shield(self._give_up())

    async def round(self) -> bool:
        """Tell what is new, and write down how far that came. True when there may be more.

        Raises:
            Conflict: another node carries it, or changed it, meanwhile; what was told may be told again.
            StoreError: the store cannot be used. BrokerError: the broker cannot.
        """
        claimed_place = await self._claimed()
        if claimed_place is None:
            return False
        place, revision = claimed_place
        rows = await self._store.feed(place.after, _PAGE) if "lifecycle" in self._section.send else ()
        kept = await self._store.documents(outbox_of(self._name), limit=_PAGE) if self._tells_emitted else ()
        found = [*await self._of_feed(rows), *await self._of_outbox(kept)]
        self._oldest = min((each.at for each in found), default=None)
        if not rows and not kept:
            await self._all_is_told(place, revision)
            return False
        refusals = await self._tell(found)
        claimed_place = await self._claimed()  # still
        if claimed_place is None:
            raise Conflict(f"another node carries the sink {self._name}", code="changed-meanwhile")
        (place, revision), now = claimed_place, self._clock.now()
        after = rows[-1].number if rows else place.after
        sent_at = now if found else place.sent_at
        moved = msgspec.structs.replace(place, after=after, problem=None, since=0, sent_at=sent_at)
        gone = [Write(kind=each.kind, key=each.key, body=None) for each in kept]
        entries = [self._entry(each, reason, now) for each, reason in refusals]
        await self._move(moved, revision, gone, entries)
        self._sent += len(found) - len(refusals)
        self._refused += len(refusals)
        self._oldest = None
        self._trouble.clear()
        return len(rows) == _PAGE or len(kept) == _PAGE

    @property
    def _tells_emitted(self) -> bool:
        return "emitted" in self._section.send

    async def _claimed(self) -> tuple[SinkPlace, int] | None:
        """The place, which is this process's to move, and its revision; None when another one carries the sink."""
        now = self._clock.now()
        if self._known is not None and self._known[0].claim.is_fresh(self._node, now):
            self._alarm.set(now + LOOK_EVERY)
            return self._known
        document = await self._store.document(KIND, self._name)
        place = _decode(document.body) if document is not None else SinkPlace(after=await self._store.feed_end())
        self._is_mine = place.claim.is_free(self._node, now)
        if not self._is_mine:
            self._oldest = None
            self._alarm.set(max(now + SECOND, min(place.claim.until, now + RENEW_AFTER)))
            return None
        self._alarm.set(now + LOOK_EVERY)
        mine = msgspec.structs.replace(place, claim=claimed(self._node, now))
        return await self._move(mine, document.revision if document is not None else 0)

    async def _move(
        self, place: SinkPlace, expected: int, gone: Sequence[Write] = (), entries: Sequence[JournalEntry] = ()
    ) -> tuple[SinkPlace, int]:
        """Write the place, unless somebody else did; it and its revision."""
        writes = [self._written(place, expected), *gone]
        revisions = await self._store.write(writes, self._clock.now(), entries=entries)
        self._known = place, revisions[0]
        return self._known

    async def _of_feed(self, rows: Sequence[FeedRow]) -> list[_Found]:
        found: list[_Found] = []
        for row in rows:
            for seq, event in self._events(row):
                self._traces.note(row.execution, event)
                if type(event).__name__ not in TYPES or not matches_any(self._section.workflows, row.workflow):
                    continue
                told = lifecycle_event(row.execution, event_report(seq, event))
                if matches_any(self._section.types, told.type):
                    found.append(await self._lifecycle(row, told))
        return found

    def _events(self, row: FeedRow) -> Sequence[tuple[int, HistoryEvent]]:
        """The events of a row, each with its number. A damaged row keeps nobody from what is behind it; one that a
        newer version wrote waits for a node that can read it.

        Raises:
            StoreError: it is such a one.
        """
        try:
            events = self._codec.decode_events(row.events)
        except StoreError as error:
            if error.code not in _DAMAGED:
                raise
            _log.error(
                "sink %s: what happened in execution %s up to event %d cannot be told: %s",
                self._name,
                row.execution,
                row.seq,
                error,
            )
            return ()
        return list(enumerate(events, start=row.seq - len(events) + 1))

    async def _lifecycle(self, row: FeedRow, event: LifecycleEvent) -> _Found:
        trace = await self._traces.of(row.execution)
        message = await lifecycle_message(self._section.format, row.workflow, event, trace, self._reading)
        return _Found(message, row.workflow, event.type, from_rfc3339(event.time))

    async def _of_outbox(self, kept: Sequence[Document]) -> list[_Found]:
        found: list[_Found] = []
        for document in kept:
            try:
                event, trace = emitted_in(document, self._codec)
            except (StoreError, msgspec.DecodeError) as error:
                _log.error("sink %s: an event that a step emitted cannot be told: %s", self._name, error)
                continue
            trace = trace or await self._traces.of(execution_of(event))
            message = emitted_message(self._section.format, event, trace)
            found.append(_Found(message, workflow_of(event), event.type, event.time))
        return found

    async def _tell(self, found: Sequence[_Found]) -> Sequence[tuple[_Found, str]]:
        """Publish; what the broker refuses for ever, and why."""
        if not found:
            return ()
        answers = await self._published([each.message for each in found])
        refusals = [(each, answer) for each, answer in zip(found, answers, strict=True) if answer is not None]
        for each, reason in refusals:
            _log.warning("sink %s: the broker never takes %s: %s", self._name, each.message.id, reason)
        if refusals and self._dead_letter is not None:
            await self._broker.publish(self._dead_letter, [self._dead(*each) for each in refusals])
        return refusals

    async def _published(self, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        """Publish, and keep the claim as long as that takes."""
        publishing = asyncio.ensure_future(self._broker.publish(self._section.topic, messages))
        until_at = asyncio.get_running_loop().time() + _LONGEST
        try:
            while not (await asyncio.wait([publishing], timeout=_RENEW))[0]:
                await self._claimed()
                if asyncio.get_running_loop().time() > until_at:  # a client that hangs must not hold it up for ever
                    raise BrokerError(f"the broker confirmed nothing within {_LONGEST:g} seconds")
            return await publishing
        finally:
            publishing.cancel()

    def _dead(self, found: _Found, reason: str) -> Outgoing:
        """What is told of a message that is refused: not its body, which is what is refused of it as a rule."""
        told = {**self._about(found), "reason": reason}
        headers = {"content-type": "application/json", "stepwell-error": "refused", "stepwell-reason": reason}
        return Outgoing(
            id=f"{found.message.id}/refused", body=json.dumps(told).encode(), headers=headers, key=found.message.key
        )

    def _entry(self, found: _Found, reason: str, now: int) -> JournalEntry:
        body = json.dumps({**self._about(found), "reason": reason})
        return JournalEntry(kind=UNDELIVERED, subject=self._name, at=now, body=body)

    def _about(self, found: _Found) -> dict[str, Any]:
        return {
            "sink": self._name,
            "topic": self._section.topic,
            "id": found.message.id,
            "type": found.type,
            "workflow": found.workflow,
            "bytes": len(found.message.body),
            "happened_at": to_rfc3339(found.at),
        }

    async def _all_is_told(self, place: SinkPlace, revision: int) -> None:
        """There is nothing to tell: whatever was wrong is no more."""
        if place.problem is not None:
            await self._move(msgspec.structs.replace(place, problem=None, since=0), revision)
        self._trouble.clear()

    async def _pause(self, error: BaseException) -> None:
        """Do nothing for a while, keep the claim meanwhile, and tell other nodes what is wrong."""
        if not isinstance(error, StepwellError):
            _log.exception("sink %s", self._name)
        again_at, self._known = self._trouble.note(error), None
        try:
            claimed_place = await self._claimed()
            if claimed_place is not None:
                place, revision = claimed_place
                if place.problem != self._trouble.problem:
                    said = msgspec.structs.replace(place, problem=self._trouble.problem, since=self._trouble.since or 0)
                    await self._move(said, revision)
        except StepwellError:
            pass  # then the store is what is wrong, and that is seen elsewhere
        await until(self._clock, again_at)
        self.rung.set()

    async def _give_up(self) -> None:
        """Let another node carry it."""
        try:
            document = await self._store.document(KIND, self._name)
            place = _decode(document.body) if document is not None else None
            if document is not None and place is not None and place.claim.node == self._node:
                free = msgspec.structs.replace(place, claim=Claim())
                await self._store.write([self._written(free, document.revision)], self._clock.now())
        except (StepwellError, BrokerError):
            return  # another node carries it when the lease has run out

    def _written(self, place: SinkPlace, expected: int) -> Write:
        return Write(kind=KIND, key=self._name, body=_encode(place), expected=expected)


async def sink_place(store: Store, name: str) -> SinkPlace | None:
    """How far a sink has come, whichever node carries it."""
    document = await store.document(KIND, name)
    return _decode(document.body) if document is not None else None


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(SinkPlace).decode
