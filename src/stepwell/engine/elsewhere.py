"""Executions that another engine runs, and somebody here waits for.

Whoever waits leaves an item in the inbox of the execution's shard. It stays there until the execution has ended, so
that it goes with the shard wherever that goes; then it is consumed, and answered, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import msgspec

from stepwell.engine.committer import Entry
from stepwell.engine.loaded import Loaded, recorded_state
from stepwell.engine.post_box import PostBox
from stepwell.execution.codec import Codec
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.records import InboxItem
from stepwell.ports.store import Store

AWAIT: Final = "await_end"
"""The kind of the inbox items that ask to be told of an end. They stay until it has come."""
ENDED: Final = "ended"
"""The kind of the items that say that an execution has ended."""


class Elsewhere:
    """Waits for executions of others, and tells others of one's own.

    Args:
        submit: has inbox items deleted, and others put there.
    """

    def __init__(
        self, store: Store, codec: Codec, loaded: Loaded, box: PostBox, submit: Callable[[Entry], None]
    ) -> None:
        self._store = store
        self._codec = codec
        self._loaded = loaded
        self._box = box
        self._submit = submit
        self._asked: dict[str, dict[int, InboxItem]] = {}

    async def ended(self, execution: str, shard: int) -> ExecutionState:
        """Wait until the execution, of that shard, has ended."""
        with self._box.answer(execution) as told:
            payload = msgspec.msgpack.encode(self._box.number)
            await self._store.post([InboxItem(shard=shard, kind=AWAIT, payload=payload, execution=execution)])
            await told
        return await recorded_state(self._store, self._codec, execution)

    # ── For others ───────────────────────────────────────────────────────────────────────────────────────────────────

    def __contains__(self, execution: str) -> bool:
        return execution in self._asked

    async def take(self, item: InboxItem) -> None:
        """Somebody elsewhere waits for an execution of a shard owned here."""
        execution = item.execution or ""
        asked = self._asked.setdefault(execution, {})
        if any(each.payload == item.payload for each in asked.values()):
            self._submit(Entry(None, None, None, (item.id,), shard=item.shard))  # the same one asks again
            return
        asked[item.id] = item  # first: it may end while it is looked at
        hot = self._loaded.get(execution)
        if hot is None:
            stored = await self._store.load(execution)
            if stored is None or stored.summary.status in ENDED_EXECUTION:
                self.tell(execution)
        elif hot.run.state.status in ENDED_EXECUTION and not hot.uncommitted:
            self.tell(execution)

    def tell(self, execution: str) -> None:
        """The execution has ended, and that is stored."""
        for item in self._asked.pop(execution, {}).values():
            told = InboxItem(
                shard=msgspec.msgpack.decode(item.payload, type=int), kind=ENDED, payload=b"", step=execution
            )
            self._submit(Entry(None, None, None, (item.id,), posts=[told], shard=item.shard))

    def lose(self, shards: Collection[int]) -> None:
        """These shards are owned no more: whoever has them finds the items."""
        for execution, items in list(self._asked.items()):
            left = {id_: item for id_, item in items.items() if item.shard not in shards}
            if left:
                self._asked[execution] = left
            else:
                del self._asked[execution]
