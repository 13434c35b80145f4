"""Waiting for the end of an execution, wherever it runs."""

from __future__ import annotations

from collections.abc import Callable

from stepwell.base.errors import Conflict
from stepwell.engine.elsewhere import Elsewhere
from stepwell.engine.loaded import Loaded, state_of, stored_execution
from stepwell.engine.ownership import Ownership
from stepwell.engine.waiters import Waiters
from stepwell.execution.codec import Codec
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.store import Store


class Ends:
    """Gives the state in which an execution ended.

    Args:
        check_alive: raises when the engine has stopped.
        asks_others: those of other engines are waited for too.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        loaded: Loaded,
        ownership: Ownership,
        waiters: Waiters,
        elsewhere: Elsewhere,
        check_alive: Callable[[], None],
        asks_others: bool,
    ) -> None:
        self._store = store
        self._codec = codec
        self._loaded = loaded
        self._ownership = ownership
        self._waiters = waiters
        self._elsewhere = elsewhere
        self._check_alive = check_alive
        self._asks_others = asks_others

    async def of(self, execution: str) -> ExecutionState:
        """See `Engine.ended`."""
        while True:
            with self._waiters.waiting(execution) as future:
                hot = self._loaded.get(execution)
                if hot is not None and hot.run.state.status in ENDED_EXECUTION and not hot.uncommitted:
                    return hot.run.state  # it is in memory still, for somebody is being told
                if hot is None:
                    stored = await stored_execution(self._store, execution)
                    if stored.summary.status in ENDED_EXECUTION:
                        return state_of(self._codec, stored)
                    if stored.handle.shard not in self._ownership.fences:
                        return await self._of_others(execution, stored.handle.shard)
                self._check_alive()
                state = await future
            if state is not None:
                return state

    async def _of_others(self, execution: str, shard: int) -> ExecutionState:
        if not self._asks_others:
            message = f"execution {execution} has not ended, and this engine does not run it"
            raise Conflict(message, code="run-elsewhere")
        return await self._elsewhere.ended(execution, shard)
