"""A worker whose steps are done by a Dask cluster: its scheduler and one worker run in this process, over TCP.

Run as a program, it is such a cluster, prints its address, and ends with its standard input.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
import time
from collections.abc import Callable
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
        n_workers=1, threads_per_worker=threads, processes=False, dashboard_address="127.0.0.1:0", protocol="tcp://",
        silence_logs=50,
    )  # fmt: skip


def do(number: int, config: Any, context: TaskContext) -> Any:
    """What is called on the Dask worker: the work of a test, which is done on the test's event loop."""
    work, loop = _WORKS[number]

    async def working() -> Any:
        return await work(config, context)

    return asyncio.run_coroutine_threadsafe(working(), loop).result()


def slow(seconds: float) -> str:
    """Takes so long."""
    time.sleep(seconds)
    return "slept"


class DaskHarness(DispatcherHarness):
    """The worker under test.

    Args:
        function: what the cluster calls with the configuration; what the test does when None.
    """

    def __init__(self, address: str, work: Work, function: Callable[[Any], Any] | None = None) -> None:
        super().__init__()
        number = next(_numbers)
        _WORKS[number] = (work, asyncio.get_running_loop())
        self.clock = VirtualClock()
        self.cluster = DaskCluster(DaskOptions(scheduler=address))
        self.cluster.check()

        def prepare(config: Any, context: TaskContext) -> Call:
            return Call(function, (config,), {}) if function is not None else Call(do, (number, config, context), {})

        handler = DaskHandler(self.cluster, prepare)
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


if __name__ == "__main__":
    print(started_cluster().scheduler_address, flush=True)
    sys.stdin.read()
