"""Tells subscribers of lifecycle events: each event at least once, under an id that stays the same.

What is to be told is read from the feed of the store, and how far that has come stands in a document; so nothing is
lost when the process is killed, and what was sent last is sent again. A message that is not accepted is tried again,
later and later; the events of the same execution wait behind it, those of others do not. So the events of one execution
come in their order. While too many messages wait, nothing more is read: a receiver that is away costs nothing.

One process delivers a subscription at a time.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.lifecycle import LifecycleEvent
from stepwell.app.outgoing import Answered, Send, body_of, lifecycle_event_at, lifecycle_events
from stepwell.app.reading import Reading
from stepwell.app.subscription_documents import (
    DELIVERY,
    PLACE,
    SUBSCRIPTION,
    Delivery,
    Disabled,
    Place,
    Subscription,
    deliveries_of,
    delivery_deleted,
    delivery_written,
    place_written,
    read_delivery,
    read_place,
    read_subscription,
    subscription_written,
)
from stepwell.app.subscriptions import secrets_in_force
from stepwell.base.clock import Clock
from stepwell.base.durations import HOUR, MINUTE, SECOND, format_duration
from stepwell.base.errors import Conflict, StepwellError
from stepwell.base.instants import to_rfc3339
from stepwell.engine.alarm import Alarm
from stepwell.execution.codec import Codec
from stepwell.ports.ledger import Document, JournalEntry, Write
from stepwell.ports.store import Store
from stepwell.store.process import is_gone, this_process
from stepwell.triggers.standard_webhooks import signed_headers

BACKOFF: Final = (5 * SECOND, 30 * SECOND, 2 * MINUTE, 10 * MINUTE, HOUR, 3 * HOUR, 8 * HOUR)
"""How long after each try the next one is made; after the last of them a message is given up."""

MOST_WAITING: Final = 100
"""While so many messages of a subscription wait, its feed is not read on."""

LOOK_EVERY: Final = SECOND
"""Between two looks at what other processes committed."""

LOOK_FOR_OTHERS: Final = 5 * SECOND
"""Between two looks at what other processes did to subscriptions, and at whether another still delivers one."""
CLAIM: Final = MINUTE
"""A process that says nothing for so long delivers a subscription no more."""

AGAIN_AFTER: Final = 30 * SECOND
"""After something went wrong."""

_PAGE: Final = 100
_AT_ONCE: Final = 8
_GONE: Final = 410

_log = logging.getLogger(__name__)


class Fresh(NamedTuple):
    """What is new in the feed."""

    delivery: Delivery
    event: LifecycleEvent


class Tried(NamedTuple):
    """A message that was sent, and what came of it."""

    delivery: Delivery
    type: str
    answered: Answered
    at: int
    took: int

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver accepted it."""
        return self.answered.problem is None


class _Rest(NamedTuple):
    """Nothing is to be done for a while.

    Attributes:
        until: then all is looked at again.
        after: unless there is more in the feed behind this; None when nothing new would be sent from here.
    """

    until: int
    after: int | None


class Courier:
    """Delivers one subscription.

    Args:
        looks: whether other processes use the store too.
    """

    def __init__(
        self,
        id_: str,
        store: Store,
        codec: Codec,
        reading: Reading,
        send: Send,
        clock: Clock,
        node: str,
        *,
        looks: bool = True,
    ) -> None:
        self._id = id_
        self._store = store
        self._codec = codec
        self._reading = reading
        self._send = send
        self._clock = clock
        self._node = node
        self._looks = looks
        self._is_mine = False
        self._after: int | None = None
        self._rest: _Rest | None = None
        self.rung = asyncio.Event()
        self.alarm = Alarm(clock, self.rung.set)

    def look(self) -> None:
        """Look at everything, at once: the subscription was changed, or something is to be sent again."""
        self._rest = None
        self.rung.set()

    async def run(self) -> None:
        """Deliver, until cancelled."""
        self.rung.set()
        while True:
            await self.rung.wait()
            self.rung.clear()
            try:
                if not await self._may_rest():
                    self._rest = None
                    while await self.round():
                        pass
                    await self._begin_rest()
            except Conflict:
                self._rest = None
                self.rung.set()  # somebody else changed it at this moment: look again
                await asyncio.sleep(0)
            except StepwellError as error:
                _log.warning("subscription %s is not delivered at the moment: %s", self._id, error)
                self.alarm.set(self._clock.now() + AGAIN_AFTER)
            except Exception:  # a defect must not end it for good
                _log.exception("subscription %s is not delivered at the moment", self._id)
                self.alarm.set(self._clock.now() + AGAIN_AFTER)

    async def _may_rest(self) -> bool:
        """Whether nothing has happened since it began to rest."""
        rest, now = self._rest, self._clock.now()
        if rest is None or now >= rest.until:
            return False
        if rest.after is not None and await self._store.feed(rest.after, 1):
            return False
        if self._rest is not rest:
            return False
        if self._looks:
            self.alarm.set(min(rest.until, now + LOOK_EVERY) if rest.after is not None else rest.until)
        return True

    async def _begin_rest(self) -> None:
        now = self._clock.now()
        due = await self._store.next_due(deliveries_of(self._id)) if self._is_mine else None
        self.alarm.set(due)
        until = now + LOOK_FOR_OTHERS
        if self.rung.is_set():
            return  # something has happened meanwhile
        self._rest = _Rest(until if due is None else min(until, due), self._after if self._is_mine else None)
        if self._looks:
            self.alarm.set(now + LOOK_EVERY if self._rest.after is not None else until)

    async def round(self) -> bool:
        """Send what is due and what is new, and write down how far that came. True when there may be more.

        Raises:
            Conflict: somebody else delivers or changed the subscription meanwhile; what was sent is sent again.
            StoreError: the store cannot be used.
        """
        document = await self._store.document(SUBSCRIPTION, self._id)
        subscription = read_subscription(document) if document is not None else None
        self._is_mine, self._after = False, None
        if document is None or subscription is None or not subscription.active:
            return False
        place, revision = await self._claimed()
        if place is None:
            return False
        self._is_mine = True
        waiting = await self._waiting()
        due = [
            read_delivery(each) for each in await self._store.due_documents(deliveries_of(self._id), self._clock.now())
        ]
        after, fresh, is_more = place.after, dict[str, Fresh](), True
        if len(waiting) < MOST_WAITING:
            after, fresh, is_more = await self._fresh(subscription, place.after)
            self._after = after
        if not due and after == place.after:
            return False
        tried = await self._try_all(subscription, _groups(waiting, due, fresh), fresh)
        new = [each.delivery for each in fresh.values()]
        outcome = _Outcome(subscription, place, waiting, new, tried, self._clock.now())
        moved = msgspec.structs.replace(place, after=after, delivered_at=outcome.delivered_at)
        writes = [place_written(self._id, moved, revision), *outcome.writes()]
        if outcome.disabled is not None:
            disabled = msgspec.structs.replace(subscription, active=False, disabled=outcome.disabled)
            writes.append(subscription_written(disabled, document.revision))
            _log.warning("subscription %s is disabled: %s", self._id, outcome.disabled.reason)
        await self._store.write(writes, self._clock.now(), entries=outcome.entries())
        return is_more or outcome.has_more

    async def give_up(self) -> None:
        """Let another process deliver it."""
        self.alarm.clear()
        document = await self._store.document(PLACE, self._id)
        place = read_place(document) if document is not None else None
        if document is not None and place is not None and place.node == self._node:
            free = msgspec.structs.replace(place, owner=None, node="", until=0)
            await self._store.write([place_written(self._id, free, document.revision)], self._clock.now())

    async def _claimed(self) -> tuple[Place | None, int]:
        """The place, which is this process's to move, and its revision; None when another one delivers."""
        document = await self._store.document(PLACE, self._id)
        if document is None:
            return None, 0
        place, now = read_place(document), self._clock.now()
        if place.node == self._node and place.until - now > CLAIM // 2:
            return place, document.revision
        is_free = place.node in ("", self._node) or place.until <= now or place.owner is None or is_gone(place.owner)
        if not is_free:
            self.alarm.set(place.until)
            return None, 0
        mine = msgspec.structs.replace(place, owner=this_process(), node=self._node, until=now + CLAIM)
        (revision,) = await self._store.write([place_written(self._id, mine, document.revision)], now)
        return mine, revision

    async def _waiting(self) -> list[Delivery]:
        """What was not delivered yet, by execution and in order."""
        found: list[Document] = []
        kind = deliveries_of(self._id)
        while page := await self._store.documents(kind, after=found[-1].key if found else ""):
            found += page
        return [read_delivery(each) for each in found]

    async def _fresh(self, subscription: Subscription, after: int) -> tuple[int, dict[str, Fresh], bool]:
        """How far the feed was read, what of it is to be sent, by its key, and whether there is more."""
        rows = await self._store.feed(after, _PAGE)
        found = [
            Fresh(Delivery(execution=row.execution, workflow=row.workflow, seq=event.seq), event)
            for row in rows
            if subscription.wants_workflow(row.workflow)
            for event in lifecycle_events(self._codec, row.execution, row.seq, row.events)
            if subscription.wants(row.workflow, event.type)
        ]
        last = rows[-1].number if rows else after
        return last, {each.delivery.key: each for each in found}, len(rows) == _PAGE

    async def _try_all(
        self, subscription: Subscription, groups: Iterable[Sequence[Delivery]], fresh: Mapping[str, Fresh]
    ) -> list[Tried]:
        """Send the messages: of one execution in order, up to the first that is not accepted."""
        secrets = secrets_in_force(subscription, self._codec, self._clock.now())
        places = asyncio.Semaphore(_AT_ONCE)
        until = self._clock.now() + CLAIM // 3  # then it is written down how far that came, before the claim is over

        async def try_in_order(group: Sequence[Delivery]) -> list[Tried]:
            done: list[Tried] = []
            async with places:
                for delivery in group:
                    if self._clock.now() > until:
                        break
                    known = fresh.get(delivery.key)
                    event = known.event if known is not None else await self._event(delivery)
                    done.append(await self._try(subscription, delivery, event, secrets))
                    if not done[-1].is_delivered:
                        break
            return done

        return [tried for group in await asyncio.gather(*map(try_in_order, groups)) for tried in group]

    async def _event(self, delivery: Delivery) -> LifecycleEvent | None:
        return await lifecycle_event_at(self._store, self._codec, delivery.execution, delivery.seq)

    async def _try(
        self, subscription: Subscription, delivery: Delivery, event: LifecycleEvent | None, secrets: Sequence[str]
    ) -> Tried:
        began = self._clock.now()
        if event is None:
            return Tried(delivery, "", Answered(None), began, 0)  # nothing that could be told
        kind, body = await body_of(subscription.format, delivery.workflow, event, self._reading)
        headers = {"content-type": kind, **signed_headers(delivery.id, body, secrets, began)}
        answered = await self._send(subscription.url, headers, body)
        return Tried(delivery, event.type, answered, began, self._clock.now() - began)


def _groups(
    waiting: Sequence[Delivery], due: Sequence[Delivery], fresh: Mapping[str, Fresh]
) -> Iterable[Sequence[Delivery]]:
    """What is to be sent, of each execution in order: with one that is due, those that wait behind it; and what is new,
    where nothing waits."""
    behind: dict[str, list[Delivery]] = {}
    for each in waiting:
        behind.setdefault(each.execution, []).append(each)
    groups: dict[str, Sequence[Delivery]] = {}
    for each in due:
        line = behind.get(each.execution, [each])
        groups[each.execution] = line if line[0].key == each.key else [each]
    for each in (new.delivery for new in fresh.values()):
        if each.execution not in behind:
            groups[each.execution] = [*groups.get(each.execution, ()), each]
    return groups.values()


class _Outcome:
    """What a round came to.

    Attributes:
        delivered_at: when something was delivered last.
        disabled: why the subscription is to be disabled, or None.
        has_more: something is due at once.
    """

    def __init__(
        self,
        subscription: Subscription,
        place: Place,
        waiting: Sequence[Delivery],
        fresh: Sequence[Delivery],
        tried: Sequence[Tried],
        now: int,
    ) -> None:
        self._id = subscription.id
        self._now = now
        self._tried = tried
        self._known = {each.key: each for each in waiting}
        self._left = {**self._known, **{each.key: each for each in fresh}}
        self._due: dict[str, int] = {}
        self.disabled: Disabled | None = None
        self.delivered_at = max([each.at for each in tried if each.is_delivered], default=place.delivered_at)
        for each in tried:
            self._settle(each)
        self.has_more = False

    def writes(self) -> list[Write]:
        """The changes of deliveries that wait."""
        writes = [delivery_deleted(self._id, each) for key, each in self._known.items() if key not in self._left]
        heads: dict[str, str] = {}
        for key in sorted(self._left):
            heads.setdefault(self._left[key].execution, key)
        touched = {each.delivery.execution for each in self._tried}
        for key, delivery in self._left.items():
            is_head = heads[delivery.execution] == key
            if key in self._due:
                writes.append(delivery_written(self._id, delivery, self._due[key]))
            elif is_head and (key not in self._known or delivery.execution in touched):
                writes.append(delivery_written(self._id, delivery, self._now))
                self.has_more = True
            elif key not in self._known:
                writes.append(delivery_written(self._id, delivery, None))
        return writes

    def entries(self) -> list[JournalEntry]:
        """The log."""
        return [
            JournalEntry(kind=DELIVERY, subject=self._id, at=each.at, body=json.dumps(self._logged(each)))
            for each in self._tried
            if each.type
        ]

    def _settle(self, tried: Tried) -> None:
        before = tried.delivery
        if tried.is_delivered:
            self._left.pop(before.key, None)
            return
        after = msgspec.structs.replace(before, tries=before.tries + 1, first_at=before.first_at or tried.at)
        if tried.answered.status == _GONE:
            self.disabled = Disabled(at=self._now, reason="the receiver answered that it is gone for good (410)")
        if after.tries > len(BACKOFF):
            self._left.pop(before.key, None)
            if self.delivered_at < after.first_at:
                since = format_duration(self._now - after.first_at)
                self.disabled = Disabled(
                    at=self._now, reason=f"nothing was accepted for {since}: {tried.answered.problem}"
                )
            return
        self._left[before.key] = after
        self._due[before.key] = self._now + BACKOFF[after.tries - 1]

    def _logged(self, tried: Tried) -> Mapping[str, Any]:
        due = self._due.get(tried.delivery.key)
        outcome = "delivered" if tried.is_delivered else "failed" if due is not None else "given_up"
        return {
            "id": tried.delivery.id,
            "type": tried.type,
            "execution_id": tried.delivery.execution,
            "workflow": tried.delivery.workflow,
            "seq": tried.delivery.seq,
            "attempt": tried.delivery.tries + 1,
            "outcome": outcome,
            "status": tried.answered.status,
            "problem": tried.answered.problem,
            "duration_ms": tried.took // 1_000,
            "next_at": to_rfc3339(due) if due is not None else None,
        }
