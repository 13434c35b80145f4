"""What a workload runs on: one PostgreSQL server, some nodes, and workers elsewhere if need be."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks.postgres.layouts import QUEUE, Layout
from benchmarks.postgres.tasks import KEYS
from benchmarks.workflows import chain
from tests.servers.nats import NatsServer, nats_binary
from tests.servers.postgres import PostgresServer, programs

ROOT: Final = Path(__file__).parents[2]
KEY: Final = base64.b64encode(bytes(32)).decode()
WORKERS: Final = 2
ROOM: Final = {"shared_buffers": "256MB", "min_wal_size": "1GB", "max_wal_size": "4GB"}
"""Enough that no checkpoint falls into a round."""


class Child:
    """A process that answers lines with lines, or none."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def ask(self, do: str, **more: Any) -> Any:
        """Its answer.

        Raises:
            RuntimeError: it has ended.
        """
        await self.tell(do, **more)
        return await self.answer()

    async def tell(self, do: str, **more: Any) -> None:
        """Ask, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **more}).encode() + b"\n")
        await self._process.stdin.drain()

    async def answer(self) -> Any:
        """To what was asked."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the process has ended with status {await self._process.wait()}")
        return json.loads(line)

    async def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()
        await self._process.wait()

    async def stop(self) -> None:
        """Have it end."""
        if self._process.returncode is None:
            if self._process.stdin is not None:
                self._process.stdin.close()
            else:
                self._process.terminate()
            try:
                await asyncio.wait_for(self._process.wait(), 20)
            except TimeoutError:
                await self.kill()


class Cluster:
    """What runs. `store` is the URL of its schema, `raw` that of the same server for the yardstick."""

    def __init__(self, store: str, raw: str, environment: Mapping[str, str]) -> None:
        self.store = store
        self.raw = raw
        self._environment = environment
        self.nodes: list[Child] = []
        self.workers: list[Child] = []

    async def add_node(self) -> Child:
        """One more; ready."""
        child = await self._child("benchmarks.postgres.node", self.store)
        await child.answer()
        self.nodes.append(child)
        return child

    async def add_worker(self) -> Child:
        """One more that fetches through NATS."""
        tasks = str(Path(__file__).with_name("tasks.py"))
        child = await self._child("stepwell", "worker", "--queue", QUEUE, "--import", tasks, "--concurrency", "200")
        self.workers.append(child)
        return child

    async def stop(self) -> None:
        """End everything."""
        await asyncio.gather(*(child.stop() for child in (*self.workers, *self.nodes)))

    async def _child(self, module: str, *arguments: str) -> Child:
        is_node = module != "stepwell"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, *arguments,
            env=self._environment, cwd=ROOT, limit=1 << 26,
            stdin=PIPE if is_node else None, stdout=PIPE if is_node else asyncio.subprocess.DEVNULL,
            stderr=None if is_node else asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        return Child(process)


@contextmanager
def server() -> Iterator[PostgresServer]:
    """A server with the durability that it has by default."""
    started = PostgresServer(programs(), durable=True, **ROOM)
    try:
        started.start()
        yield started
    finally:
        started.close()


@asynccontextmanager
async def cluster(server: PostgresServer, layout: Layout, keys: Path | None = None) -> AsyncIterator[Cluster]:
    """Nodes and workers on a fresh schema.

    Args:
        keys: the file into which steps that were done are noted.
    """
    nats = NatsServer(nats_binary()) if layout.is_remote else None
    environment = {**os.environ, "STEPWELL_KEY": KEY, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    if keys is not None:
        environment[KEYS] = str(keys)
    if nats is not None:
        nats.start()
        environment |= {"BENCH_NATS": nats.url, "STEPWELL_NATS": nats.url}
    running = Cluster(server.fresh_url(), server.url(), environment)
    try:
        for _ in range(layout.nodes):
            await running.add_node()
        await asyncio.gather(*(node.ask("settled", nodes=layout.nodes) for node in running.nodes))
        for _ in range(WORKERS if layout.is_remote else 0):
            await running.add_worker()
        await running.nodes[0].ask("run", definition=chain(1, layout.step), count=1)  # until workers are there
        yield running
    finally:
        await running.stop()
        if nats is not None:
            nats.close()


def seconds_of(spans: Sequence[Sequence[float]]) -> float:
    """From the first beginning to the last end."""
    return max(end for _, end in spans) - min(began for began, _ in spans)
