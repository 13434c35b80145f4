"""The executions in memory, and how one gets there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Final

from stepwell.base.errors import NotFound, StoreError
from stepwell.decider.plan import Plan
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.engine.hot import Hot
from stepwell.execution.codec import Codec
from stepwell.execution.evolve import fold
from stepwell.execution.state import ExecutionState
from stepwell.ports.records import StoredExecution
from stepwell.ports.store import Store

PlanSource = Callable[[str], Awaitable[Plan]]
"""Gives the plan of the definition with that digest. Raises: StoreError: (code `unusable-definition`) it cannot be run
here, though it may be by an engine that knows more tasks."""
_UNUSABLE: Final = "unusable-definition"

_log = logging.getLogger(__name__)


class Loaded:
    """At most one `Hot` for every execution: two would be two writers.

    Args:
        owned: the shards that may be written: what is of others is not loaded.

    Attributes:
        unusable: executions whose definition cannot be run here: they stay as they are.
    """

    def __init__(self, store: Store, codec: Codec, plans: PlanSource, owned: Mapping[int, int]) -> None:
        self._store = store
        self._owned = owned
        self._losses = 0
        self._codec = codec
        self._plans = plans
        self._hot: dict[str, Hot] = {}
        self._loading: dict[str, asyncio.Task[bool]] = {}
        self.unusable: set[str] = set()
        self.get: Callable[[str], Hot | None] = self._hot.get
        """The execution, when it is in memory."""

    async def plan(self, digest: str) -> Plan:
        """The plan of the definition with that digest."""
        return await self._plans(digest)

    def __iter__(self) -> Iterator[Hot]:
        return iter(list(self._hot.values()))

    def add(self, hot: Hot) -> None:
        """Keep a new execution in memory."""
        self._hot[hot.handle.id] = hot

    def drop(self, hot: Hot) -> None:
        """Forget it. Everything decided must be stored."""
        if self._hot.get(hot.handle.id) is hot:
            del self._hot[hot.handle.id]
        hot.run.dissolve()

    def clear(self) -> None:
        """Forget all."""
        self._hot.clear()

    def note_loss(self) -> None:
        """A shard was lost: what is being read at this moment may be of it, and is read again."""
        self._losses += 1

    async def load(self, execution: str) -> Hot | None:
        """The execution, read from the store when it is not in memory; None when there is none in an owned shard."""
        while (hot := self._hot.get(execution)) is None:
            # Who comes while it is being read waits for the same reading, and then looks again: what was read may have
            # been changed, stored and dropped already.
            reading = self._loading.get(execution)
            if reading is None:
                reading = self._loading[execution] = asyncio.create_task(self._read(execution))
            if not await asyncio.shield(reading):
                return None
        return hot

    async def load_if_usable(self, execution: str) -> Hot | None:
        """The same; None too when its definition cannot be run here. Others go on, and it does with another engine."""
        try:
            return await self.load(execution)
        except StoreError as error:
            if error.code != _UNUSABLE:
                raise
            if execution not in self.unusable:
                self.unusable.add(execution)
                _log.error("execution %s does not go on here: %s", execution, error)
            return None

    async def _read(self, execution: str) -> bool:
        try:
            losses = self._losses
            stored = await self._store.load(execution)
            if stored is None or stored.handle.shard not in self._owned:
                return False
            plan = await self._plans(stored.created.digest)
            if losses != self._losses:
                return True
            run = run_of(self._codec, plan, stored)
            self._hot[execution] = Hot(stored.handle, run, stored.summary, stored.snapshot_seq)
            return True
        finally:
            del self._loading[execution]


def run_of(codec: Codec, plan: Plan, stored: StoredExecution) -> Run:
    """A stored execution, folded and ready to decide on."""
    events = [event for row in stored.history for event in codec.decode_events(row.events)]
    return replay(plan, events, snapshot_of(codec, stored))


def snapshot_of(codec: Codec, stored: StoredExecution) -> ExecutionState | None:
    """The state of its snapshot, when it has one."""
    return codec.decode_state(stored.snapshot) if stored.snapshot is not None else None


async def stored_execution(store: Store, execution: str) -> StoredExecution:
    """The execution as the store has it.

    Raises:
        NotFound: (code `unknown-execution`) it is not there.
    """
    stored = await store.load(execution)
    if stored is None:
        raise NotFound(f"there is no execution {execution!r} in this store", code="unknown-execution")
    return stored


async def recorded_state(store: Store, codec: Codec, execution: str) -> ExecutionState:
    """What is recorded of the execution.

    Raises:
        NotFound: (code `unknown-execution`) it is not there.
    """
    return state_of(codec, await stored_execution(store, execution))


def state_of(codec: Codec, stored: StoredExecution) -> ExecutionState:
    """What is recorded of a stored execution."""
    events = [event for row in stored.history for event in codec.decode_events(row.events)]
    return fold(events, snapshot_of(codec, stored))
