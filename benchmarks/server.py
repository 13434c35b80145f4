"""W8: the HTTP API, served by `stepwell serve` in a process of its own, on an SQLite file, as it is by default.

The load comes from this process, over connections that are kept open; those who follow the stream of events are in a
third one.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, Final, Self
from urllib.parse import urlsplit

from benchmarks.engine import engine_on
from benchmarks.figures import Workload, median
from benchmarks.workflows import NOTHING, chain
from stepwell.app.session import Session
from stepwell.decider.plan import Plan

API: Final = "/api/v1"
CONNECTIONS: Final = 32
SUBSCRIBERS: Final = 200
STEPS: Final = 10
_SERVING: Final = re.compile(r"serving (http://\S+)/api/v1")


class Connection:
    """A connection to a server that is kept open, for one request after the other."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._writer.close()

    async def ask(self, method: str, path: str, body: bytes = b"", kind: str = "application/json") -> bytes:
        """The body of the answer.

        Raises:
            RuntimeError: the status is none of success.
        """
        head = f"{method} {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}"
        self._writer.write(f"{head}\r\n\r\n".encode() + body)
        answer = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        content = await self._reader.readexactly(int(length[1]) if length is not None else 0)
        if answer[9:10] != b"2":
            raise RuntimeError(f"{method} {path}: {answer[:60]!r} {content[:500]!r}")
        return content


class Served:
    """A server process."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.url = url
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80

    def connection(self) -> Connection:
        """A connection that is opened by entering it."""
        return Connection(self.host, self.port)


@contextmanager
def served(folder: Path) -> Iterator[Served]:
    """A server that ends with the block."""
    store = f"sqlite:{folder.resolve() / 'served.db'}"
    command = [sys.executable, "-m", "stepwell", "serve", "--port", "0", "--store", store]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(
        [*command, "--import", "benchmarks.engine"],
        env=environment,
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        said: list[str] = []
        for line in process.stderr:
            said.append(line)
            if (found := _SERVING.search(line)) is not None:
                break
        else:
            raise RuntimeError(f"the server did not start: {''.join(said)}")
        yield Served(found[1])
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def subscribed(server: Served, count: int) -> Iterator[None]:
    """So many readers of the stream of events, in a process of their own."""
    command = [sys.executable, "-m", "benchmarks.subscribers", server.host, str(server.port), str(count)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        if process.stdout.readline().strip() != "reading":
            raise RuntimeError("the subscribers did not start")
        yield
    finally:
        process.terminate()
        process.communicate()


def measure(folder: Path, quick: bool) -> Workload:
    """Starts and answers a second, how long a start and its end take, and what 200 subscribers cost."""
    return asyncio.run(_measure(folder, *((40, 20, 10, 1, 5) if quick else (3_000, 200, 1_000, 7, SUBSCRIBERS))))


async def _measure(folder: Path, starts: int, waits: int, chains: int, rounds: int, subscribers: int) -> Workload:
    empty: list[float] = []
    done: list[float] = []
    alone: list[float] = []
    followed: list[float] = []
    with served(folder) as server:
        async with server.connection() as connection:
            for steps in (1, STEPS):
                await connection.ask("POST", f"{API}/workflows", chain(steps, NOTHING).encode())
        await _completed(server, 1, starts // 10 + 1)  # warm up
        for _ in range(min(rounds, 3)):
            empty.append(await _empty(server, starts))
            done.append(starts / await _completed(server, 1, starts))
        over_http = await _waits(server, waits)
        for _ in range(rounds):
            alone.append(await _completed(server, STEPS, chains))
            with subscribed(server, subscribers):
                followed.append(await _completed(server, STEPS, chains))
    in_process = await _in_process(folder, waits)
    return Workload(
        name="W8",
        title=f"the HTTP API: {starts:,} starts over {CONNECTIONS} connections",
        figures={
            "empty_route_per_second": median(empty),
            "completed_per_second": median(done),
            "ratio_to_empty_route": median(d / e for d, e in zip(done, empty, strict=True)),
            "start_and_wait_p50_ms": median(over_http) * 1e3,
            "in_process_p50_ms": median(in_process) * 1e3,
            "ratio_to_in_process": median(over_http) / median(in_process),
            "time_with_subscribers": median(f / a for f, a in zip(followed, alone, strict=True)),
        },
    )


@asynccontextmanager
async def _connections(server: Served) -> AsyncIterator[Sequence[Connection]]:
    connections = [server.connection() for _ in range(CONNECTIONS)]
    for each in connections:
        await each.__aenter__()
    try:
        yield connections
    finally:
        for each in connections:
            await each.__aexit__()


async def _empty(server: Served, count: int) -> float:
    """Answers a second of a route that does nothing."""
    async with _connections(server) as connections:
        began = time.perf_counter()
        await asyncio.gather(*(_repeat(each, count // CONNECTIONS, "GET", "/healthz") for each in connections))
        return (count // CONNECTIONS) * CONNECTIONS / (time.perf_counter() - began)


async def _repeat(connection: Connection, count: int, method: str, path: str, body: bytes = b"") -> None:
    for _ in range(count):
        await connection.ask(method, path, body)


async def _completed(server: Served, steps: int, count: int) -> float:
    """Seconds until so many executions were started and have completed."""
    path, body = f"{API}/workflows/chain-{steps}/executions", b"{}"
    shares = [count // CONNECTIONS + (number < count % CONNECTIONS) for number in range(CONNECTIONS)]
    async with _connections(server) as connections:
        began = time.perf_counter()
        pairs = zip(connections, shares, strict=True)
        await asyncio.gather(*(_repeat(each, share, "POST", path, body) for each, share in pairs))
        unfinished = f"{API}/executions?status=pending&status=running&status=waiting&limit=1"
        while json.loads(await connections[0].ask("GET", unfinished))["items"]:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.01)
        return time.perf_counter() - began


async def _waits(server: Served, count: int) -> list[float]:
    """Seconds from a start to its end, one after the other."""
    found = []
    async with server.connection() as connection:
        for _ in range(count):
            began = time.perf_counter()
            answer: Any = json.loads(
                await connection.ask("POST", f"{API}/workflows/chain-1/executions?wait=30s", b"{}")
            )
            found.append(time.perf_counter() - began)
            if answer["status"] != "completed":
                raise RuntimeError(f"it is {answer['status']}")
    return found


async def _in_process(folder: Path, count: int) -> list[float]:
    """The same without a server."""
    async with engine_on(folder / "in-process.db") as (session, _):
        plan = await session.definitions.plan_of(chain(1, NOTHING))
        for _ in range(count // 10):
            await _one(session, plan)
        return [await _one(session, plan) for _ in range(count)]


async def _one(session: Session, plan: Plan) -> float:
    began = time.perf_counter()
    await session.engine.ended(await session.engine.start(plan, None))
    return time.perf_counter() - began
