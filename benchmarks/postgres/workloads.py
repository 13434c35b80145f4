"""W1 to W6 on PostgreSQL: with one node, with two, and with workers elsewhere."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Workload, median, percentile
from benchmarks.postgres.cluster import KEY, Cluster, cluster, seconds_of, server
from benchmarks.postgres.layouts import LAYOUTS, Layout
from benchmarks.postgres.raw import commit_seconds, rows_per_second
from benchmarks.workflows import chain, fan_out, waiting
from stepwell.app.configuration import configuration_from
from stepwell.app.session import cipher_for, open_store
from stepwell.execution.codec import Codec
from stepwell.execution.history import StepCompleted
from tests.servers.postgres import PostgresServer

STEPS: Final = 10
KEY_BYTES: Final = len("00000000-0000-0000-0000-000000000000/s1\n")
Figures = dict[str, float]


async def _together(running: Cluster, definition: str, count: int) -> float:
    """Each node starts its part of so many at once; the seconds until all have completed."""
    parts = [count // len(running.nodes)] * len(running.nodes)
    asked = (
        node.ask("run", definition=definition, count=part) for node, part in zip(running.nodes, parts, strict=True)
    )
    return seconds_of(await asyncio.gather(*asked))


async def throughput(on: PostgresServer, layout: Layout, folder: Path, quick: bool) -> Figures:
    """W1."""
    executions, rounds = (20, 2) if quick else (1_000, 3 if layout.is_remote else 11)
    raw: list[float] = []
    steps: list[float] = []
    costs: list[float] = []
    async with cluster(on, layout) as running:
        definition = chain(STEPS, layout.step)
        await _together(running, definition, executions)  # warm up
        for _ in range(rounds):
            raw.append(await rows_per_second(running.raw, commits=max(1, executions * STEPS // 50)))
            before = _processor_seconds(on)
            steps.append(executions * STEPS / await _together(running, definition, executions))
            costs.append((_processor_seconds(on) - before) * 1e6 / (executions * STEPS))
    return {
        "steps_per_second": median(steps),
        "raw_rows_per_second": median(raw),
        "database_us_per_step": median(costs),
        "ratio_to_raw": median(step / row for step, row in zip(steps, raw, strict=True)),
    }


def _processor_seconds(on: PostgresServer) -> float:
    """What the server's processes have used; the first one's figures hold those of processes that have ended."""
    first, *others = on._family()
    return (sum(_ticks(first)[10:14]) + sum(sum(_ticks(pid)[10:12]) for pid in others)) / os.sysconf("SC_CLK_TCK")


def _ticks(pid: int) -> list[int]:
    """Of a process that may have ended."""
    try:
        return [int(field) for field in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1:]]
    except OSError:
        return [0] * 20


async def width(on: PostgresServer, layout: Layout, folder: Path, quick: bool) -> Figures:
    """W2: with several nodes each runs one at the same time."""
    narrow, wide, rounds = (5, 50, 2) if quick else (1_000, 10_000, 3)
    times: dict[int, list[float]] = {narrow: [], wide: []}
    async with cluster(on, layout) as running:
        nodes = len(running.nodes)
        for _ in range(rounds):
            for count, seconds in times.items():
                repeats = wide // count
                definition = fan_out(count, layout.step)
                took = [await _together(running, definition, nodes) for _ in range(repeats)]
                seconds.append(sum(took) / repeats)
    return {
        f"seconds_for_{narrow}": median(times[narrow]),
        f"seconds_for_{wide}": median(times[wide]),
        "time_ratio": median(more / less for less, more in zip(times[narrow], times[wide], strict=True)),
    }


async def latency(on: PostgresServer, layout: Layout, folder: Path, quick: bool) -> Figures:
    """W3: at one of the nodes."""
    each, rounds = (3, 2) if quick else (20, 15)
    raw: list[float] = []
    took: list[list[float]] = []
    async with cluster(on, layout) as running:
        ask = partial(running.nodes[0].ask, "one_by_one", definition=chain(1, layout.step))
        await ask(count=each)  # warm up
        for _ in range(rounds):
            raw.append(await commit_seconds(running.raw, commits=each * 2))
            took.append(await ask(count=each))
    everyone = [seconds for round_ in took for seconds in round_]
    return {
        "p50_ms": median(everyone) * 1e3,
        "p95_ms": percentile(everyone, 95) * 1e3,
        "raw_commit_ms": median(raw) * 1e3,
        "ratio_to_commit": median(median(round_) / commit for round_, commit in zip(took, raw, strict=True)),
    }


async def length(on: PostgresServer, layout: Layout, folder: Path, quick: bool) -> Figures:
    """W4: chains, each step of which waits for the one before; one at each node."""
    lengths, rounds = ((3, 10, 30), 1) if quick else ((100, 1_000, 3_000), 3)
    costs: dict[int, list[float]] = {count: [] for count in lengths}
    async with cluster(on, layout) as running:
        for _ in range(rounds):
            for count, seconds in costs.items():
                repeats = max(1, lengths[-1] // count // 3)
                definition = chain(count, layout.step)
                took = [await _together(running, definition, len(running.nodes)) for _ in range(repeats)]
                seconds.append(sum(took) / repeats / count)
    short, long = costs[lengths[0]], costs[lengths[-1]]
    return {
        **{f"microseconds_per_step_of_{count}": median(cost) * 1e6 for count, cost in costs.items()},
        "cost_ratio": median(more / less for less, more in zip(short, long, strict=True)),
    }


async def crash(on: PostgresServer, layout: Layout, folder: Path, quick: bool) -> Figures:
    """W5: `kill -9` of a node, or of a worker elsewhere, when half of the steps have been done. There is one execution
    of one step more, with which it is seen that all are there."""
    executions = 20 if quick else 1_000
    keys = folder / "keys"
    keys.touch()
    async with cluster(on, layout, keys) as running:
        share = executions // len(running.nodes)
        for node in running.nodes:
            await node.ask("start", definition=chain(STEPS, layout.step), count=share)
        while keys.stat().st_size < share * len(running.nodes) * STEPS // 2 * KEY_BYTES:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        victims = running.workers or running.nodes
        await victims.pop(0).kill()
        killed = time.perf_counter()
        recorded, done = await _recorded(running.store), keys.read_text("ascii").split()
        await (running.add_worker() if layout.is_remote else running.add_node())
        seconds = await _all_recorded(running.store, share * layout.nodes + 1, killed)
        everything = await _recorded(running.store)
        later = keys.read_text("ascii").split()[len(done) :]
        found = await _executions(running.store)
    return {
        "steps_recorded_at_the_kill": len(recorded),
        "seconds_until_all_complete": seconds,
        "lost_starts": share * layout.nodes + 1 - sum(found.values()),
        "repeated_steps": len(recorded & set(later)),
        "missing_steps": share * layout.nodes * STEPS + 1 - len(everything),
        "steps_run_twice_as_not_recorded": len(set(done) & set(later)),
    }


async def _all_recorded(store: str, count: int, since: float) -> float:
    """The seconds from then until so many executions have completed.

    Raises:
        RuntimeError: that takes too long.
    """
    while (await _executions(store)).get("completed", 0) < count:
        if time.perf_counter() - since > 120:
            raise RuntimeError(f"after 120 s: {await _executions(store)}")
        await asyncio.sleep(0.25)
    return time.perf_counter() - since


def _settings(store: str) -> Any:
    return configuration_from({"state_store": {"type": "postgresql", "connection_string": store}})


async def _executions(store: str) -> Mapping[str, int]:
    async with open_store(_settings(store), migrate=False) as opened:
        return (await opened.status()).executions


async def _recorded(store: str) -> set[str]:
    """The idempotency keys of all steps that are recorded as completed."""
    os.environ["STEPWELL_KEY"] = KEY
    codec = Codec(cipher_for(_settings(store), lambda message: None))
    keys: set[str] = set()
    last = 0
    async with open_store(_settings(store), migrate=False) as opened:
        while page := await opened.executions_after(last, 500):
            for execution in page:
                events = (event for row in execution.history for event in codec.decode_events(row.events))
                keys.update(f"{execution.handle.id}/{each.step}" for each in events if isinstance(each, StepCompleted))
            last = page[-1].handle.key or 0
    return keys


async def parked(on: PostgresServer, layout: Layout, folder: Path, quick: bool) -> Figures:
    """W6: the executions wait at all nodes alike."""
    few, many = (100, 300) if quick else (5_000, 50_000)
    async with cluster(on, layout) as running:
        await _park(running, 0, few)
        first, wake_few = running.nodes[0], 0.0
        wake_few = await first.ask("wake", definition=waiting(), order=10**9)
        memory_few = sum([await node.ask("memory") for node in running.nodes])
        began = time.perf_counter()
        await _park(running, few, many)
        seconds = time.perf_counter() - began
        memory_many = sum([await node.ask("memory") for node in running.nodes])
        wake_many = await first.ask("wake", definition=waiting(), order=10**9 + 1)
    return {
        "bytes_per_waiting": (memory_many - memory_few) / (many - few),
        f"ms_to_wake_one_of_{few}": wake_few * 1e3,
        f"ms_to_wake_one_of_{many}": wake_many * 1e3,
        "starts_per_second": (many - few) / seconds,
    }


async def _park(running: Cluster, first: int, end: int) -> None:
    bounds = [first + (end - first) * number // len(running.nodes) for number in range(len(running.nodes) + 1)]
    asked = (
        node.ask("park", definition=waiting(), first=bounds[number], end=bounds[number + 1])
        for number, node in enumerate(running.nodes)
    )
    await asyncio.gather(*asked)


_MEASURED: Final[Mapping[str, tuple[str, Callable[..., Any]]]] = {
    "W1": (f"executions of {STEPS} steps, all at once", throughput),
    "W2": ("one step, many beside each other, a join", width),
    "W3": ("one execution of one step", latency),
    "W4": ("chains of steps", length),
    "W5": (f"kill -9 amid executions of {STEPS} steps", crash),
    "W6": ("executions waiting for an event", parked),
}


def measure(name: str, layout: str, folder: Path, quick: bool) -> Workload:
    """One workload on one layout."""
    title, work = _MEASURED[name]
    with server() as started:
        figures = asyncio.run(work(started, LAYOUTS[layout], folder, quick))
    return Workload(name=f"{name} {layout}", title=title, figures=figures)


WORKLOADS: Final[Mapping[str, Callable[[Path, bool], Workload]]] = {
    f"{name} {layout}": partial(measure, name, layout) for name in _MEASURED for layout in LAYOUTS
}
"""By name, such as `W1 two nodes`."""
