"""The nodes of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from stepwell.app.cluster import cluster_report, shards_shared
from stepwell.base.clock import SystemClock
from stepwell.cli.options import Setup
from stepwell.cli.subjects.opening import OpenStore, Served, opened

Report = Mapping[str, Any]


class Nodes(Protocol):
    """What commands ask about nodes."""

    async def shown(self) -> Report:
        """See `cluster_report`."""
        ...


def open_nodes(setup: Setup) -> AbstractAsyncContextManager[Nodes]:
    """Those of the store or the server that the user named."""
    return opened(setup, StoredNodes, ServedNodes)


class StoredNodes:
    """Those of a store: who owns its shards."""

    def __init__(self, at: OpenStore) -> None:
        self._store = at.store
        self._shards = shards_shared(at.configuration)

    async def shown(self) -> Report:
        status = await self._store.status()
        return cluster_report(status.owners, (), self._shards, SystemClock().now())


class ServedNodes:
    """Those that a server sees."""

    def __init__(self, at: Served) -> None:
        self._client = at.client

    async def shown(self) -> Report:
        shown: Report = await self._client.get("/cluster")
        return shown
