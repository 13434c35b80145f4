"""What comes through the inbox, on its way to whoever acts on it."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict
from stepwell.engine.children import START, TELL, UNDO, Children, unknown_child
from stepwell.engine.committer import Committer, Entry
from stepwell.engine.elsewhere import AWAIT, Elsewhere
from stepwell.engine.hot import Hot
from stepwell.engine.inbox import input_of
from stepwell.engine.loaded import Loaded
from stepwell.engine.operating import VERB, Operating
from stepwell.engine.ownership import Ownership
from stepwell.engine.requests import REQUEST, Requests
from stepwell.execution.codec import Codec
from stepwell.execution.inputs import Input
from stepwell.ports.records import InboxItem
from stepwell.ports.store import Store


class Incoming:
    """Acts on inbox items; each is deleted together with its effects.

    Args:
        entropy: gives that many random bytes.
        default_timeout: see `Limits`.
        take: decides on an input of an execution in memory, and consumes items with it.
        spawn: runs a coroutine in the background, until the engine is closed.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        clock: Clock,
        entropy: Callable[[int], bytes],
        default_timeout: int | None,
        loaded: Loaded,
        ownership: Ownership,
        committer: Committer,
        operating: Operating,
        children: Children,
        requests: Requests,
        elsewhere: Elsewhere,
        take: Callable[[Hot, Input, Sequence[int]], None],
        spawn: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock
        self._entropy = entropy
        self._default_timeout = default_timeout
        self._loaded = loaded
        self._ownership = ownership
        self._committer = committer
        self._operating = operating
        self._children = children
        self._requests = requests
        self._elsewhere = elsewhere
        self._take = take
        self._spawn = spawn

    async def hand_over(self, item: InboxItem) -> None:
        """Act on an item.

        Raises:
            StoreError: the store cannot be read; the item stays.
        """
        if item.kind == AWAIT:
            await self._elsewhere.take(item)
            return
        hot = await self._loaded.load(item.execution) if item.execution is not None else None
        if item.kind in (VERB, TELL):
            await self._operating.take(item)
            self.let_leave(item.execution or "")
            return
        if item.kind == START:
            await self._children.start(item, self._entropy(16), self._default_timeout)
            return
        if item.kind == REQUEST:
            self._spawn(self._requests.take(item, self._entropy(16), self._default_timeout))
            return
        came_in = input_of(item, self._codec)
        if hot is None or came_in is None:
            posts = [unknown_child(item, self._codec)] if item.kind == UNDO else []
            self._committer.submit(Entry(None, None, None, (item.id,), posts=posts, shard=item.shard))
            return
        self._take(hot, came_in, (item.id,))
        self.let_leave(item.execution or "")

    async def load(self, execution: str) -> Hot | None:
        """An execution of a shard owned here; None when there is none of that id.

        Raises:
            Conflict: (code `run-elsewhere`) it is of another shard, or of one that is taken up or handed over just now.
        """
        hot = self._loaded.get(execution)
        if hot is None:
            if await self._store.load(execution) is None:
                return None
            hot = await self._loaded.load(execution)
        if hot is None or not self._ownership.is_open(hot.handle.shard):
            raise Conflict(f"this engine does not run execution {execution}", code="run-elsewhere")
        return hot

    def consume(self, item: InboxItem) -> None:
        """Delete an item that has no effect."""
        self._committer.submit(Entry(None, None, None, (item.id,), shard=item.shard))

    def refuse(self, item: InboxItem, told: InboxItem) -> None:
        """Delete an item, and tell somebody instead."""
        self._committer.submit(Entry(None, None, None, (item.id,), posts=[told], shard=item.shard))

    def let_leave(self, execution: str) -> None:
        """Forget the execution, if it was only looked at."""
        hot = self._loaded.get(execution)
        if hot is not None and not hot.uncommitted and hot.may_leave(self._clock.now(), hot.run.next_due()):
            self._loaded.drop(hot)
