"""A store in memory, engines on it, and their schedules, on a clock that stands still."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from stepwell.app.configuration import configuration_from
from stepwell.app.registries import Registries
from stepwell.app.schedule_firing import ScheduleFiring
from stepwell.app.schedule_runner import ScheduleRunner
from stepwell.app.schedules import Schedules
from stepwell.app.session import Session, open_session
from stepwell.base.instants import from_rfc3339, to_rfc3339
from stepwell.base.spans import Source
from stepwell.dialects.writing import as_text
from stepwell.ports.ledger import JournalQuery
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.store import Store
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock

MONDAY = from_rfc3339("2026-11-16T08:00:00Z")


def workflow(*triggers: dict[str, Any], name: str = "report", version: str = "1.0.0", **spec: Any) -> dict[str, Any]:
    """A workflow that gives its input back."""
    return {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": name, "version": version},
        "spec": {
            "triggers": list(triggers),
            "steps": [{"name": "only", "type": "transform", "config": {"value": "{{ input }}"}}],
            **spec,
        },
    }


class Node:
    """An engine on a store, its schedules, and what fires them."""

    def __init__(self, store: Store, session: Session, clock: VirtualClock) -> None:
        triggering = session.triggering
        self.store = store
        self.session = session
        self.clock = clock
        firing = ScheduleFiring(
            store, session.codec, triggering.triggers, triggering.firings, session.definitions.stored
        )
        self.runner = ScheduleRunner(store, triggering.triggers, firing, clock, look_every=None)
        self.schedules = Schedules(store, session.codec, firing, self.runner.look)

    async def register(self, document: dict[str, Any]) -> None:
        source = Source("w.yaml", as_text(document, "json"))
        await self.session.definitions.register(source, at=self.clock.now(), by="ann", reason="test")
        self.runner.look()
        await self.clock.settle()

    async def started(self) -> list[str]:
        """When executions were created, the oldest first."""
        page = await self.store.list(ExecutionQuery(limit=1_000))
        return [to_rfc3339(item.created.created_at) for item in reversed(page.items)]

    async def inputs(self) -> list[Any]:
        """What they were started with, the oldest first."""
        page = await self.store.list(ExecutionQuery(limit=1_000))
        reading = [await self.session.engine.state(item.id) for item in reversed(page.items)]
        return [state.input for state in reading]

    async def noted(self) -> list[tuple[str, Any]]:
        """The outcomes and due times in the journal."""
        page = await self.session.triggering.firings.list(limit=1_000)
        return [(item["outcome"], item["due_at"]) for item in reversed(page["items"])]

    async def journal(self) -> int:
        return len(await self.store.journal(JournalQuery(kind="firing", limit=10_000)))


@asynccontextmanager
async def node_on(store: Store, clock: VirtualClock, *, running: bool = True) -> AsyncIterator[Node]:
    """An engine on the store; its schedules run only if `running`."""
    configuration = configuration_from({"state_store": {"type": "memory"}})
    async with open_session(configuration, Registries(), store=store, clock=clock, take_over=True) as session:
        node = Node(store, session, clock)
        if not running:
            yield node
            return
        async with node.runner:
            await clock.settle()
            yield node


@asynccontextmanager
async def memory_store() -> AsyncIterator[MemoryStore]:
    store = MemoryStore()
    await store.open()
    yield store
    await store.close()
