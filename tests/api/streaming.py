"""Reading a stream of events while it goes on, without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message


class Told(NamedTuple):
    """An event of a stream."""

    id: str
    type: str
    data: dict[str, Any]


class Stream:
    """An answer under way. `slow` holds back what is sent until it is set."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.is_over = False
        self.parts: list[bytes] = []
        self.slow = asyncio.Event()
        self.slow.set()
        self._came = asyncio.Event()
        self._seen = 0
        self.left = asyncio.Event()

    async def send(self, message: Message) -> None:
        await self.slow.wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.parts.append(message.get("body", b""))
            self.is_over = not message.get("more_body", False)
        self._came.set()

    async def receive(self) -> Message:
        await self.left.wait()
        return {"type": "http.disconnect"}

    @property
    def text(self) -> str:
        """All that came."""
        return b"".join(self.parts).decode()

    def events(self) -> list[Told]:
        """The events among it."""
        found = []
        for block in self.text.split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                found.append(Told(fields["id"], fields["event"], json.loads(fields["data"])))
        return found

    async def until(self, count: int) -> list[Told]:
        """The events, once there are so many."""
        async with asyncio.timeout(20):
            while len(self.events()) < count:
                self._came.clear()
                await self._came.wait()
        return self.events()

    async def opened(self) -> None:
        """Wait for the first part: from then on nothing is missed."""
        async with asyncio.timeout(20):
            while not self.parts:
                self._came.clear()
                await self._came.wait()

    async def end(self) -> None:
        """Wait until it is over."""
        async with asyncio.timeout(20):
            while not self.is_over:
                self._came.clear()
                await self._came.wait()


@asynccontextmanager
async def streaming(app: ASGIApp, path: str, query: str = "", **headers: str) -> AsyncIterator[Stream]:
    """Ask for a stream, and hang up at the end."""
    stream = Stream()
    sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(b"host", b"localhost"), *sent],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    asking = asyncio.ensure_future(app(scope, stream.receive, stream.send))
    try:
        yield stream
    finally:
        stream.left.set()
        stream.slow.set()
        async with asyncio.timeout(20):
            await asking
