"""A worker whose steps are done by a Dask cluster: its scheduler and one worker run in this process, over TCP."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from stepwell.ports.work import TaskContext
from stepwell.worker.dask_call import Call
from stepwell.worker.dask_cluster import DaskCluster, DaskHandler, DaskOptions
from stepwell.worker.local import LocalWorker
from tests.conformance.dispatcher import SECRETS, DispatcherHarness, KnownSecrets, Work
from tests.virtual_clock import VirtualClock

QUIET = 0.03
_WORKS: dict[int, tuple[Work, asyncio.AbstractEventLoop]] = {}
_numbers = itertools.count()


def started_cluster(threads: int = 8) -> Any:
    """A scheduler and a worker, in threads of their own."""
    import distributed

    return distributed.LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1, threads_per_worker=threads, processes=False, dashboard_address=None, protocol="tcp://",
        silence_logs=50,
    )  # fmt: skip


def do(number: int, config: Any, context: TaskContext) -> Any:
    """What is called on the Dask worker: the work of a test, which is done on the test's event loop."""
    work, loop = _WORKS[number]

    async def working() -> Any:
        return await work(config, context)

    return asyncio.run_coroutine_threadsafe(working(), loop).result()


class DaskHarness(DispatcherHarness):
    """The worker under test."""

    def __init__(self, address: str, work: Work) -> None:
        super().__init__()
        number = next(_numbers)
        _WORKS[number] = (work, asyncio.get_running_loop())
        self.clock = VirtualClock()
        self.cluster = DaskCluster(DaskOptions(scheduler=address))
        self.cluster.check()
        handler = DaskHandler(self.cluster, lambda config, context: Call(do, (number, config, context), {}))
        self.dispatcher = self.worker = LocalWorker(
            {"work": handler}, self.take, self.clock, KnownSecrets(SECRETS), max_concurrent=1_000
        )

    async def advance(self, duration: int) -> None:
        await self.rest()
        await self.clock.advance(duration)
        await self.rest()

    async def rest(self) -> None:
        for _ in range(3):
            await self.clock.settle()
            await asyncio.sleep(QUIET)
