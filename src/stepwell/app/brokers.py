"""The brokers of a server: the topics that are read, and the sinks that are told, as long as it runs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from stepwell.app.broker_claims import Holding
from stepwell.app.broker_messages import Traces
from stepwell.app.broker_opening import configured_brokers
from stepwell.app.broker_sections import AnyBroker, BrokerName, Events
from stepwell.app.broker_sinks import UNDELIVERED, Sink, sink_place
from stepwell.app.broker_sources import Source, ended
from stepwell.app.broker_taking import Taking
from stepwell.app.configuration import Configuration
from stepwell.app.lifecycle import Bell
from stepwell.app.lookout import Lookout
from stepwell.app.reading import Reading
from stepwell.app.session import Session
from stepwell.app.subscription_documents import matches_any
from stepwell.app.triggers import ActiveTrigger
from stepwell.base.clock import Clock
from stepwell.base.instants import to_rfc3339
from stepwell.ports.brokers import Broker
from stepwell.ports.ledger import JournalQuery
from stepwell.telemetry.metrics import BrokerFigures


class _Unread(NamedTuple):
    """A trigger whose topic is not read: of which workflow, of which broker if that is known, and why."""

    workflow: str
    broker: BrokerName | None
    text: str


class Brokers:
    """Reads topics, and tells sinks.

    Args:
        brokers: those of the configuration, by name.
        node: unique text for this process.
    """

    grave = False
    """A broker that is down keeps nobody from using the server."""

    def __init__(
        self,
        configuration: Configuration,
        brokers: Mapping[BrokerName, Broker],
        session: Session,
        reading: Reading,
        bell: Bell,
        clock: Clock,
        node: str,
    ) -> None:
        self._events: Events = configuration.events
        self._brokers = brokers
        self._session = session
        self._bell = bell
        self._clock = clock
        self._node = node
        self._sources: dict[tuple[BrokerName, str], tuple[Source, asyncio.Task[None]]] = {}
        self._unread: list[_Unread] = []
        self._arranging = asyncio.Lock()
        self._lookout = Lookout(self._arrange, session.store, "registration", clock)
        self._tasks: list[asyncio.Task[None]] = []
        traces = Traces(session.store, session.codec, configuration.tracing)
        sections = self._events.brokers()
        self._sinks = {
            name: Sink(
                name,
                section,
                brokers[section.broker],
                sections[section.broker].dead_letter,
                session.store,
                session.codec,
                reading,
                traces,
                clock,
                node,
            )
            for name, section in self._events.sinks.items()
        }

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Brokers]:
        """Read and tell as long as this lasts.

        Raises:
            StoreError: the store cannot be read.
        """
        self._tasks = [
            asyncio.create_task(sink.run(), name=f"stepwell sink {name}") for name, sink in self._sinks.items()
        ]
        if self._sinks:
            self._tasks.append(asyncio.create_task(self._listen(), name="stepwell sinks"))
        try:
            if self._brokers:
                await self._lookout.open()
            yield self
        finally:
            await self._lookout.close()
            await ended([*self._tasks, *(task for _, task in self._sources.values())])
            await asyncio.gather(*(broker.close() for broker in self._brokers.values()), return_exceptions=True)

    async def look(self) -> None:
        """Look at once which topics are to be read."""
        await self._arrange()

    def problem(self) -> str | None:
        """What is wrong, a sentence; None when nothing is."""
        found = [each.text for each in self._unread]
        for (name, _), (source, _) in self._sources.items():
            state = source.state
            if state.problem is not None:
                found.append(f"topic {state.topic} of {name}: {state.problem}")
        found += [f"sink {name}: {sink.state.problem}" for name, sink in self._sinks.items() if sink.state.problem]
        return "; ".join(found) or None

    def figures(self) -> Sequence[BrokerFigures]:
        """For metrics."""
        found: list[BrokerFigures] = []
        for (name, topic), (source, _) in sorted(self._sources.items(), key=lambda each: each[0]):
            read = source.state
            found.append(
                BrokerFigures(
                    broker=name,
                    topic=topic,
                    direction="in",
                    counts=read.counts,
                    lag=read.lag,
                    is_well=read.problem is None,
                )
            )
        for sink_name, sink in self._sinks.items():
            told, section = sink.state, self._events.sinks[sink_name]
            found.append(
                BrokerFigures(
                    broker=section.broker,
                    topic=section.topic,
                    direction="out",
                    counts={"sent": told.sent, "refused": told.refused},
                    behind=told.behind if told.is_mine else None,
                    is_well=told.problem is None,
                )
            )
        return found

    async def report(self, sees: Callable[[str], bool] = lambda workflow: True) -> list[dict[str, Any]]:
        """The brokers, what is read from them, and what is told to them, as users see it. Counts are of this node.

        Args:
            sees: whether the reader may see a workflow.
        """
        return [
            {
                "name": name,
                "group": self._events.group_of(section),
                "dead_letter": section.dead_letter,
                "problems": [each.text for each in self._unread if each.broker in (None, name) and sees(each.workflow)],
                "sources": [
                    source.state.report() for (of, _), (source, _) in sorted(self._sources.items()) if of == name
                ],
                "sinks": [
                    await self._sink_report(sink) for sink, told in self._events.sinks.items() if told.broker == name
                ],
            }
            for name, section in self._events.brokers().items()
        ]

    async def undelivered(
        self, sees: Callable[[str], bool] = lambda workflow: True, limit: int = 50, before: int | None = None
    ) -> dict[str, Any]:
        """A page of the messages that brokers refuse for ever, newest first: `{"items": [...], "next": ...}`."""
        rows = await self._session.store.journal(
            JournalQuery(kind=UNDELIVERED, before=before, newest_first=True, limit=limit)
        )
        items = [{"number": row.number, "at": to_rfc3339(row.at), **json.loads(row.body)} for row in rows]
        return {
            "items": [each for each in items if sees(each["workflow"])],
            "next": rows[-1].number if len(rows) == limit else None,
        }

    async def _sink_report(self, name: str) -> dict[str, Any]:
        state, section = self._sinks[name].state, self._events.sinks[name]
        place = await sink_place(self._session.store, name)
        problem, since = state.problem, state.since
        if not state.is_mine and place is not None:
            problem, since = place.problem, place.since or None
        return {
            "name": name,
            "topic": section.topic,
            "send": list(section.send),
            "format": section.format,
            "carried_by": place.claim.node or None if place is not None else None,
            "problem": problem,
            "since": to_rfc3339(since) if since else None,
            "sent": state.sent,
            "refused": state.refused,
            "behind_ms": state.behind // 1_000 if state.is_mine else None,
            "sent_at": to_rfc3339(place.sent_at) if place is not None and place.sent_at else None,
        }

    async def _listen(self) -> None:
        """Wake the sinks whenever something is committed here."""
        with self._bell.heard() as rung:
            while True:
                await rung.wait()
                rung.clear()
                for sink in self._sinks.values():
                    sink.rung.set()

    async def _arrange(self) -> None:
        """Read every topic that is configured or that a trigger names, and no other."""
        async with self._arranging:
            await self._arrange_alone()

    async def _arrange_alone(self) -> None:
        sections = self._events.brokers()
        wanted = {(name, topic) for name, section in sections.items() for topic in section.topics}
        self._unread = []
        for trigger in await self._session.triggering.triggers.of("topic"):
            if trigger.compiled.trigger.active:
                self._want(trigger, wanted)
        for place in self._sources.keys() - wanted:
            _, task = self._sources.pop(place)
            await ended([task])
        for place in sorted(wanted - self._sources.keys()):
            source = self._source(*place, sections[place[0]])
            self._sources[place] = source, asyncio.create_task(source.run(), name=f"stepwell topic {place[1]}")

    def _want(self, trigger: ActiveTrigger, wanted: set[tuple[BrokerName, str]]) -> None:
        """Have the topic of a trigger read, or say why it is not."""
        topic, name = trigger.config["name"], broker_of(trigger, self._events)
        of = f"trigger {trigger.compiled.position} of {trigger.workflow}"
        section = self._events.brokers().get(name) if name is not None else None
        if name is None or section is None:
            named = trigger.config.get("broker")
            why = f"there is no broker {named!r}" if named else "it names no broker, and there are several"
            self._unread.append(_Unread(trigger.workflow, None, f"{of} starts nothing: {why}"))
        elif not matches_any(section.triggers, topic):
            text = f"{of} starts nothing: no trigger may name the topic {topic!r} of {name}"
            self._unread.append(_Unread(trigger.workflow, name, text))
        else:
            wanted.add((name, topic))

    def _source(self, name: BrokerName, topic: str, section: AnyBroker) -> Source:
        session, broker = self._session, self._brokers[name]

        async def triggers() -> Sequence[ActiveTrigger]:
            return [
                each
                for each in await session.triggering.triggers.of("topic")
                if each.config["name"] == topic and broker_of(each, self._events) == name
            ]

        taking = Taking(
            session.engine,
            session.store,
            session.triggering,
            self._clock,
            broker,
            name,
            topic,
            section.dead_letter,
            triggers,
        )
        holding = Holding(session.store, f"{name}/{topic}", self._node, self._clock) if section.ordered else None
        return Source(
            topic,
            broker,
            self._events.group_of(section),
            taking,
            self._clock,
            name=name,
            from_start=section.start == "earliest",
            holding=holding,
        )


def broker_of(trigger: ActiveTrigger, events: Events) -> BrokerName | None:
    """The name of the broker that a topic trigger means: the only one when it names none."""
    names = list(events.brokers())
    named = trigger.config.get("broker")
    if named is None:
        return names[0] if len(names) == 1 else None
    return named if named in names else None


@asynccontextmanager
async def open_brokers(
    configuration: Configuration,
    session: Session,
    reading: Reading,
    bell: Bell,
    clock: Clock,
    node: str,
    brokers: Mapping[BrokerName, Broker] | None = None,
) -> AsyncIterator[Brokers]:
    """The brokers of a server, while it runs. None is waited for.

    Args:
        brokers: what to use in place of those of the configuration.

    Raises:
        ConfigurationError: (code `missing-library`) what a broker needs is not installed; something in it is wrong.
    """
    used = brokers if brokers is not None else configured_brokers(configuration.events, session.secrets)
    async with Brokers(configuration, used, session, reading, bell, clock, node).open() as opened:
        yield opened
