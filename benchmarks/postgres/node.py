"""A node in a process of its own: `python -m benchmarks.postgres.node`. It does what is asked for, line by line.

A line is JSON with `do` and what that needs; the answer is a line of JSON. Instants are of the machine's monotonic
clock, which all processes share.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.engine import Ends
from benchmarks.postgres.tasks import nothing
from stepwell.app.cluster import joining_of
from stepwell.app.configuration import configuration_from
from stepwell.app.process import settle_process
from stepwell.app.registries import Registries
from stepwell.app.session import Session, open_session, owner_name
from stepwell.execution.event import Event

BATCH: Final = 1_000


class Node:
    """What a node can be asked for."""

    def __init__(self, session: Session, ends: Ends, shards: int) -> None:
        self._shards = shards
        self._session = session
        self._ends = ends
        self.asked: Mapping[str, Callable[..., Awaitable[Any]]] = {
            "settled": self.settled,
            "run": self.run,
            "start": self.start,
            "one_by_one": self.one_by_one,
            "park": self.park,
            "wake": self.wake,
            "memory": self.memory,
        }

    async def settled(self, nodes: int) -> None:
        """Wait until this one of so many nodes owns its share of the shards, and is working in all of them."""
        least, left = divmod(self._shards, nodes)
        while len(self._session.engine.shards) not in {least, least + bool(left)}:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.05)

    async def run(self, definition: str, count: int) -> list[float]:
        """Start so many at once, and wait until all have completed; when it began and ended."""
        plan = await self._session.definitions.plan_of(definition)
        self._ends.expect(count)
        began = time.perf_counter()
        await asyncio.gather(*(self._session.engine.start(plan, None) for _ in range(count)))
        await self._ends.all()
        return [began, time.perf_counter()]

    async def start(self, definition: str, count: int) -> None:
        """Start so many at once."""
        plan = await self._session.definitions.plan_of(definition)
        await asyncio.gather(*(self._session.engine.start(plan, None) for _ in range(count)))

    async def one_by_one(self, definition: str, count: int) -> list[float]:
        """The seconds that each took from its start to its end."""
        plan = await self._session.definitions.plan_of(definition)
        engine = self._session.engine
        found = []
        for _ in range(count):
            began = time.perf_counter()
            await engine.ended(await engine.start(plan, None))
            found.append(time.perf_counter() - began)
        return found

    async def park(self, definition: str, first: int, end: int) -> None:
        """Start executions that wait for the events of the orders from `first` up to `end`."""
        plan = await self._session.definitions.plan_of(definition)
        for batch in range(first, end, BATCH):
            orders = range(batch, min(batch + BATCH, end))
            await asyncio.gather(*(self._session.engine.start(plan, {"order": order}) for order in orders))

    async def wake(self, definition: str, order: int) -> float:
        """Start one execution that waits, and wake it; the seconds from the event until it has completed."""
        plan = await self._session.definitions.plan_of(definition)
        engine = self._session.engine
        execution = await engine.start(plan, {"order": order})
        event = Event(id=str(order), type="order.paid", source="bench", data={"order": order})
        began = time.perf_counter()
        await engine.publish(event)
        await engine.ended(execution)
        return time.perf_counter() - began

    async def memory(self) -> int:
        """Bytes that this process has in memory."""
        gc.collect()
        for line in Path("/proc/self/status").read_text("ascii").splitlines():  # noqa: ASYNC240 - nobody else waits
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1_024
        raise RuntimeError("this system does not say how much memory a process has")


async def _main(store: str, nats: str | None) -> None:
    ends = Ends()
    settle_process()
    settings: dict[str, Any] = {"state_store": {"type": "postgresql", "connection_string": store}}
    if nats is not None:
        settings["nats"] = {"url": nats}
    configuration = configuration_from(settings)
    joins = joining_of(configuration, owner_name())
    async with open_session(configuration, Registries([nothing]), observer=ends, joins=joins) as session:
        node = Node(session, ends, joins.shards)
        _say("ready")
        lines = await _lines()
        while line := await lines.readline():
            asked = json.loads(line)
            _say(await node.asked[asked.pop("do")](**asked))


async def _lines() -> asyncio.StreamReader:
    reader = asyncio.StreamReader(limit=1 << 26)  # a definition of 10,000 steps is a line
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    return reader


def _say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], os.environ.get("BENCH_NATS")))
