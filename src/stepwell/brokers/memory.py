"""A broker in memory, for tests: it is gone with the process, and can be told to fail."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec

from stepwell.base.clock import Clock, Timer
from stepwell.ports.brokers import Broker, BrokerError, Message, Outgoing, Subscription


class MemoryBroker(Broker):
    """Keeps everything that was ever published.

    Attributes:
        refuses: says of a message why it is never taken, or None.
        topics: there are only these when it is set; any otherwise.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._problem: BrokerError | None = None
        self.refuses: Callable[[Outgoing], str | None] = lambda message: None
        self.topics: set[str] | None = None
        self._kept: dict[str, list[Message]] = defaultdict(list)
        self._ids: dict[str, set[str]] = defaultdict(set)
        self._groups: dict[tuple[str, str], _Group] = {}

    def fail(self, problem: BrokerError | None) -> None:
        """From now on everything fails with this; nothing does when it is None."""
        self._problem = problem
        for group in self._groups.values():
            group.came.set()

    def published(self, topic: str) -> Sequence[Message]:
        """Everything that was published to a topic."""
        return list(self._kept[topic])

    def put(self, topic: str, message: Message) -> None:
        """Have a message there as somebody else may publish it."""
        kept = self._kept[topic]
        place = f"{topic}/{len(kept)}"
        kept.append(msgspec.structs.replace(message, topic=topic, place=place, line=message.key or "", token=len(kept)))
        for (name, _), group in self._groups.items():
            if name == topic:
                group.came.set()

    async def reach(self) -> None:
        if self._problem is not None:
            raise self._problem

    async def publish(self, topic: str, messages: Sequence[Outgoing]) -> Sequence[str | None]:
        self.check(topic)
        answers: list[str | None] = []
        for each in messages:
            refusal = self.refuses(each)
            if refusal is None and each.id not in self._ids[topic]:
                self._ids[topic].add(each.id)
                self.put(
                    topic, Message(topic=topic, body=each.body, headers=each.headers, key=each.key, own_id=each.id)
                )
            answers.append(refusal)
        return answers

    async def subscribe(
        self, topic: str, group: str, *, from_start: bool = True, ordered: bool = False
    ) -> Subscription:
        self.check(topic)
        first = 0 if from_start else len(self._kept[topic])
        shared = self._groups.setdefault((topic, group), _Group(first))
        return _MemorySubscription(self, topic, shared)

    async def close(self) -> None:
        return None

    def check(self, topic: str) -> None:
        """Fail when it should.

        Raises:
            BrokerError: it should.
        """
        if self._problem is not None:
            raise self._problem
        if self.topics is not None and topic not in self.topics:
            raise BrokerError(f"there is no topic {topic!r}", code="unknown-topic")

    def after(self, topic: str) -> Sequence[Message]:
        """What is kept of a topic, without a copy."""
        return self._kept[topic]


class _Group:
    """Those who share a topic.

    Attributes:
        following: the place of the next message that was never delivered.
        again: places of those that are to be delivered again.
        out: places of those that are being worked on.
        late: how many will be given back later.
        came: set when there may be something to pull.
    """

    def __init__(self, following: int) -> None:
        self.following = following
        self.again: set[int] = set()
        self.out: set[int] = set()
        self.late = 0
        self.tries: dict[int, int] = defaultdict(int)
        self.came = asyncio.Event()


class _MemorySubscription(Subscription):
    def __init__(self, broker: MemoryBroker, topic: str, group: _Group) -> None:
        self._broker = broker
        self._topic = topic
        self._group = group
        self._mine: set[int] = set()
        self._late: set[int] = set()
        self._timers: list[Timer] = []

    async def pull(self, most: int, patience: float) -> Sequence[Message]:
        group = self._group
        try:
            async with asyncio.timeout(patience):
                while not (found := self._take(most)):
                    group.came.clear()
                    await group.came.wait()
        except TimeoutError:
            return []
        return found

    async def acknowledge(self, messages: Sequence[Message]) -> None:
        self._broker.check(self._topic)
        self._drop({message.token for message in messages})

    async def give_back(self, messages: Sequence[Message], delay: int = 0) -> None:
        self._broker.check(self._topic)
        places = {message.token for message in messages} & self._mine
        self._drop(places)
        if not delay:
            self._again(places)
            return
        self._late |= places
        self._group.late += len(places)
        clock = self._broker.clock
        self._timers.append(clock.call_at(clock.now() + delay, lambda: self._again_late(places)))

    async def keep(self, messages: Sequence[Message]) -> None:
        return None

    async def lag(self) -> int | None:
        self._broker.check(self._topic)
        group = self._group
        kept = len(self._broker.after(self._topic))
        return kept - group.following + len(group.again) + len(group.out) + group.late

    async def close(self) -> None:
        for timer in self._timers:
            timer.cancel()
        mine = set(self._mine)
        self._drop(mine)
        self._again_late(set(self._late))
        self._again(mine)

    def _take(self, most: int) -> list[Message]:
        self._broker.check(self._topic)
        group, kept = self._group, self._broker.after(self._topic)
        places = sorted(group.again)[:most]
        group.again.difference_update(places)
        end = min(len(kept), group.following + most - len(places))
        places += range(group.following, end)
        group.following = end
        group.out.update(places)
        self._mine.update(places)
        for place in places:
            group.tries[place] += 1
        return [msgspec.structs.replace(kept[place], tries=group.tries[place]) for place in places]

    def _drop(self, places: set[int]) -> None:
        self._group.out -= places & self._mine
        self._mine -= places

    def _again_late(self, places: set[int]) -> None:
        self._late -= places
        self._group.late -= len(places)
        self._again(places)

    def _again(self, places: set[int]) -> None:
        self._group.again |= places
        self._group.came.set()
