"""Connections that break and servers that are killed: nothing is lost or done twice, and callers do not notice."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepwell.base.errors import FenceLost, StoreError
from stepwell.ports.records import Handle, InboxItem, LockRequest
from stepwell.store.postgres import PostgresStore
from tests.conformance.store import (
    LATER,
    NOW,
    PATIENCE,
    SECOND,
    TTL,
    WAITING,
    Scene,
    batch,
    change,
    creation,
    event,
    scene_on,
    wait,
)
from tests.servers.postgres import PostgresServer, postgres_server, programs
from tests.servers.proxy import Fate, Proxy

BROKEN: list[Fate] = ["is lost", "arrives", "arrives late"]
COMMIT = b"COMMIT\0"
SIGN = b"the sign"
"""In the events of a change: by it a statement is known that commits by itself."""


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    async with Proxy(postgres_server().port) as proxy:
        yield proxy


@pytest.fixture
def url(proxy: Proxy) -> str:
    """Of a fresh schema, through the proxy."""
    server = postgres_server()
    return server.fresh_url().replace(f":{server.port}/", f":{proxy.port}/")


@asynccontextmanager
async def opened(url: str, **settings: Any) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(url, **settings)
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def scene(url: str) -> AsyncIterator[Scene]:
    async with opened(url) as store:
        yield await scene_on(store)


async def rows_of(scene: Scene, execution: str) -> list[tuple[int, bytes]]:
    return [(row.seq, row.events) for row in await scene.store.history(execution, limit=100_000)]


# ── One commit ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("fate", BROKEN)
async def test_a_batch_of_history_is_written_once(scene: Scene, proxy: Proxy, fate: Fate) -> None:
    handle = await scene.create("a")
    proxy.once(SIGN, fate)
    await scene.append(change(handle, 2, SIGN))
    await scene.append(change(handle, 3))
    assert await rows_of(scene, "a") == [(1, b"created"), (2, SIGN), (3, b"more")]


@pytest.mark.parametrize("fate", BROKEN)
async def test_a_batch_that_creates_and_posts_is_written_once(scene: Scene, proxy: Proxy, fate: Fate) -> None:
    post = InboxItem(shard=7, kind="start", payload=b"p")
    handle = Handle("a", scene.lease.shard)
    proxy.once(SIGN, fate)
    await scene.append(creation(handle, events=SIGN, start_key="k"), posts=[post])
    assert handle.key is not None
    await scene.append(change(handle, 2))
    assert await rows_of(scene, "a") == [(1, SIGN), (2, b"more")]
    assert [item.payload for item in await scene.store.inbox(7)] == [b"p"]


@pytest.mark.parametrize("fate", BROKEN)
@pytest.mark.parametrize("sign", [SIGN, b"BEGIN", COMMIT, b"ROLLBACK"])
async def test_a_batch_of_several_statements_is_written_once(
    scene: Scene, proxy: Proxy, fate: Fate, sign: bytes
) -> None:
    handle, other = await scene.create("a"), await scene.create("b")
    await scene.append(change(other, locks_taken=[LockRequest("till", 1, "", NOW)]))
    await scene.store.publish(event("early"), NOW, LATER)
    proxy.once(sign, fate)
    begun = change(handle, 2, SIGN, waits_begun=[wait()], locks_taken=[LockRequest("till", 1, "pay", NOW)])
    released = change(other, 3, locks_released=[("till", "")])
    assert await scene.append(begun, released), "something was put into an inbox, and that is known after all"
    assert await rows_of(scene, "a") == [(1, b"created"), (2, SIGN)]
    kinds = [item.kind for item in await scene.inbox()]
    assert sorted(kinds) == ["early_event", "lock_granted"]  # that of the other was consumed by nobody: see below
