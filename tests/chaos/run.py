"""A run: everything is started, used, harmed, and looked at."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

import asyncpg
import msgspec

from tests.chaos import checker
from tests.chaos.cluster import Member, Node, environment_for, worker
from tests.chaos.documents import Amount
from tests.chaos.faults import FULL, Faults, Pace
from tests.chaos.load import Clients, requests_of
from tests.servers.nats import NatsServer, nats_binary
from tests.servers.postgres import PostgresServer, programs

ROOM: Final = {"shared_buffers": "128MB", "max_wal_size": "1GB", "min_wal_size": "128MB"}


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done.

    Attributes:
        spread: seconds over which everything is asked for.
        patience: seconds that everything has to end in, after the last fault.
        has_nats: workers fetch through NATS, otherwise over HTTP.
    """

    seed: int
    amount: Amount
    spread: float
    nodes: int = 3
    workers: int = 2
    store: Literal["postgresql", "sqlite"] = "postgresql"
    has_nats: bool = True
    patience: float = 120
    pace: Pace = FULL


class Outcome(msgspec.Struct, frozen=True):
    """What came of it."""

    problems: Sequence[str]
    figures: Mapping[str, float]


async def run(setting: Setting, folder: Path, say: Callable[[str], None] = lambda line: None) -> Outcome:
    """Do it, in this folder."""
    began = time.monotonic()
    async with _database(setting, folder) as (store, server), _members(setting, folder, store) as (nodes, workers):
        clients = Clients(
            [node.url for node in nodes], requests_of(setting.amount, Random(setting.seed)), setting.spread,
            Random(setting.seed),
        )  # fmt: skip
        await clients.register()
        say(f"{time.monotonic() - began:.0f} s: everything is up")
        faults = Faults(setting.seed, setting.pace, server, nodes, workers)
        harming = asyncio.create_task(faults.run())
        loading = asyncio.create_task(clients.run())
        await asyncio.wait((harming, loading), return_when=asyncio.FIRST_COMPLETED)
        if harming.done():
            harming.result()  # says what went wrong with it: it ends when it is told to, only
        await loading
        say(f"{time.monotonic() - began:.0f} s: everything was asked for, and answered")
        faults.stop()
        await harming
        for words in faults.last_words:
            say(f"ended by itself: {words}")
        for member in (*nodes, *workers):
            if not member.lives:
                member.start()  # it came up while the database was away
        quiet = time.monotonic()
        stuck = await checker.ended(store, setting.amount.executions, setting.patience)
        over = time.monotonic()
        verdict = await checker.judge(store, setting.amount, clients.answers, folder / "ledger")
        claimed = await _claimed(store) if server is not None else 0
    return Outcome(
        problems=[*([stuck] if stuck is not None else []), *verdict.problems],
        figures={
            "seconds": over - began,
            "seconds after the faults": over - quiet,
            "executions": verdict.executions,
            "steps recorded": verdict.steps,
            "events": len(clients.answers.accepted),
            **dict(sorted(faults.done.items())),
            "shards claimed": claimed,
            "requests asked again": clients.answers.asked_again,
            "effects": verdict.effects,
            "effects repeated": verdict.repeated_effects,
            "tries after the first": verdict.dispatched_again,
        },
    )


async def _claimed(store: str) -> int:
    """How often a shard got an owner: each time its number grows by one."""
    url, _, schema = store.partition("?schema=")
    connection: Any = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval(f'SELECT sum(fence) FROM "{schema}".shards'))
    finally:
        await connection.close()


@asynccontextmanager
async def _database(setting: Setting, folder: Path) -> AsyncIterator[tuple[str, PostgresServer | None]]:
    """The store's URL, and the server if there is one."""
    if setting.store == "sqlite":
        yield f"sqlite:{folder / 'chaos.db'}", None
        return
    server = PostgresServer(programs(), durable=True, **ROOM)
    try:
        server.start()
        yield server.fresh_url(), server
    finally:
        server.close()


@asynccontextmanager
async def _members(
    setting: Setting, folder: Path, store: str
) -> AsyncIterator[tuple[Sequence[Node], Sequence[Member]]]:
    """Nodes and workers, up."""
    nats = NatsServer(nats_binary()) if setting.has_nats else None
    if nats is not None:
        nats.start()
    environment = environment_for(folder, nats.url if nats is not None else None)
    checker.set_key(environment)
    nodes = [Node(f"node-{number}", store, folder, environment) for number in range(setting.nodes)]
    workers: list[Member] = []
    try:
        for node in nodes:
            node.start()  # all at once, on an empty database
        for node in nodes:
            await node.is_ready()
        for number in range(setting.workers):
            server = None if nats is not None else nodes[number % len(nodes)].url
            workers.append(worker(f"worker-{number}", folder, environment, server))
            workers[-1].start()
        yield nodes, workers
    finally:
        for member in (*workers, *nodes):
            member.thaw()
        for member in (*workers, *nodes):
            await asyncio.to_thread(member.stop)
        if nats is not None:
            nats.close()
