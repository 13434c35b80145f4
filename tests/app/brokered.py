"""A server's brokers on a store in memory: its engine, what is read, what is told."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from stepwell.app.broker_sections import BrokerName
from stepwell.app.brokers import Brokers, open_brokers
from stepwell.app.configuration import configuration_from
from stepwell.app.lifecycle import Bell
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.session import Session, open_session
from stepwell.base.spans import Source
from stepwell.dialects.writing import as_text
from stepwell.ports.brokers import Broker, Message
from stepwell.ports.ledger import JournalQuery
from stepwell.ports.listings import DeadLetterQuery, ExecutionQuery
from stepwell.ports.store import Store
from tests.virtual_clock import VirtualClock

KAFKA = {"servers": ["unused:1"]}
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


class Node:
    """An engine on a store, and its brokers."""

    def __init__(self, store: Store, session: Session, brokers: Brokers, clock: VirtualClock) -> None:
        self.store = store
        self.session = session
        self.brokers = brokers
        self.clock = clock

    async def register(self, document: Mapping[str, Any]) -> None:
        source = Source("w.yaml", as_text(dict(document), "json"))
        await self.session.definitions.register(source, at=self.clock.now(), by="ann", reason="test")
        await self.brokers.look()
        await self.clock.settle()

    async def run(self, document: Mapping[str, Any]) -> str:
        plan = await self.session.definitions.plan_of(dict(document))
        execution = await self.session.engine.start(plan, {}, trace=TRACE)
        await self.clock.settle()
        return execution

    async def executions(self) -> list[str]:
        """The names of the workflows of what was started, oldest first."""
        page = await self.store.list(ExecutionQuery())
        return [each.created.workflow for each in reversed(page.items)]

    async def outputs(self) -> list[Any]:
        """The outputs of the only steps of what was started, oldest first."""
        page = await self.store.list(ExecutionQuery())
        reading = Reading(self.store, self.session.codec, self.session.definitions)
        return [(await reading.execution(each.id))["steps"][0]["output"] for each in reversed(page.items)]

    async def firings(self) -> list[tuple[str, str]]:
        rows = await self.store.journal(JournalQuery(kind="firing"))
        return [(each["kind"], each["outcome"]) for each in (json.loads(row.body) for row in rows)]

    async def dead(self) -> list[Any]:
        from stepwell.app.dead_events import DeadEvents

        return await DeadEvents(self.store).found(DeadLetterQuery(), "", 100)

    def source(self, topic: str = "orders") -> Any:
        return next(source for (_, name), (source, _) in self.brokers._sources.items() if name == topic)


@asynccontextmanager
async def node(
    store: Store,
    clock: VirtualClock,
    events: Mapping[str, Any],
    brokers: Mapping[BrokerName, Broker],
    name: str = "node",
    **more: Any,
) -> AsyncIterator[Node]:
    configuration = configuration_from({"state_store": {"type": "memory"}, "events": events, **more})
    bell = Bell()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            open_session(configuration, Registries(), store=store, clock=clock, observer=bell, has_queues=True)
        )
        reading = Reading(store, session.codec, session.definitions)
        opened = await stack.enter_async_context(
            open_brokers(configuration, session, reading, bell, clock, name, brokers)
        )
        await clock.settle()
        yield Node(store, session, opened, clock)


def message(body: Any, key: str | None = None, **more: Any) -> Message:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Message(topic="orders", body=written, key=key, **more)


def cloud_event(id_: str, type_: str = "order:paid", **data: Any) -> dict[str, Any]:
    return {"specversion": "1.0", "id": id_, "source": "shop", "type": type_, "data": data}
