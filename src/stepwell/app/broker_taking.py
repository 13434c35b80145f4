"""What becomes of a message that a broker delivered: an event in the store, once, and what that starts; or a dead
letter."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

from stepwell.app.broker_events import MessageReader, beside, content_of, refusal_of, seen, trace_of
from stepwell.app.dead_events import DeadEvents, Refusal
from stepwell.app.triggering import Triggering
from stepwell.app.triggers import ActiveTrigger, Fired, fire
from stepwell.base.clock import Clock
from stepwell.base.derive import digest
from stepwell.base.errors import ErrorInfo, InvalidInput, StepwellError, StoreError, UsageError
from stepwell.engine.engine import Engine
from stepwell.ports.brokers import Broker, Message, Outgoing
from stepwell.ports.store import Store
from stepwell.triggers.cloud_events import Received

MOST_TRIES: Final = 5
"""A message with which something goes wrong that nobody foresaw is given up after so many tries."""

Outcome = Literal["taken", "duplicate", "refused"]

TriggersOf = Callable[[], Awaitable[Sequence[ActiveTrigger]]]
"""Gives the topic triggers that a message fires."""

_ERROR: Final = "stepwell-error"
_REASON: Final = "stepwell-reason"
_TOPIC: Final = "stepwell-topic"
_PLACE: Final = "stepwell-place"
_LONGEST_REASON: Final = 1_000

_log = logging.getLogger(__name__)


class Taking:
    """Takes the messages of one topic.

    Args:
        broker: where they come from, and where those that cannot be taken are published to the topic `dead_letter`; for
            None they are only kept as dead letters of the store.
        name: what the broker is called.
        topic: what is subscribed to.
    """

    def __init__(
        self,
        engine: Engine,
        store: Store,
        triggering: Triggering,
        clock: Clock,
        broker: Broker,
        name: str,
        topic: str,
        dead_letter: str | None,
        triggers: TriggersOf,
    ) -> None:
        self._engine = engine
        self._store = store
        self._triggering = triggering
        self._clock = clock
        self._broker = broker
        self._name = name
        self._topic = topic
        self._dead_letter = dead_letter
        self._triggers = triggers
        self._reader = MessageReader(name)
        self._dead_events = DeadEvents(store)
        self._tries: dict[str, int] = {}

    async def take(self, message: Message) -> Outcome:
        """Take a message: when this returns, what came of it is durable.

        Raises:
            StepwellError: it could not be taken now, and may be later: the store or the broker cannot be used.
        """
        now = self._clock.now()
        try:
            found = self._reader.read(message, now)
            outcome = await self._publish(message, found, now)
            self._tries.pop(self._known_by(message), None)
            return outcome
        except StoreError:
            raise
        except (InvalidInput, UsageError) as error:
            await self._refuse(message, refusal_of(error), now)
        except StepwellError:
            raise
        except Exception as error:  # a defect must not hold up all that comes after this
            if not self._is_given_up(message):
                raise
            await self._refuse(message, ErrorInfo("internal-error", f"it cannot be taken: {type(error).__name__}"), now)
        return "refused"

    async def _publish(self, message: Message, found: Received, now: int) -> Outcome:
        event, trace = found.event, trace_of(message, found)
        fired = [
            await fire(
                self._store,
                each,
                event,
                otherwise=event.data,
                same=[event.source, event.id],
                seen=seen(message, event, self._name),
                trace=trace,
            )
            for each in await self._triggers()
        ]
        refused = _refused(fired)
        if refused is not None:
            await self._publish_dead(message, refused)
        published = await self._triggering.publish_by(self._engine, event, now, also=fired, kind="topic", trace=trace)
        if published.duplicate:
            return "duplicate"
        return "taken" if refused is None else "refused"

    async def _refuse(self, message: Message, error: ErrorInfo, now: int) -> None:
        await self._publish_dead(message, error)
        refusal = Refusal(
            type=f"topic:{message.topic}",
            source=self._reader.source(message),
            id=self._reader.id_of(message),
            data=content_of(message),
            error=error,
            subject=message.key,
            time=message.at,
            read_from=(self._name, self._topic),
            seen=beside(message, self._name),
        )
        await self._dead_events.refuse(refusal, now, self._engine.codec)

    async def _publish_dead(self, message: Message, error: ErrorInfo) -> None:
        """Publish it to the topic for dead letters, unless it comes from there: it would come again and again. One that
        is too large even for that, or that the client cannot write, is in the store all the same.

        Raises:
            StepwellError: the broker cannot be used.
        """
        if self._dead_letter is None or message.topic == self._dead_letter:
            return
        dead = dead_letter(message, error, self._reader.id_of(message))
        try:
            await self._broker.publish(self._dead_letter, [dead])
        except StepwellError:
            raise
        except Exception:
            _log.exception("message %s is not told to the topic %s", dead.id, self._dead_letter)

    def _known_by(self, message: Message) -> str:
        """What tells it from others when it comes again."""
        return self._reader.id_of(message) if message.own_id or message.place else digest(message.body)

    def _is_given_up(self, message: Message) -> bool:
        tried = self._known_by(message)
        count = max(self._tries.pop(tried, 0) + 1, message.tries)
        if count < MOST_TRIES:
            self._tries[tried] = count
        return count >= MOST_TRIES


def dead_letter(message: Message, error: ErrorInfo, id_: str) -> Outgoing:
    """The message as it came, with what is wrong with it in its headers."""
    reason = " ".join(error.message.split())[:_LONGEST_REASON]
    headers = {**message.headers, _ERROR: error.type, _REASON: reason, _TOPIC: message.topic}
    if message.place is not None:
        headers[_PLACE] = message.place
    return Outgoing(id=f"{message.topic}/{id_}", body=message.body, headers=headers, key=message.key)


def _refused(fired: Sequence[Fired]) -> ErrorInfo | None:
    """Why nothing came of a message that somebody wanted; None when something did, or nobody wanted it."""
    errors = [each.error for each in fired if each.error is not None]
    did = any(each.firing.outcome in ("started", "present") for each in fired)
    return errors[0] if errors and not did else None
