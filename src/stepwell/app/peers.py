"""Requests that another node has to answer, passed on to it.

A worker may ask any node for work, and report to any: what waits at another node it is given from there, and what it
says goes to the node that runs the execution. Who has work is in what nodes say of themselves; who runs an execution
follows from its shard. Nodes that do not say under which URL they are to be reached are asked by nobody; nor, from
another machine, are those that listen on the loopback interface of theirs.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

import aiohttp
from yarl import URL

from stepwell.app.cluster import about_of
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.engine.engine import Engine
from stepwell.ports.records import Presence
from stepwell.ports.store import Store

FORWARDED: Final = "stepwell-forwarded"
"""The header of a request that was passed on: it is answered where it is, or not at all."""
PATIENCE: Final = 15.0
"""Seconds that another node has to answer."""
ASK_ALL_EVERY: Final = 2 * SECOND
"""So long it takes at most until a worker that waits here is found work that came to another node."""
_PASSED_ON: Final = ("authorization", "x-api-key", "x-request-id")

_log = logging.getLogger(__name__)


class Passed(NamedTuple):
    """What another node has answered: the status, and the JSON document or None."""

    status: int
    document: Any


class Peers:
    """The other nodes, as far as they can be reached."""

    def __init__(self, store: Store, engine: Engine, clock: Clock) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._asked: dict[tuple[str, ...], int] = {}
        self._gave: dict[tuple[str, tuple[str, ...]], int] = {}

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Peers]:
        """Keep connections as long as this lasts."""
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=PATIENCE)) as session:
            self._session = session
            yield self
        self._session = None

    @property
    def is_alone(self) -> bool:
        """Whether there is nobody to pass anything on to."""
        return len(self._engine.nodes) < 2

    def with_work(self, queues: Sequence[str]) -> list[str]:
        """The URLs of other nodes that may have jobs of these queues: they said so some seconds ago, or gave some a
        moment ago. Now and then all of them, for one of those who ask."""
        now, wanted = self._clock.now(), tuple(sorted(queues))
        others = [each for each in self._engine.nodes if each.name != self._engine.name]
        urls = {
            url: not about_of(each).waits.keys().isdisjoint(wanted)
            for each in others
            if (url := self._url_of(each)) is not None
        }
        if now - self._asked.get(wanted, 0) >= ASK_ALL_EVERY:
            self._asked = {each: at for each, at in self._asked.items() if now - at < ASK_ALL_EVERY}
            self._asked[wanted] = now
            return list(urls)
        return [url for url, has in urls.items() if has or now - self._gave.get((url, wanted), 0) < ASK_ALL_EVERY]

    def note_given(self, url: str, queues: Sequence[str]) -> None:
        """That node had jobs of these queues."""
        now = self._clock.now()
        self._gave = {each: at for each, at in self._gave.items() if now - at < ASK_ALL_EVERY}
        self._gave[url, tuple(sorted(queues))] = now

    async def runs(self, execution: str) -> str | None:
        """The URL of the node that runs the execution; None when that is this one, or nobody, or not to be reached.

        Raises:
            StoreError: the store cannot be read.
        """
        stored = await self._store.load(execution)
        if stored is None or stored.handle.shard in self._engine.shards:
            return None
        owners = {each["shard"]: each for each in await self._store.owners()}
        owner = owners.get(stored.handle.shard)
        if owner is None:
            return None
        return next((self._url_of(each) for each in self._engine.nodes if each.name == owner["owner"]), None)

    def _url_of(self, node: Presence) -> str | None:
        """Where a node is to be reached from here; None when it is not."""
        url = about_of(node).url
        if url is not None and _machine_of(node.name) != _machine_of(self._engine.name) and _is_loopback(url):
            return None
        return url

    async def pass_on(self, url: str, path: str, headers: Mapping[str, str], body: Mapping[str, Any]) -> Passed:
        """Have another node answer.

        Raises:
            ConnectionError: it does not, for now.
        """
        assert self._session is not None, "it is open"
        passed = {name: headers[name] for name in _PASSED_ON if name in headers}
        try:
            async with self._session.post(
                f"{url}{path}", json=body, headers={**passed, FORWARDED: self._engine.name}
            ) as response:
                document = await response.json() if response.content_length else None
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise ConnectionError(f"{url} does not answer: {type(error).__name__}") from None
        if response.status >= 500:
            raise ConnectionError(f"{url} answers {response.status}")
        return Passed(response.status, document)


def _machine_of(node: str) -> str:
    """The machine in the name of a node; see `session.owner_name`."""
    return node.partition("/")[0]


def _is_loopback(url: str) -> bool:
    host = URL(url).host or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
