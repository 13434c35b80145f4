"""An engine's side and workers, with a real NATS server between them and a virtual clock for leases."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import nats.errors

from stepwell.execution.work import Assignment
from stepwell.ports.work import Dispatcher
from stepwell.worker.nats_door import NatsDoor
from stepwell.worker.nats_fetching import NatsFetching
from stepwell.worker.nats_link import NatsOptions
from stepwell.worker.remote import RemoteWorker
from tests.conformance.dispatcher import SECRETS, FetchedHarness, KnownSecrets, Work, WorkHandler
from tests.servers.nats import new_prefix
from tests.virtual_clock import VirtualClock
from tests.worker.test_queues import AllQueued

QUIET = 0.015
"""Seconds in which nothing may happen for it to be quiet."""


class Node(Dispatcher):
    """An engine's side: queues, and the door to NATS.

    What names no queue is put into the queue `q`.
    """

    def __init__(self, harness: NatsHarness, **options: Any) -> None:
        self.queued = AllQueued(harness.take, harness.clock, KnownSecrets(SECRETS))
        self.queues = self.queued.queues
        self.door = NatsDoor(self.queues, self.queued.reports, harness.options, **options)

    def dispatch(self, assignment: Assignment) -> None:
        self.queued.dispatch(assignment)

    def stop(self, assignment_id: str) -> None:
        self.queued.stop(assignment_id)

    def leave(self, assignment_id: str) -> None:
        self.queued.leave(assignment_id)

    def outlives(self, assignment_id: str) -> bool:
        return self.queued.outlives(assignment_id)

    async def close(self) -> None:
        await self.door.close()
        await self.queued.close()


class Worker:
    """A worker, and its way to NATS."""

    def __init__(
        self, harness: NatsHarness, name: str, work: Work, type_: str, labels: Mapping[str, str], slots: int
    ) -> None:
        self.fetching = NatsFetching(harness.options, harness.clock, name, ["q"], labels)
        self.remote = RemoteWorker(self.fetching, {type_: WorkHandler(work)}, harness.clock, slots)
        self._connected = self.fetching.link._connected
        self.running: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self.fetching.open()
        self.running = asyncio.create_task(self.remote.run())
        await self.fetching.link.up()

    async def cut_off(self) -> None:
        async def refused(gone: asyncio.Event) -> Any:
            raise ConnectionError("cut off")

        self.fetching.link._connected = refused  # type: ignore[method-assign]
        await self.fetching.link.client.close()

    async def reconnect(self) -> None:
        self.fetching.link._connected = self._connected  # type: ignore[method-assign]
        await self.fetching.link.up()

    async def close(self) -> None:
        if self.running is not None:
            self.running.cancel()
            await asyncio.gather(self.running, return_exceptions=True)
        await self.fetching.close()


class NatsHarness(FetchedHarness):
    """A node and workers."""

    def __init__(self, url: str, **options: Any) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.options = NatsOptions(urls=[url], prefix=new_prefix())
        self.node = Node(self, **options)
        self.dispatcher = self.node
        self.nodes = [self.node]
        self.workers: dict[str, Worker] = {}

    async def open(self) -> None:
        await self.node.door.open()
        await self.node.door.link.up()

    async def add_node(self, **options: Any) -> Node:
        """One node more, on the same subjects."""
        self.nodes.append(Node(self, **options))
        await self.nodes[-1].door.open()
        await self.nodes[-1].door.link.up()
        return self.nodes[-1]

    async def add_worker(
        self, name: str, work: Work, *, type_: str = "work", labels: Mapping[str, str] = {}, slots: int = 50
    ) -> None:
        self.workers[name] = Worker(self, name, work, type_, labels, slots)
        await self.workers[name].open()

    async def cut_off(self, name: str) -> None:
        await self.workers[name].cut_off()

    async def reconnect(self, name: str) -> None:
        await self.workers[name].reconnect()

    async def advance(self, duration: int) -> None:
        await self.rest()
        await self.clock.advance(duration)
        await self.rest()

    async def rest(self) -> None:
        """Let everybody say and hear what there is to say, and do what follows from it."""
        links = [node.door.link for node in self.nodes] + [worker.fetching.link for worker in self.workers.values()]
        seen, quiet = -1, 0
        while quiet < 3:
            said = 0
            for link in links:
                if link.is_up:
                    with suppress(nats.errors.Error, ConnectionError):  # it is lost in this moment
                        await link.client.flush()
                        said += link.client.stats["in_msgs"] + link.client.stats["out_msgs"]
            await self.clock.settle()
            await asyncio.sleep(QUIET)
            seen, quiet = said, quiet + 1 if said == seen else 0

    async def close(self) -> None:
        for worker in self.workers.values():
            await worker.close()
        for node in self.nodes:
            await node.close()
