"""A connection that breaks when a test wants it to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Literal, Self

Fate = Literal["passes", "is lost", "hangs", "arrives", "arrives late"]
"""What becomes of what a client sends: it goes its way; or it never arrives and the connection breaks, of which the
server hears or not; or it is answered and the answer does not arrive; or the client hears that the connection broke a
while before what it sent arrives all the same."""

LATE = 0.15
"""Seconds."""


class Proxy:
    """Stands between clients and a server on the loopback interface.

    Attributes:
        port: where clients find it.
        fate: asked of everything that a client sends.
        refuses: whether new connections are closed at once.
        made: how many connections there were.
        met: see `once`.
    """

    def __init__(self, server_port: int) -> None:
        self.port = 0
        self.fate: Callable[[bytes], Fate] = _passes
        self.refuses = False
        self.made = 0
        self.met = asyncio.Event()
        self._server_port = server_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._clients: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._server is not None, "it was opened"
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def once(self, sign: bytes, fate: Fate, *, refuses: bool = False) -> None:
        """Have the next thing that contains this meet its fate, and nothing after it; `met` is set then.

        Args:
            refuses: whether there are no more connections from then on.
        """
        self.met.clear()

        def judge(sent: bytes) -> Fate:
            if sign not in sent:
                return "passes"
            self.fate = _passes
            self.refuses = refuses
            self.met.set()
            return fate

        self.fate = judge

    def cut(self) -> None:
        """Break all connections."""
        for client in self._clients:
            client.transport.abort()
        self._clients.clear()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._spawn(self._on_client(reader, writer))

    async def _on_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        if self.refuses:
            writer.transport.abort()
            return
        self._clients.add(writer)
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
        answers = self._spawn(_copied(from_server, writer))
        try:
            while sent := await reader.read(65_536):
                match self.fate(sent):
                    case "passes":
                        to_server.write(sent)
                    case "is lost":
                        break
                    case "hangs":
                        answers.cancel()
                        writer.transport.abort()
                        await asyncio.Event().wait()  # until the proxy is closed
                    case "arrives" | "arrives late" as fate:
                        answers.cancel()
                        await asyncio.wait([answers])
                        if fate == "arrives late":
                            writer.transport.abort()
                            await asyncio.sleep(LATE)
                        to_server.write(sent)
                        await from_server.read(1)
                        break
        except ConnectionError:
            pass
        finally:
            answers.cancel()
            self._clients.discard(writer)
            writer.transport.abort()
            to_server.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _passes(_: bytes) -> Fate:
    return "passes"


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Everything that comes goes on, until one of the sides is closed."""
    try:
        while received := await reader.read(65_536):
            writer.write(received)
    except ConnectionError:
        pass
    writer.transport.abort()
