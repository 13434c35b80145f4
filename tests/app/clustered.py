"""Servers that share the shards of one store in memory, on one clock that stands still; any of them may stand still."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from stepwell.app import happening
from stepwell.app.configuration import configuration_from
from stepwell.app.outgoing import Answered, Send
from stepwell.app.registries import Registries
from stepwell.app.serving import Parts, open_server
from stepwell.base.durations import SECOND
from stepwell.base.spans import Source
from stepwell.dialects.writing import as_text
from stepwell.ports.ledger import ANNOUNCED
from stepwell.ports.listings import ExecutionListing, ExecutionQuery
from stepwell.ports.work import TaskContext, TaskHandler, TaskResult
from stepwell.store.memory.content import Content
from stepwell.store.memory.store import MemoryStore
from tests.app.scheduling import MONDAY
from tests.engine.cluster import NodeClock, NodeStore
from tests.virtual_clock import VirtualClock

SHARDS = 4
TAKEN_OVER = 25 * SECOND
"""In which what a server had that was killed is on another one."""


class Telling(MemoryStore):
    """Says when documents have changed, as a store on a server does. `listeners` are those of all that share it."""

    def __init__(self, content: Content, listeners: list[tuple[Collection[str], Callable[[], None]]] | None) -> None:
        super().__init__(content)
        self._told = listeners

    def listen_to_documents(self, kinds: Collection[str], callback: Callable[[], None]) -> bool:
        assert ANNOUNCED.issuperset(kinds)
        if self._told is None:
            return False
        self._told.append((kinds, callback))
        return True

    async def write(self, writes: Any, now: int, **more: Any) -> Any:
        revisions = await super().write(writes, now, **more)
        self._announce({each.kind for each in writes})
        return revisions

    async def register(self, *args: Any, **named: Any) -> Any:
        registered = await super().register(*args, **named)
        self._announce({"registration"})
        return registered

    def _announce(self, changed: set[str]) -> None:
        for kinds, callback in self._told or ():
            if changed.intersection(kinds):
                asyncio.get_running_loop().call_soon(callback)


class HaltingStore(NodeStore):
    """Stands still, with its server, at the moment that is asked for.

    Attributes:
        halts: `(name of the call, its arguments, whether it was made)`; True when it is to stand still there.
        asked: how often it was called.
    """

    def __init__(self, store: MemoryStore, freeze: Callable[[], None]) -> None:
        super().__init__(store)
        self.halts: Callable[[str, tuple[Any, ...], Mapping[str, Any], bool], bool] | None = None
        self._freeze = freeze
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if not asyncio.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **named: Any) -> Any:
            self.asked += 1
            await self._pass(name, args, named, False)
            answer = await found(*args, **named)
            await self._pass(name, args, named, True)
            return answer

        return call

    async def _pass(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any], is_made: bool) -> None:
        if self.halts is not None and self.halts(name, args, named, is_made):
            self.halts = None
            self._freeze()
        await self.going.wait()


class Member:
    """One server of a cluster. Frozen for good it is, for the others, as one that was killed."""

    def __init__(self, number: int, memory: MemoryStore, clock: VirtualClock) -> None:
        self.number = number
        self.memory = memory
        self.clock = NodeClock(clock)
        self.store = HaltingStore(memory, self.freeze)
        self.parts: Parts

    @property
    def leads(self) -> bool:
        return self.parts.session.engine.leads

    def freeze(self) -> None:
        self.clock.frozen = True
        self.store.going.clear()

    async def thaw(self) -> None:
        self.store.going.set()
        self.clock.thaw()

    async def start(self, document: dict[str, Any]) -> str:
        """Begin an execution in a shard of this server."""
        session = self.parts.session
        return await session.engine.start(await session.definitions.plan_of(document), {})


class Servers:
    """The servers, what is in their store, and what others were told by them.

    Attributes:
        told: `(number of the server, what)`: notices to people.
        sent: `(number of the server, id, type)`: messages to subscribers.
    """

    def __init__(self) -> None:
        self.clock = VirtualClock(MONDAY)
        self.content = Content()
        self.members: list[Member] = []
        self.told: list[tuple[int, dict[str, Any]]] = []
        self.sent: list[tuple[int, str, str]] = []

    def leading(self) -> Member:
        """The one that leads, of those that are not frozen."""
        (leading,) = [each for each in self.members if each.leads and not each.clock.frozen]
        return leading

    def other(self, member: Member) -> Member:
        return next(each for each in self.members if each is not member)

    async def apply(self, document: dict[str, Any]) -> None:
        """Register a workflow, and let every server hear of it."""
        definitions = self.members[0].parts.session.definitions
        await definitions.register(source_of(document), at=self.clock.now(), by="ann", reason="test")
        await self.clock.advance(5 * SECOND)

    def sender(self, number: int) -> Send:
        """Sends messages for a server; everything is accepted."""

        async def send(url: str, headers: Mapping[str, str], body: bytes) -> Answered:
            await self.members[number].store.going.wait()
            self.sent.append((number, headers["webhook-id"], json.loads(body)["type"]))
            return Answered(200)

        return send

    def notifier(self, number: int) -> TaskHandler:
        """Tells people for a server."""
        servers = self

        class Notes(TaskHandler):
            async def run(self, config: Any, context: TaskContext) -> TaskResult:
                for _ in range(20):  # it takes a while
                    await asyncio.sleep(0)
                await servers.members[number].store.going.wait()
                servers.told.append((number, config))
                return TaskResult({"deliveries": [], "delivered": 0, "undelivered": 0})

            async def close(self) -> None:
                return

        return Notes()

    async def executions(self) -> Sequence[ExecutionListing]:
        """All of them, the oldest first."""
        memory = self.members[0].memory
        return (await memory.list(ExecutionQuery(limit=1_000))).items[::-1]


def source_of(document: dict[str, Any]) -> Source:
    return Source("w.yaml", as_text(document, "json"))


@asynccontextmanager
async def servers(
    monkeypatch: pytest.MonkeyPatch,
    count: int = 2,
    *,
    tells: bool = True,
    tasks: tuple[Callable[..., Any], ...] = (),
    **configuration: Any,
) -> AsyncIterator[Servers]:
    """So many servers, with their shares.

    Args:
        tells: whether the store says when documents have changed; otherwise they look.
    """
    made = Servers()
    monkeypatch.setenv("STEPWELL_KEY", base64.b64encode(bytes(32)).decode())
    monkeypatch.setattr(happening, "sender", lambda client: made.sender(len(made.members) - 1))
    given = configuration_from({
        "state_store": {"url": "sqlite:not-used.db"},  # for it says that others use the store too
        "cluster": {"enabled": True, "shards": SHARDS},
        "notifications": {"ops": "log:info"},
        **configuration,
    })  # fmt: skip
    listeners: list[tuple[Collection[str], Callable[[], None]]] | None = [] if tells else None
    async with AsyncExitStack() as stack:
        for number in range(count):
            member = Member(number, Telling(made.content, listeners), made.clock)
            made.members.append(member)
            await member.memory.open()
            stack.push_async_callback(member.memory.close)
            opening = open_server(given, Registries(tasks), store=member.store, clock=member.clock)
            member.parts = await stack.enter_async_context(opening)
            member.parts.people._notify = made.notifier(number)
            await made.clock.advance(SECOND)
        try:
            yield made
        finally:
            for member in made.members:
                member.store.halts = None
                await member.thaw()
            await made.clock.settle()
