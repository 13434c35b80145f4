"""Waiting for the end of an execution, wherever it runs."""

from __future__ import annotations

from collections.abc import Collection

from stepwell.base.errors import Conflict, StepwellError
from stepwell.engine.elsewhere import Elsewhere
from stepwell.engine.ground import Ground
from stepwell.engine.loaded import state_of, stored_execution
from stepwell.engine.waiters import Waiters
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION


class Ends:
    """Gives the state in which an execution ended, and tells whoever waits for that, here or elsewhere.

    Args:
        asks_others: those of other engines are waited for too.

    Attributes:
        elsewhere: those who wait in other engines, and those of other engines that are waited for.
    """

    def __init__(self, ground: Ground, elsewhere: Elsewhere, *, asks_others: bool) -> None:
        self._store = ground.store
        self._codec = ground.codec
        self._loaded = ground.loaded
        self._ownership = ground.ownership
        self._failure = ground.failure
        self._waiters = Waiters()
        self.elsewhere = elsewhere
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
                self._failure.check()
                state = await future
            if state is not None:
                return state

    async def _of_others(self, execution: str, shard: int) -> ExecutionState:
        if not self._asks_others:
            message = f"execution {execution} has not ended, and this engine does not run it"
            raise Conflict(message, code="run-elsewhere")
        return await self.elsewhere.ended(execution, shard)

    def tell(self, state: ExecutionState) -> None:
        """It has ended in this state, and that is stored."""
        self._waiters.tell(state)
        self.elsewhere.tell(state.id)

    def tell_late(self, state: ExecutionState) -> None:
        """What has come after the end is stored: whoever waits since then is told."""
        if state.id in self._waiters and state.status in ENDED_EXECUTION:
            self._waiters.tell(state)

    def fail(self, error: StepwellError, execution: str | None = None) -> None:
        """The end of this execution, or of any when None, will not be seen here."""
        if execution is None:
            self._waiters.fail_all(error)
        else:
            self._waiters.fail(execution, error)

    def lose(self, shards: Collection[int]) -> None:
        """These are owned no more: whoever waits looks where his execution is now."""
        self.elsewhere.lose(shards)
        self._waiters.look_again()
