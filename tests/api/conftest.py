"""A server in this process: engine and store in memory, a clock that stands still, and a client without a network."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import httpx
import pytest

from stepwell.api.context import ServerContext
from stepwell.api.server import serving_app
from stepwell.app.configuration import configuration_from
from stepwell.app.registries import Registries
from stepwell.app.serving import Parts, open_server
from tests.virtual_clock import VirtualClock

URL = "http://stepwell.test"


class Server:
    """An open server and a client of it: `await server.get("/api/v1/executions")`."""

    def __init__(self, parts: Parts, clock: VirtualClock, context: ServerContext, client: httpx.AsyncClient) -> None:
        self.parts = parts
        self.clock = clock
        self.context = context
        self.client = client
        self.get = client.get
        self.post = client.post
        self.patch = client.patch
        self.put = client.put
        self.delete = client.delete

    async def advance(self, duration: int) -> None:
        """Let time pass for the server, in microseconds."""
        await self.clock.advance(duration)


OpenServer = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def open_test_server() -> OpenServer:
    """Opens a server with a configuration, as in a file: `async with open_test_server({...}, tasks=[f]) as server`."""

    @asynccontextmanager
    async def opened(
        configuration: dict[str, Any] | None = None, *, tasks: tuple[Callable[..., Any], ...] = (), **settings: Any
    ) -> AsyncIterator[Server]:
        clock = VirtualClock()
        given = configuration_from({"state_store": {"type": "memory"}, **(configuration or {})})
        async with open_server(given, Registries(tasks), clock=clock, **settings) as parts:
            context = ServerContext(parts)
            transport = httpx.ASGITransport(app=serving_app(context), raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=URL) as client:
                yield Server(parts, clock, context, client)

    return opened


@pytest.fixture
async def server(open_test_server: OpenServer) -> AsyncIterator[Server]:
    """A server with nothing configured."""
    async with open_test_server() as opened:
        yield opened
