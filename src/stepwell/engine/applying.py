"""Acting on executions that no engine runs: a shard is owned for the moment that one change takes.

Nothing is dispatched. What has to be done because of the change is done by the engine that next takes the shard up.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict, NotFound
from stepwell.decider.turn import Decision
from stepwell.engine.changes import note_commands
from stepwell.engine.forking import Forked, Prepared, prepare_fork
from stepwell.engine.hot import Hot
from stepwell.engine.loaded import PlanSource, run_of
from stepwell.engine.operating import Answer, answer_of, decided, new_version, request_in, unknown_execution
from stepwell.engine.ownership import LEASE_TTL
from stepwell.execution.codec import Codec
from stepwell.execution.verbs import Migrate, Verb
from stepwell.ports.records import Batch, Change, Lease, NewExecution, NewVersion
from stepwell.ports.store import Store


class Alone:
    """Changes executions whose shards nobody owns.

    Args:
        owner: unique text for this process, shown to whoever finds a shard taken meanwhile.
    """

    def __init__(self, store: Store, codec: Codec, clock: Clock, plans: PlanSource, owner: str) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock
        self._plans = plans
        self._owner = owner

    async def ask(self, execution: str, verb: Verb, request: str = "") -> Answer | None:
        """Do what an operator asks for; durable when it returns.

        Args:
            request: the id of a request for the same that was put into the shard's inbox before, and that is withdrawn.
                When it is no longer there, somebody has acted on it: nothing is done, and None returned.

        Raises:
            NotFound: there is no such execution, step, checkpoint. Conflict: it makes no sense now; or (code
                `shard-owned`) an engine runs the execution.
        """
        stored = await self._store.load(execution)
        if stored is None:
            raise unknown_execution(execution)
        shard = stored.handle.shard
        async with self._owning(shard) as lease:
            stored = await self._store.load(execution)  # as it is now that nobody else can change it
            assert stored is not None, "executions are not deleted"
            plan = await self._plans(stored.created.digest)
            hot = Hot(stored.handle, run_of(self._codec, plan, stored), stored.summary, stored.snapshot_seq)
            target = await self._plans(verb.digest) if isinstance(verb, Migrate) else None
            at = self._clock.now()
            posted = request_in(await self._store.inbox(shard), request, self._codec) if request else None
            if request and posted is None:
                return None
            consumed = [posted.id] if posted is not None else []
            try:
                decision = decided(hot, verb, at, target)
            except (Conflict, NotFound):
                await self._write(lease, hot, Decision([], []), at, consumed=consumed)
                raise
            await self._write(lease, hot, decision, at, consumed=consumed, moved_to=new_version(verb))
            return answer_of(hot, verb, decision)

    async def fork(
        self, execution: str, at_event: int, by: str, reason: str, entropy: Callable[[int], bytes]
    ) -> Forked:
        """Begin another execution with the history of this one; see `prepare_fork`."""
        prepared = await prepare_fork(
            self._store, self._codec, self._plans, self._clock.now(), entropy, execution, at_event, by, reason
        )
        async with self._owning(None) as lease:
            await self._write_fork(lease, prepared)
        return prepared.forked

    @asynccontextmanager
    async def _owning(self, shard: int | None) -> AsyncIterator[Lease]:
        lease = await self._store.acquire(shard, self._owner, self._clock.now(), LEASE_TTL)
        try:
            yield lease
        finally:
            await self._store.release([lease])

    async def _write_fork(self, lease: Lease, prepared: Prepared) -> None:
        hot = prepared.hot
        hot.handle.shard = lease.shard
        await self._write(lease, hot, prepared.decision, prepared.at, create=prepared.create)

    async def _write(
        self,
        lease: Lease,
        hot: Hot,
        decision: Decision,
        at: int,
        *,
        consumed: list[int] | None = None,
        create: NewExecution | None = None,
        moved_to: NewVersion | None = None,
    ) -> None:
        changes = []
        posts = []
        if decision.events or decision.commands:
            change = Change(
                handle=hot.handle,
                seq=hot.run.state.seq,
                events=self._codec.encode_events(decision.events) if decision.events else b"",
                create=create,
                summary=hot.new_summary(),
                moved_to=moved_to,
            )
            posts = note_commands(change, decision.commands, hot.run, self._codec, at)
            changes.append(change)
        if changes or consumed:
            batch = Batch(fences={lease.shard: lease.fence}, changes=changes, consumed=consumed or (), posts=posts)
            await self._store.append(batch)
