"""Jobs that do nothing, with a result: through the engine's own worker, NATS and Dask, side by side.

    python -m benchmarks.remote_work [JOBS]

Everything runs on this machine: a NATS server from its wheel with one worker in a process of its own, and a Dask
scheduler with one worker, too. Printed are jobs per second with all given at once, and the time of one at a time.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from stepwell.base.clock import SystemClock
from stepwell.execution.work import Assignment, Report
from stepwell.ports.work import Dispatcher, TaskContext, TaskHandler, TaskResult
from stepwell.worker.dask_call import Call
from stepwell.worker.dask_cluster import DaskCluster, DaskHandler, DaskOptions
from stepwell.worker.local import LocalWorker
from stepwell.worker.nats_door import NatsDoor
from stepwell.worker.nats_fetching import NatsFetching
from stepwell.worker.nats_link import NatsOptions
from stepwell.worker.remote import RemoteWorker
from stepwell.worker.routing import QueueDispatcher
from tests.conformance.dispatcher import KnownSecrets, assignment
from tests.servers.nats import new_server

ONE_AT_A_TIME = 200
SLOTS = 200


class Nothing(TaskHandler):
    """Does nothing, and says so."""

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        return TaskResult({"done": True})


def nothing() -> dict[str, bool]:
    """The same as a function."""
    return {"done": True}


class Measured:
    """Counts reports, and says when all have come."""

    def __init__(self) -> None:
        self.missing = 0
        self.over = asyncio.Event()

    def take(self, report: Report) -> None:
        assert report.error is None, report.error
        self.missing -= 1
        if not self.missing:
            self.over.set()

    async def run(self, dispatcher: Dispatcher, jobs: list[Assignment]) -> float:
        """Seconds for all of them."""
        self.missing = len(jobs)
        self.over.clear()
        began = time.perf_counter()
        for job in jobs:
            dispatcher.dispatch(job)
        await self.over.wait()
        return time.perf_counter() - began


@asynccontextmanager
async def local(measured: Measured) -> AsyncIterator[Dispatcher]:
    """The engine's own pool."""
    worker = LocalWorker({"work": Nothing()}, measured.take, SystemClock(), KnownSecrets({}))
    yield worker
    await worker.close()


@asynccontextmanager
async def through_nats(measured: Measured) -> AsyncIterator[Dispatcher]:
    """A worker in another process, and NATS between."""
    server = new_server()
    command = [sys.executable, "-m", "benchmarks.remote_work", "--worker", server.url]
    process = await asyncio.to_thread(lambda: subprocess.Popen(command, stdin=subprocess.PIPE))
    queued = QueueDispatcher(measured.take, SystemClock(), KnownSecrets({}))
    door = NatsDoor(queued.queues, queued.reports, NatsOptions(urls=[server.url]))
    await door.open()
    try:
        yield queued
    finally:
        process.kill()
        process.wait()
        await door.close()
        await queued.close()
        server.close()


@asynccontextmanager
async def through_dask(measured: Measured) -> AsyncIterator[Dispatcher]:
    """A Dask cluster of one worker."""
    command = [sys.executable, "-m", "tests.worker.dask_harness"]
    process = await asyncio.to_thread(
        lambda: subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    )
    assert process.stdout is not None
    address = (await asyncio.to_thread(process.stdout.readline)).strip()
    cluster = DaskCluster(DaskOptions(scheduler=address))
    cluster.check()
    handler = DaskHandler(cluster, lambda config, context: Call(nothing, (), {}))
    worker = LocalWorker({"work": handler}, measured.take, SystemClock(), KnownSecrets({}), max_concurrent=1_000)
    try:
        yield worker
    finally:
        await worker.close()
        process.kill()
        process.communicate()


async def serve(url: str) -> None:
    """Be the worker."""
    fetching = NatsFetching(NatsOptions(urls=[url]), SystemClock(), "bench", ["q"], {})
    await fetching.open()
    await RemoteWorker(fetching, {"work": Nothing()}, SystemClock(), SLOTS).run()


async def main(jobs: int) -> None:
    """Measure all of them."""
    print(f"{'':14}{'jobs/s':>10}{'p50 ms':>10}{'p95 ms':>10}")
    for way, count in ((local, jobs), (through_nats, jobs), (through_dask, jobs // 10)):
        measured = Measured()
        async with way(measured) as dispatcher:
            await measured.run(dispatcher, [_job("first")])
            single = [1_000 * await measured.run(dispatcher, [_job(f"one{number}")]) for number in range(ONE_AT_A_TIME)]
            taken = await measured.run(dispatcher, [_job(f"s{number}") for number in range(count)])
        cuts = statistics.quantiles(single, n=20)
        print(f"{way.__name__:14}{count / taken:10,.0f}{cuts[9]:10.2f}{cuts[18]:10.2f}", flush=True)


def _job(step: str) -> Assignment:
    return msgspec.structs.replace(assignment(step, {"number": 1}), queue="q")


if __name__ == "__main__":
    import uvloop

    run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    if sys.argv[1:2] == ["--worker"]:
        run(serve(sys.argv[2]))
    else:
        run(main(int(sys.argv[1]) if sys.argv[1:] else 10_000))
