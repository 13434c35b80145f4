"""Three nodes with nothing to do but to wait: how often they ask their database, and for what.

    python -m tests.chaos.idle        # 10,000 parked executions, for a minute

The server writes every statement into its log; what it logs while the nodes are left alone is counted.
"""

from __future__ import annotations

import asyncio
import base64
import os
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import msgspec

from stepwell.app.configuration import configuration_from
from stepwell.app.registries import Registries
from stepwell.app.serving import Parts, open_server
from tests.chaos.documents import WAITING
from tests.chaos.tasks import note
from tests.servers.postgres import PostgresServer, programs

NODES: Final = 3
MOST: Final = 5.0
"""Statements a second that all nodes together may make."""
BATCH: Final = 500
_STATEMENT: Final = re.compile(r"LOG:  (?:statement|execute [^:]*): (.*)")
_SPACE: Final = re.compile(r"\s+")


class Idle(msgspec.Struct, frozen=True):
    """Statements a second, and how often each was made."""

    per_second: float
    statements: Mapping[str, int]


async def measured(parked: int, seconds: float) -> Idle:
    """Park so many executions, and listen for so long."""
    os.environ.setdefault("STEPWELL_KEY", base64.b64encode(bytes(32)).decode())
    os.environ.setdefault("CHAOS_LEDGER", os.devnull)
    server = PostgresServer(programs(), log_statement="all")
    try:
        server.start()
        async with _nodes(server.fresh_url()) as nodes:
            await _park(nodes, parked)
            await _shared_out(nodes)
            log = server.socket_folder / "log"
            before = log.stat().st_size
            await asyncio.sleep(seconds)
            said = log.read_bytes()[before:].decode()
    finally:
        server.close()
    statements = Counter(_SPACE.sub(" ", found[1])[:120] for found in _STATEMENT.finditer(said))
    return Idle(statements.total() / seconds, dict(statements.most_common()))


@asynccontextmanager
async def _nodes(url: str) -> AsyncIterator[list[Parts]]:
    configuration = configuration_from({"state_store": {"type": "postgresql", "connection_string": url}})
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(open_server(configuration, Registries([note]))) for _ in range(NODES)]


async def _park(nodes: list[Parts], parked: int) -> None:
    """Start executions that wait for events, at all nodes alike, until all of them wait."""
    text = msgspec.json.encode(WAITING).decode()
    for first in range(0, parked, BATCH):
        starts = []
        for number in range(first, min(first + BATCH, parked)):
            session = nodes[number % len(nodes)].session
            plan = await session.definitions.plan_of(text)
            starts.append(session.engine.start(plan, {"number": number}))
        await asyncio.gather(*starts)
    while (await nodes[0].store.status()).waits < parked:
        await asyncio.sleep(0.1)


async def _shared_out(nodes: list[Parts]) -> None:
    """Wait until every node owns its share."""
    while max(owned := [len(node.session.engine.shards) for node in nodes]) - min(owned) > 1 or sum(owned) < 64:
        await asyncio.sleep(0.1)


def main() -> int:
    """Measure, and show; 1 when there are too many."""
    found = asyncio.run(measured(10_000, 60))
    for statement, count in found.statements.items():
        print(f"{count:>5}  {statement}")
    print(f"{found.per_second:.2f} statements a second; less than {MOST} are allowed")
    return 0 if found.per_second < MOST else 1


if __name__ == "__main__":
    sys.exit(main())
