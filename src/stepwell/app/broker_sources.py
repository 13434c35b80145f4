"""Reads topics of brokers: each message becomes an event, and is acknowledged after the store has it.

A message is acknowledged only when what came of it is durable, and an event is known by its source and id; so whatever
is delivered again, because a node died or a connection was lost, is in the history once. While the store or the broker
cannot be used nothing is acknowledged, and it is tried again, later and later.

Messages of one line (a key, a partition, a queue) are taken one after the other; those of different lines side by side.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from stepwell.app.broker_claims import Holding
from stepwell.app.broker_taking import Taking
from stepwell.base.clock import Clock
from stepwell.base.durations import MILLISECOND, SECOND
from stepwell.base.errors import StepwellError, StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.ports.brokers import KEEP_EVERY, Broker, BrokerError, Message, Subscription

AT_ONCE: Final = 200
"""So many messages are pulled at most."""
PATIENCE: Final = 2.0
"""Seconds that a pull waits."""
BACKOFF: Final = (500 * MILLISECOND, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 30 * SECOND)
"""How long nothing is done after something went wrong; the last one from then on."""
LOOK_AT_LAG: Final = 15 * SECOND

_TELL_AGAIN: Final = 10.0

_log = logging.getLogger(__name__)


class SourceState(msgspec.Struct, frozen=True, kw_only=True):
    """How reading a topic goes.

    Attributes:
        counts: of messages, by what became of them, since this process began to read.
        lag: how many wait, about; None when that is not known.
        problem, since: what is wrong, and since when.
        is_mine: whether this node reads it at the moment.
    """

    topic: str
    counts: Mapping[str, int]
    lag: int | None
    problem: str | None
    since: int | None
    is_mine: bool

    def report(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "topic": self.topic,
            "reading": self.is_mine,
            "problem": self.problem,
            "since": to_rfc3339(self.since) if self.since is not None else None,
            "lag": self.lag,
            **{name: self.counts.get(name, 0) for name in ("taken", "duplicate", "refused")},
        }


class Trouble:
    """What is wrong with something that is tried again and again; told in the log once for each outage, and again when
    its kind is another."""

    def __init__(self, what: str, clock: Clock) -> None:
        self._what = what
        self._clock = clock
        self._tries = 0
        self._told: str | None = None
        self.problem: str | None = None
        self.since: int | None = None

    def note(self, error: BaseException) -> int:
        """Something went wrong. Returns when to try again."""
        said = str(error) if isinstance(error, StepwellError) else f"it broke with {type(error).__name__}"
        kind = error.code if isinstance(error, StepwellError) else type(error).__name__
        if self.problem is None:
            self.since = self._clock.now()
        if self._told != kind:  # of an outage once, and again when it is another one
            self._told = kind
            _log.warning("%s: %s; it is tried again", self._what, said)
            if not isinstance(error, StepwellError):
                _log.debug("%s", self._what, exc_info=error)
        self.problem = said
        pause = BACKOFF[min(self._tries, len(BACKOFF) - 1)]
        self._tries += 1
        return self._clock.now() + pause

    def clear(self) -> None:
        """It works."""
        if self.problem is not None:
            _log.warning("%s: it works again", self._what)
        self.problem = self.since = self._told = None
        self._tries = 0


class Source:
    """Reads one topic.

    Args:
        holding: lets one node at a time read it; None when all may.
    """

    def __init__(
        self,
        topic: str,
        broker: Broker,
        group: str,
        taking: Taking,
        clock: Clock,
        *,
        name: str,
        from_start: bool,
        holding: Holding | None,
    ) -> None:
        self._topic = topic
        self._broker = broker
        self._group = group
        self._taking = taking
        self._clock = clock
        self._from_start = from_start
        self._holding = holding
        self._trouble = Trouble(f"topic {topic} of {name}", clock)
        self._counts: Counter[str] = Counter()
        self._lag: int | None = None
        self._lag_at = 0
        self._is_mine = False
        self._well_at = 0

    @property
    def state(self) -> SourceState:
        """How it goes."""
        trouble = self._trouble
        return SourceState(
            topic=self._topic,
            counts=dict(self._counts),
            lag=self._lag,
            problem=trouble.problem,
            since=trouble.since,
            is_mine=self._is_mine,
        )

    async def run(self) -> None:
        """Read, until cancelled."""
        try:
            while True:
                try:
                    await self._read()
                except (Exception, asyncio.CancelledError) as error:
                    if is_told_to_end():
                        raise
                    self._is_mine = False  # whatever it is, nothing was acknowledged, and it must go on
                    await until(self._clock, self._trouble.note(error))
        finally:
            await self._give_up()

    async def _read(self) -> None:
        """Read until something is wrong, or another node has it."""
        later = await self._holding.hold() if self._holding is not None else None
        if later is not None:
            self._is_mine, self._lag = False, None
            await until(self._clock, later)
            return
        subscription = await self._broker.subscribe(
            self._topic, self._group, from_start=self._from_start, ordered=self._holding is not None
        )
        try:
            while self._holding is None or await self._holding.hold() is None:
                self._is_mine = True
                messages = await subscription.pull(AT_ONCE, PATIENCE)
                if await self._take_all(subscription, messages) and (messages or self._clock.now() >= self._well_at):
                    self._trouble.clear()
                await self._look_at_lag(subscription)
        finally:
            await asyncio.shield(subscription.close())

    async def _take_all(self, subscription: Subscription, messages: Sequence[Message]) -> bool:
        """Take them, and acknowledge what was taken; what was not is given back. False when something was wrong."""
        lines: dict[str, list[Message]] = {}
        for message in messages:
            lines.setdefault(message.line, []).append(message)
        done: list[Message] = []
        working = [asyncio.create_task(self._take_line(line, done)) for line in lines.values()]
        try:
            pending = set(working)
            while pending:
                _, pending = await asyncio.wait(pending, timeout=KEEP_EVERY)
                if pending:
                    await self._still_at_it(subscription, messages)
        finally:
            for task in working:
                task.cancel()
        await subscription.acknowledge(done)
        errors = [error for task in working if (error := task.result()) is not None]
        if not errors:
            return True
        again_at = self._trouble.note(errors[0])
        self._well_at = again_at + LOOK_AT_LAG  # before then, that nothing comes does not mean that all is well
        kept = {id(message) for message in done}
        left = [message for message in messages if id(message) not in kept]
        await subscription.give_back(left, max(0, again_at - self._clock.now()))
        await until(self._clock, again_at)
        return False

    async def _take_line(self, line: Sequence[Message], done: list[Message]) -> Exception | None:
        """Take messages in order, up to the first that cannot be taken now. Returns why that is."""
        for message in line:
            try:
                outcome = await self._taking.take(message)
            except Exception as error:
                if not isinstance(error, StepwellError):
                    _log.exception("a message of the topic %s cannot be taken", self._topic)
                return error
            self._counts[outcome] += 1
            done.append(message)
        return None

    async def _still_at_it(self, subscription: Subscription, messages: Sequence[Message]) -> None:
        await subscription.keep(messages)
        if self._holding is not None:
            try:
                await self._holding.hold()
            except StoreError:
                return  # then nothing is written either, and what is taken waits for the store as well

    async def _look_at_lag(self, subscription: Subscription) -> None:
        now = self._clock.now()
        if now - self._lag_at >= LOOK_AT_LAG:
            self._lag_at = now
            self._lag = await subscription.lag()

    async def _give_up(self) -> None:
        if self._holding is not None:
            try:
                await asyncio.shield(self._holding.give_up())
            except (StepwellError, BrokerError):
                return  # another node has it when the lease has run out


async def ended(tasks: Collection[asyncio.Task[None]]) -> None:
    """End them, and return when they have. A task is told more than once: clients of brokers wait with functions of
    asyncio that may lose a cancellation when what they wait for comes at the same moment."""
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=_TELL_AGAIN)
    await asyncio.gather(*tasks, return_exceptions=True)


def is_told_to_end() -> bool:
    """Whether somebody has cancelled the running task. Else a cancellation is one of a client of a broker, which it
    lets out when its connection ends: an error like any other."""
    task = asyncio.current_task()
    return task is None or task.cancelling() > 0


async def until(clock: Clock, instant: int) -> None:
    """Return at that instant."""
    passed = asyncio.Event()
    timer = clock.call_at(instant, passed.set)
    try:
        await passed.wait()
    finally:
        timer.cancel()
