"""Several engines that share shards out, on one store in memory and one clock that stands still."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from stepwell.base.derive import derived_bytes
from stepwell.base.errors import StoreError
from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.engine import Engine, Limits
from stepwell.engine.membership import Joining
from stepwell.execution.codec import Codec
from stepwell.store.memory.content import Content
from stepwell.store.memory.store import MemoryStore
from tests.engine.world import SECOND, HandDispatcher, PlainCipher
from tests.virtual_clock import VirtualClock, VirtualTimer

SHARDS = 6
MOMENT = 40_000
"""Microseconds in which a few nodes have looked at what one of them told the others, and at what came of that."""


class NodeClock:
    """The clock of one node: while it is frozen nothing rings; what should have rung does when it thaws."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._missed: list[VirtualTimer] = []
        self.frozen = False

    def now(self) -> int:
        return self._clock.now()

    def call_at(self, instant: int, callback: Callable[[], None]) -> VirtualTimer:
        def ring() -> None:
            if self.frozen:
                self._missed.append(timer)
            else:
                callback()

        timer = self._clock.call_at(instant, ring)
        return timer

    def thaw(self) -> None:
        self.frozen = False
        missed, self._missed = self._missed, []
        for timer in missed:
            timer.fire()


class NodeStore:
    """The way of one node to the store: it may be cut, or stand still because the node does."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.cut = False
        self.going = asyncio.Event()
        self.going.set()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **named: Any) -> Any:
            await self.going.wait()
            if self.cut:
                raise StoreError("the store is out of reach")
            answer = await found(*args, **named)
            await self.going.wait()
            return answer

        return call


class Node:
    """One engine of a cluster."""

    def __init__(self, cluster: Cluster, name: str) -> None:
        self.name = name
        self.cluster = cluster
        self.clock = NodeClock(cluster.clock)
        self.memory = MemoryStore(cluster.content)
        self.store = NodeStore(self.memory)
        self.work = HandDispatcher()
        self.engine = Engine(
            self.store,
            cluster.codec,
            self.clock,
            cluster.plan_of,
            name,
            Limits(),
            None,
            cluster.entropy,
            joins=Joining(shards=SHARDS),
        )
        self.engine.connect(self.work)

    @property
    def shards(self) -> list[int]:
        return sorted(self.engine.shards)

    def freeze(self) -> None:
        """The process is stopped, as SIGSTOP does."""
        self.clock.frozen = True
        self.store.going.clear()

    async def thaw(self) -> None:
        self.store.going.set()
        self.clock.thaw()
        await self.cluster.clock.settle()

    async def die(self) -> None:
        """The process is killed: nothing is given up."""
        self.freeze()
        for task in [*self.engine._ground.background._tasks, self.engine._loop.committer._task]:
            if task is not None:
                task.cancel()
        await asyncio.gather(*self.engine._ground.background._tasks, return_exceptions=True)
        content = self.cluster.content
        content.connected.remove(self.memory._on_posted)
        content.cluster.listeners.remove(self.memory._on_node)
        self.cluster.nodes.remove(self)

    async def start(self, definition: WorkflowDefinition, given: Any = None, key: str | None = None) -> str:
        execution = await self.engine.start(self.cluster.plan(definition), given, start_key=key)
        await self.cluster.clock.settle()
        return execution

    async def done(self, step: str, result: Any = None) -> None:
        """The oldest attempt of the step at work here ends."""
        self.engine.report(self.work.end(step, self.clock.now(), result))
        await self.cluster.clock.settle()


class Cluster:
    """Nodes on one store."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.content = Content()
        self.codec = Codec(PlainCipher())
        self.nodes: list[Node] = []
        self._plans: dict[str, Plan] = {}
        self._drawn = 0

    async def join(self, name: str) -> Node:
        """One more node; it has its share when this returns, if others give it up at once."""
        node = Node(self, name)
        await node.memory.open()
        self.nodes.append(node)
        await node.engine.open()
        await self.clock.advance(MOMENT)
        return node

    async def leave(self, node: Node, within: int = 0) -> None:
        """The node drains and goes."""
        draining = asyncio.create_task(node.engine.drain(within))
        await self.clock.advance(MOMENT)
        await draining
        await node.engine.close()
        await node.memory.close()
        self.nodes.remove(node)
        await self.clock.advance(MOMENT)

    def owners(self) -> dict[int, str | None]:
        """Who owns which shard at this moment, as the store has it."""
        now = self.clock.now()
        known = self.content.shards
        return {
            shard: known[shard].owner if shard in known and known[shard].is_alive(now) else None
            for shard in range(SHARDS)
        }

    def counts(self) -> dict[str, int]:
        """How many shards each node owns."""
        return {node.name: len(node.shards) for node in self.nodes}

    def plan(self, definition: WorkflowDefinition) -> Plan:
        return self._plans.setdefault(definition.digest, Plan(definition))

    async def plan_of(self, digest: str) -> Plan:
        return self._plans[digest]

    def entropy(self, size: int) -> bytes:
        self._drawn += 1
        return derived_bytes(b"cluster", self._drawn, size=size)

    def node_of(self, execution: str) -> Node:
        """The node that owns the execution's shard."""
        shard = self.content.records[execution].handle.shard
        return next(node for node in self.nodes if shard in node.shards)


@asynccontextmanager
async def a_cluster(*names: str) -> AsyncIterator[Cluster]:
    """Nodes of these names."""
    cluster = Cluster()
    for name in names:
        await cluster.join(name)
    try:
        yield cluster
    finally:
        for node in list(cluster.nodes):
            node.store.cut = False
            await node.thaw()
            node.engine._loop.outgoing.telling.under_way.clear()
            await node.engine.close()
            await node.memory.close()


__all__ = ["MOMENT", "SECOND", "SHARDS", "Cluster", "Node", "a_cluster"]
