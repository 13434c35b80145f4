"""The engine: what is asked of the loop around the decider, and how that begins and ends.

A crash at any instant loses nothing that was acknowledged: on the next start the history is folded, and what is
outstanding is dispatched again.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

from stepwell.base.clock import Clock
from stepwell.base.errors import FenceLost, StepwellError, StoreError
from stepwell.decider.plan import Plan
from stepwell.engine.background import Background, Upkeep
from stepwell.engine.beginning import Beginning
from stepwell.engine.children import NamedPlans
from stepwell.engine.committer import shard_lost
from stepwell.engine.failure import Failure
from stepwell.engine.forking import Forked
from stepwell.engine.gates import GateState
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.engine.inbox import Inbox
from stepwell.engine.incoming import Incoming
from stepwell.engine.limits import Limits as Limits
from stepwell.engine.loaded import Loaded, PlanSource, recorded_state
from stepwell.engine.loop import Loop
from stepwell.engine.membership import Joining, Membership
from stepwell.engine.moving import Moving
from stepwell.engine.operating import Answer
from stepwell.engine.ownership import Ownership
from stepwell.engine.post_box import PostBox
from stepwell.engine.publishing import Publishing
from stepwell.engine.requests import StartRequest
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.state import ExecutionState
from stepwell.execution.verbs import Verb
from stepwell.policy.gates import Gates
from stepwell.policy.limits import Policy
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.measures import Measures, Unmeasured
from stepwell.ports.records import Presence, Published
from stepwell.ports.store import Store
from stepwell.ports.work import Dispatcher, Observer, ReportCallback

_log = logging.getLogger(__name__)


class Engine:
    """Runs executions on one event loop.

    Args:
        owner: unique text for this engine, shown to whoever finds its shards taken.
        observer: told what was committed; None for nobody.
        entropy: gives that many random bytes.
        service_gates: what stands before every call of a service, beside the gates of the step, by the service's name.
        measures: told what the engine measures of itself; None for nobody.
        joins: how it shares shards with other engines on the store; None for one with a shard of its own.

    Attributes:
        report: the dispatcher's callback: an attempt has ended.
        post_box: where other engines answer.

    Give it a dispatcher with `connect`, then `open` it. Everything else may be called from the event loop only.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        clock: Clock,
        plans: PlanSource,
        owner: str,
        limits: Limits = Limits(),  # noqa: B008 - frozen
        observer: Observer | None = None,
        entropy: Callable[[int], bytes] = os.urandom,
        service_gates: Mapping[str, Gates] | None = None,
        named_plans: NamedPlans | None = None,
        measures: Measures | None = None,
        joins: Joining | None = None,
    ) -> None:
        self.name = owner
        ownership, failure = Ownership(store, clock, owner), Failure(self._stop)
        self._ground = ground = Ground(
            store=store,
            codec=codec,
            clock=clock,
            plans=plans,
            entropy=entropy,
            limits=limits,
            measures=measures or Unmeasured(),
            ownership=ownership,
            loaded=Loaded(store, codec, plans, ownership.fences),
            failure=failure,
            background=Background(failure.note),
        )
        self._inbox = Inbox(store, ownership)
        self.post_box = PostBox(store)
        self._loop = Loop(ground, self._inbox, self.post_box, observer, service_gates or {}, is_node=joins is not None)
        self._beginning = Beginning(ground, self._loop)
        self._incoming = Incoming(ground, self._loop, self._beginning, named_plans)
        requests = self._incoming.requests
        self._publishing = Publishing(ground, requests, self._inbox)
        self._moving = Moving(ground, self._loop, self._inbox, (self._loop, self._inbox, requests, self._loop.ends))
        self._membership = Membership(ground, self._moving, owner, joins) if joins is not None else None
        renew = self._membership.attend if self._membership is not None else ownership.renew
        self._upkeep = Upkeep(store, renew, clock, ground.background)
        self._draining = False
        self.report: ReportCallback = self._loop.outgoing.report

    # ── Life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def connect(self, dispatcher: Dispatcher) -> None:
        """Have work done by this dispatcher, whose reports come to `report`."""
        self._loop.outgoing.connect(dispatcher)

    async def open(self, shard: int | None = None, *, take_over: bool = False, behind: int = 0) -> None:
        """Own a shard (any free one when None) and go on with what was interrupted there; as a node, own a fair share.

        Args:
            take_over: also own every other shard with unfinished executions whose engine is gone.
            behind: the lowest number that a free shard may have: those below are shared out among nodes.

        Raises:
            Conflict: code `shard-owned`: another engine owns the shard; `cluster-mismatch`: see `Membership.open`.
        """
        ownership, loop = self._ground.ownership, self._loop
        claimed = await self._membership.open() if self._membership is not None else ()
        if self._membership is None:
            await ownership.take_home(shard, behind)
            if take_over:
                await ownership.take_over_orphans()
        loop.committer.open(self._moving.lose if self._membership is not None else None)
        if not self._ground.store.listen(self._inbox.look):  # a call may go astray
            self._upkeep.renewed = self._inbox.look
        self._ground.background.spawn(loop.due.run())
        for owned in ownership.shards():
            await loop.recover(owned)
        await self._moving.take_up(claimed)
        self._ground.background.spawn(
            self._inbox.run(self._incoming.hand_over)
        )  # only now: what it has decided is outstanding, and not yet to be acted on
        await loop.due.open()
        self._upkeep.open()
        self._inbox.look()

    async def drain(self, within: int) -> None:
        """Begin nothing new, let the attempts at work end, for `within` microseconds at most, and give up every shard
        as soon as nothing is at work in it. What is left to do, others do; the engine can only be closed after that."""
        self._draining = True
        if self._membership is not None and self.failure is None:
            await self._membership.leave()
        if self.failure is None:
            await self._moving.hand_over(list(self._ground.ownership.fences), within)

    def hurry(self) -> None:
        """Drain at once: wait for no attempt any more."""
        self._moving.leaving.hurry()

    async def close(self) -> None:
        """Stop: work in flight is stopped without a result, and goes on when the execution is next resumed."""
        loop = self._loop
        if self.failure is None:
            await loop.outgoing.telling.settle()
        loop.admission.close()
        loop.outgoing.gatekeeper.close()
        self._upkeep.close()
        loop.due.close()
        await loop.outgoing.close()
        await loop.committer.close()
        await self._ground.background.close()
        await self.post_box.close()
        self._ground.loaded.clear()
        self._fail_waiters(StepwellError("the engine was closed", code="engine-closed"))
        if self._membership is not None and not isinstance(self.failure, StoreError):
            await self._membership.close()
        if self.failure is None:
            await self._ground.ownership.release()

    def _stop(self, error: StepwellError) -> None:
        """The store refused a commit: what is in memory is ahead of it and worthless, so the engine stops here."""
        if isinstance(error, FenceLost):
            self._ground.measures.lease_lost()
        _log.info("the engine has stopped: %s", error)  # every caller is told; this is for the record
        self._loop.outgoing.gatekeeper.close()
        self._ground.loaded.clear()
        self._fail_waiters(error)
        self._ground.background.spawn(self._loop.outgoing.close())

    def _fail_waiters(self, error: StepwellError) -> None:
        self._incoming.requests.fail(error)
        self._loop.ends.fail(error)

    def _check_open(self) -> None:
        self._ground.failure.check()
        if self._draining:
            raise StepwellError("this engine is about to end, and starts nothing new", code="draining")

    # ── What is asked of it ──────────────────────────────────────────────────────────────────────────────────────────

    async def start(
        self, plan: Plan, given: Any, *, start_key: str | None = None, tags: Sequence[str] = (), trace: str = ""
    ) -> str:
        """Start an execution; returns its id once the start is durable.

        Args:
            given: the input, an object as JSON has it, or None for an empty one.
            start_key: makes the start idempotent: the same key with the same workflow and input returns the first
                execution.
            tags: what it is listed under, beside the tags of the workflow.
            trace: the `traceparent` of whoever asks for it; empty for none.

        Raises:
            InvalidInput: the input does not satisfy the schema; nothing is stored.
            Conflict: code `start-key-reused`: the key was used with another workflow or input.
            StoreError: the start could not be stored.
        """
        self._check_open()
        return await self._beginning.start(plan, given, start_key, tags, trace)

    async def ended(self, execution: str) -> ExecutionState:
        """Wait until the execution has ended, wherever it runs, and return its state.

        Raises:
            NotFound: there is no such execution.
            Conflict: (code `run-elsewhere`) it has not ended, and this engine, which is no node, does not run it.
        """
        return await self._loop.ends.of(execution)

    def recorded(self, execution: str) -> Awaitable[None]:
        """Wait until what was reported of the execution, up to this call, is durable.

        Raises:
            Conflict: (code `shard-lost`) it is not recorded, for another node runs the execution now. StepwellError: it
                is not, for the engine has stopped.
        """
        return self._recorded(self._ground.loaded.get(execution))

    async def _recorded(self, hot: Hot | None) -> None:
        await self._loop.committer.drained()
        self._ground.failure.check()
        if hot is not None and hot.unwritten:
            raise shard_lost()

    async def told(self) -> None:
        """Wait until nobody is being told anything, and that is recorded; but not for long."""
        await self._loop.outgoing.telling.settle()
        await self._loop.committer.drained()

    async def operate(self, execution: str, verb: Verb) -> Answer:
        """Do what an operator asks for; durable when it returns.

        Raises:
            NotFound: there is no such execution, step or checkpoint. Conflict: it makes no sense now, in which case
                nothing is recorded; or (code `run-elsewhere`) another engine runs the execution, or nobody does.
        """
        self._ground.failure.check()
        return await self._incoming.operate(execution, verb)

    async def fork(self, execution: str, at_event: int, *, by: str, reason: str = "") -> Forked:
        """Begin another execution with the history of this one, to the end of the turn of that event.

        Raises:
            NotFound: (code `unknown-execution`, `unknown-event`). Conflict: there is nothing to go on with there.
        """
        self._check_open()
        return await self._beginning.fork(execution, at_event, by, reason)

    async def state(self, execution: str) -> ExecutionState:
        """What is recorded of the execution.

        Raises:
            NotFound: there is no such execution.
        """
        return await recorded_state(self._ground.store, self._ground.codec, execution)

    async def publish(
        self,
        event: Event,
        requests: Sequence[StartRequest] = (),
        entries: Sequence[JournalEntry] = (),
        writes: Sequence[Write] = (),
    ) -> Published:
        """Store an event and wake what waits for it. Durable when it returns.

        Args:
            requests: what it starts, unless it is a duplicate; started, and durable, when this returns.
            entries: what is noted of it, unless it is a duplicate.
            writes: of documents, in the same transaction, unless it is a duplicate.

        Raises:
            Conflict: (code `changed-meanwhile`) a document is not as it was expected; nothing was stored.
        """
        self._ground.failure.check()
        return await self._publishing.publish(event, requests, entries, writes)

    async def write(
        self, writes: Sequence[Write], requests: Sequence[StartRequest], entries: Sequence[JournalEntry] = ()
    ) -> None:
        """Change documents, and start executions with that. Started, and durable, when it returns.

        Raises:
            Conflict: (code `changed-meanwhile`) a document is not as it was expected; nothing was stored or started.
        """
        self._ground.failure.check()
        await self._publishing.write(writes, requests, entries)

    def peek(self, execution: str) -> ExecutionState | None:
        """The state of an execution that is in memory: to look at, and ahead of what is recorded."""
        hot = self._ground.loaded.get(execution)
        return hot.run.state if hot is not None else None

    @property
    def failure(self) -> StepwellError | None:
        """Why the engine has stopped; None while it runs."""
        return self._ground.failure.error

    async def stopped(self) -> None:
        """Wait until the engine has stopped because something went wrong; `failure` says what. Only another one can go
        on with what is stored."""
        await self._ground.failure.wait()

    @property
    def codec(self) -> Codec:
        """Writes and reads what it keeps."""
        return self._ground.codec

    @property
    def shards(self) -> Collection[int]:
        """The shards that it owns."""
        return tuple(self._ground.ownership.shards())

    @property
    def unusable(self) -> Collection[str]:
        """Executions that do not go on here, for their definitions cannot be run."""
        return self._ground.loaded.unusable

    @property
    def leads(self) -> bool:
        """Whether this engine is the one to do what only one of those on the store should do at a time. Of nodes it is
        the one with the first shard, so that there may be none, or two, for the moment in which that moves."""
        return self._membership is None or self._ground.ownership.is_open(0)

    @property
    def nodes(self) -> Sequence[Presence]:
        """The nodes that share shards out, as this one saw them last; none when it is no node."""
        return self._membership.nodes if self._membership is not None else ()

    def load(self) -> dict[str, int | None]:
        """Executions at work, in line for a place, and the limit."""
        return self._loop.admission.load()

    def gates(self) -> list[GateState]:
        """What can be seen of the circuit breakers, bulkheads and rate limits used since the engine was opened."""
        return self._loop.outgoing.gatekeeper.states()

    def set_policies(self, policies: Mapping[tuple[type[Policy], str], Policy]) -> None:
        """See `Gatekeeper.set_policies`."""
        self._loop.outgoing.gatekeeper.set_policies(policies)

    def reset_circuit(self, name: str) -> bool:
        """See `Gatekeeper.reset`."""
        return self._loop.outgoing.gatekeeper.reset(name)
