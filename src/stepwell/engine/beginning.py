"""How executions begin: started by a caller, asked for through the inbox, or forked from another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from stepwell.base.errors import Conflict
from stepwell.base.ids import execution_id
from stepwell.decider.create import Start, create
from stepwell.decider.decide import decide
from stepwell.decider.plan import Plan
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.engine.committer import SHARD_LOST
from stepwell.engine.forking import Forked, prepare_fork
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.engine.loaded import recorded_state
from stepwell.engine.loop import Loop
from stepwell.execution.evolve import begin
from stepwell.execution.history import ExecutionCreated
from stepwell.execution.inputs import Begin
from stepwell.ports.records import DuplicateStart, Handle, InboxItem, NewExecution


class _Turns:
    """Those who start with one key, one after the other. `wanted`: how many they are."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.wanted = 0


class Beginning:
    """Creates executions."""

    def __init__(self, ground: Ground, loop: Loop) -> None:
        self._store = ground.store
        self._codec = ground.codec
        self._clock = ground.clock
        self._entropy = ground.entropy
        self._default_timeout = ground.limits.default_timeout
        self._loaded = ground.loaded
        self._ownership = ground.ownership
        self._admission = loop.admission
        self._submit = loop.submit
        self._turns: dict[str, _Turns] = {}

    async def start(
        self, plan: Plan, given: Any, start_key: str | None, tags: Sequence[str] = (), trace: str = ""
    ) -> str:
        """See `Engine.start`."""
        if start_key is None:
            return await self._start_new(plan, given, None, tags, trace)
        return await self._in_turn(start_key, lambda: self._start_once(plan, given, start_key, tags, trace))

    async def requested(self, plan: Plan, start: Start, item: InboxItem) -> None:
        """Create what an inbox item asks for; durable when this returns.

        Raises:
            InvalidInput: nothing is stored. DuplicateStart: its start key was used by somebody else.
        """
        if start.start_key is None:
            await self._durable(plan, start, item.shard, (item.id,))
        else:
            await self._in_turn(start.start_key, lambda: self._requested_once(plan, start, item))

    async def _requested_once(self, plan: Plan, start: Start, item: InboxItem) -> str:
        if start.start_key is not None and await self._store.find_start(start.start_key) is not None:
            raise DuplicateStart(start.start_key)
        return await self._durable(plan, start, item.shard, (item.id,))

    async def fork(self, execution: str, at_event: int, by: str, reason: str) -> Forked:
        """See `Engine.fork`."""
        prepared = await prepare_fork(
            self._store,
            self._codec,
            self._loaded.plan,
            self._clock.now(),
            self._entropy,
            execution,
            at_event,
            by,
            reason,
        )
        prepared.hot.handle.shard = await self._ownership.soon_somewhere()
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loaded.add(prepared.hot)
        self._submit(prepared.hot, prepared.decision, prepared.at, create=prepared.create, started=started)
        await started
        return prepared.forked

    def asked(self, plan: Plan, start: Start, item: InboxItem) -> None:
        """Create what an inbox item asks for.

        Raises:
            InvalidInput: nothing is stored.
        """
        self._create(plan, start, item.shard, (item.id,), None)

    def first_decision(self, hot: Hot, created: ExecutionCreated, now: int) -> Decision:
        """The creation, and the beginning with it when a place is free."""
        if not self._admission.enter(hot):
            return Decision([created], [])
        decision = decide(hot.run, Begin(), now)
        return Decision([created, *decision.events], decision.commands)

    async def _in_turn(self, start_key: str, begin: Callable[[], Awaitable[str]]) -> str:
        """Begin when nobody else is about to with this key: in one commit, each would keep the other from being
        written."""
        turns = self._turns.setdefault(start_key, _Turns())
        turns.wanted += 1
        try:
            async with turns.lock:
                return await begin()
        finally:
            turns.wanted -= 1
            if not turns.wanted:
                del self._turns[start_key]

    async def _start_once(self, plan: Plan, given: Any, start_key: str, tags: Sequence[str], trace: str) -> str:
        first = await self._store.find_start(start_key)
        if first is None:
            try:
                return await self._start_new(plan, given, start_key, tags, trace)
            except DuplicateStart:  # somebody else, in another process, was quicker
                first = await self._store.find_start(start_key)
        assert first is not None, "a taken start key names an execution"
        state = await recorded_state(self._store, self._codec, first)
        wanted = create(plan, Start(id="", input=given, seed=b"", start_key=start_key), self._clock.now())
        if (state.workflow, state.version, state.input) != (wanted.workflow, wanted.version, wanted.input):
            raise Conflict(
                f"the key {start_key!r} was used to start {state.workflow!r} {state.version} with another input",
                code="start-key-reused",
                hint=f"use another key, or look at execution {first}",
            )
        return first

    async def _start_new(self, plan: Plan, given: Any, start_key: str | None, tags: Sequence[str], trace: str) -> str:
        start = Start(
            id=execution_id(self._entropy(16)),
            input=given,
            seed=self._entropy(16),
            start_key=start_key,
            default_timeout=self._default_timeout,
            trace=trace,
        )
        while True:
            shard = self._ownership.somewhere()
            try:
                return await self._durable(
                    plan, start, shard if shard is not None else await self._ownership.soon_somewhere(), (), tags
                )
            except Conflict as conflict:
                if conflict.code != SHARD_LOST:
                    raise  # else nothing of it was written, and there may be another shard

    async def _durable(
        self, plan: Plan, start: Start, shard: int, consumed: Sequence[int], tags: Sequence[str] = ()
    ) -> str:
        started: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        hot = self._create(plan, start, shard, consumed, started, tags)
        try:
            return await started
        except DuplicateStart:
            self._forget(hot)
            raise

    def _create(
        self,
        plan: Plan,
        start: Start,
        shard: int,
        consumed: Sequence[int],
        started: asyncio.Future[str] | None,
        tags: Sequence[str] = (),
    ) -> Hot:
        now = self._clock.now()
        created = create(plan, start, now)
        hot = Hot(Handle(created.id, shard), Run(plan, begin(created)))
        self._loaded.add(hot)
        decision = self.first_decision(hot, created, now)
        self._submit(hot, decision, now, consumed, create=_new_execution(plan, created, tags), started=started)
        return hot

    def _forget(self, hot: Hot) -> None:
        """Its creation was refused."""
        hot.refused = True
        self._admission.leave(hot)
        self._loaded.drop(hot)
        self._admission.admit()


def _new_execution(plan: Plan, created: ExecutionCreated, tags: Sequence[str]) -> NewExecution:
    return NewExecution(
        workflow=created.workflow,
        version=created.version,
        digest=created.digest,
        created_at=created.at,
        start_key=created.start_key,
        tags=tuple(dict.fromkeys((*plan.definition.tags, *tags))),
        parent=f"{created.parent}/{created.parent_step}" if created.parent is not None else None,
    )
