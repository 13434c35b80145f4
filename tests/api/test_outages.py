"""Requests while the store is away: answered before long, refused where that is honest, and nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from stepwell.api.outages import LOOK_EVERY, PATIENCE
from stepwell.base.durations import SECOND
from stepwell.store.memory.store import MemoryStore
from tests.api.conftest import OpenServer, Server
from tests.api.documents import API, registered, workflow

STARTED = f"{API}/workflows/hello/executions"


class FarStore(MemoryStore):
    """One that can be away: what is asked of it waits until it is back."""

    def __init__(self) -> None:
        super().__init__()
        self.lasts = 0.0
        self.back = asyncio.Event()
        self.back.set()
        self.asked = 0

    @property
    def away_for(self) -> float:
        return self.lasts

    async def load(self, execution: str) -> Any:
        return await self._there(lambda: super(FarStore, self).load(execution))

    async def document(self, kind: str, key: str) -> Any:
        return await self._there(lambda: super(FarStore, self).document(kind, key))

    async def append(self, batch: Any) -> bool:
        return bool(await self._there(lambda: super(FarStore, self).append(batch)))

    async def _there(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        self.asked += 1
        await self.back.wait()
        return await ask()


@asynccontextmanager
async def served(open_test_server: OpenServer) -> AsyncIterator[tuple[Server, FarStore]]:
    store = FarStore()
    await store.open()
    async with open_test_server(store=store) as server:
        await registered(server, workflow())
        yield server, store
    await store.close()


async def test_what_is_read_is_given_up_once_the_store_has_been_away_for_a_while(
    open_test_server: OpenServer,
) -> None:
    async with served(open_test_server) as (server, store):
        store.back.clear()
        reading = asyncio.ensure_future(server.get(f"{API}/executions/x"))
        await server.advance(10 * LOOK_EVERY)
        assert not reading.done(), "it is slow, but it is there"
        store.lasts = PATIENCE - 1
        await server.advance(2 * LOOK_EVERY)
        assert not reading.done(), "a short outage is sat out"
        store.lasts = PATIENCE
        await server.advance(LOOK_EVERY)
        answer = await asyncio.wait_for(reading, 5)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["retry-after"] == "5"
        assert answer.json()["code"] == "store-unavailable"
        assert "nothing was done" in answer.json()["detail"]
        store.lasts = 0.0
        store.back.set()
        assert (await server.get(f"{API}/executions/x")).status_code == 404


async def test_what_would_change_something_is_refused_at_once_during_a_long_outage(
    open_test_server: OpenServer,
) -> None:
    async with served(open_test_server) as (server, store):
        store.lasts = PATIENCE
        asked = store.asked
        refused = await server.post(STARTED)
        assert (refused.status_code, refused.json()["code"]) == (503, "store-unavailable")
        assert store.asked == asked, "nothing was begun"
        store.lasts = PATIENCE - 1
        assert (await server.post(STARTED)).status_code in (201, 202)


async def test_a_start_that_was_let_in_is_answered_and_done_when_the_store_is_back(
    open_test_server: OpenServer,
) -> None:
    async with served(open_test_server) as (server, store):
        messages: asyncio.Queue[Any] = asyncio.Queue()
        store.back.clear()
        request = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": STARTED,
            "raw_path": STARTED.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"stepwell.test")],
            "client": ("127.0.0.1", 1),
            "server": ("stepwell.test", 80),
        }
        sent = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Any:
            return sent.pop() if sent else await asyncio.Event().wait()

        app = server.client._transport.app  # type: ignore[attr-defined]
        under_way = asyncio.ensure_future(app(request, receive, messages.put))
        await server.advance(SECOND // 2)
        store.lasts = PATIENCE
        await server.advance(LOOK_EVERY)
        begun, content = await messages.get(), await messages.get()
        assert begun["status"] == 503
        assert b"may be done when it is back" in content["body"]
        assert not under_way.done()
        store.lasts = 0.0
        store.back.set()
        await asyncio.wait_for(under_way, 5)
        assert messages.empty(), "it is answered once"
        listed = (await server.get(f"{API}/executions")).json()["items"]
        assert [each["workflow"] for each in listed] == ["hello"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_whether_the_server_lives_and_is_ready_is_said_at_once(open_test_server: OpenServer, path: str) -> None:
    async with served(open_test_server) as (server, store):
        store.lasts = 10 * PATIENCE
        assert "store-unavailable" not in (await server.get(path)).text


async def test_a_worker_is_listened_to_during_an_outage(open_test_server: OpenServer) -> None:
    async with served(open_test_server) as (server, store):
        store.lasts = 10 * PATIENCE
        beat = {"worker": "w", "assignments": []}
        assert (await server.post(f"{API}/workers/heartbeat", json=beat)).status_code == 200
