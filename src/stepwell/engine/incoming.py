"""What comes through the inbox, on its way to whoever acts on it."""

from __future__ import annotations

from stepwell.base.errors import Conflict
from stepwell.engine.beginning import Beginning
from stepwell.engine.children import START, TELL, UNDO, Children, NamedPlans, unknown_child
from stepwell.engine.committer import Entry
from stepwell.engine.elsewhere import AWAIT
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.engine.inbox import input_of
from stepwell.engine.loop import Loop
from stepwell.engine.operating import VERB, Answer, Operating
from stepwell.engine.requests import REQUEST, Requests
from stepwell.execution.verbs import Verb
from stepwell.ports.records import InboxItem


class Incoming:
    """Acts on inbox items; each is deleted together with its effects.

    Args:
        named_plans: see `Children`.

    Attributes:
        operating: does what operators ask for.
        children: starts sub-workflows.
        requests: starts what was asked for.
    """

    def __init__(self, ground: Ground, loop: Loop, beginning: Beginning, named_plans: NamedPlans | None) -> None:
        self._store = ground.store
        self._codec = ground.codec
        self._clock = ground.clock
        self._entropy = ground.entropy
        self._default_timeout = ground.limits.default_timeout
        self._loaded = ground.loaded
        self._ownership = ground.ownership
        self._spawn = ground.background.spawn
        self._loop = loop
        self.operating = Operating(ground, loop, self._load)
        self.children = Children(ground.codec, named_plans, beginning.asked, self._refuse)
        self.requests = Requests(ground.store, ground.codec, ground.plans, beginning.requested, self._consume)

    async def hand_over(self, item: InboxItem) -> None:
        """Act on an item.

        Raises:
            StoreError: the store cannot be read; the item stays, as it does when the execution cannot be run here.
        """
        if item.kind == AWAIT:
            await self._loop.ends.elsewhere.take(item)
            return
        hot = await self._loaded.load_if_usable(item.execution) if item.execution is not None else None
        if hot is None and item.execution in self._loaded.unusable:
            return  # for an engine that can
        if item.kind in (VERB, TELL):
            await self.operating.take(item)
            self._let_leave(item.execution or "")
            return
        if item.kind == START:
            await self.children.start(item, self._entropy(16), self._default_timeout)
            return
        if item.kind == REQUEST:
            self._spawn(self.requests.take(item, self._entropy(16), self._default_timeout))
            return
        came_in = input_of(item, self._codec)
        if hot is None or came_in is None:
            posts = [unknown_child(item, self._codec)] if item.kind == UNDO else []
            self._loop.committer.submit(Entry(None, None, None, (item.id,), posts=posts, shard=item.shard))
            return
        self._loop.take(hot, came_in, (item.id,))
        self._let_leave(item.execution or "")

    async def operate(self, execution: str, verb: Verb) -> Answer:
        """See `Engine.operate`."""
        try:
            return await self.operating.ask(execution, verb)
        finally:
            self._let_leave(execution)

    async def _load(self, execution: str) -> Hot | None:
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

    def _consume(self, item: InboxItem) -> None:
        """Delete an item that has no effect."""
        self._loop.committer.submit(Entry(None, None, None, (item.id,), shard=item.shard))

    def _refuse(self, item: InboxItem, told: InboxItem) -> None:
        """Delete an item, and tell somebody instead."""
        self._loop.committer.submit(Entry(None, None, None, (item.id,), posts=[told], shard=item.shard))

    def _let_leave(self, execution: str) -> None:
        """Forget the execution, if it was only looked at."""
        hot = self._loaded.get(execution)
        if hot is not None and not hot.uncommitted and hot.may_leave(self._clock.now(), hot.run.next_due()):
            self._loaded.drop(hot)
