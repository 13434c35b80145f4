"""The engine: one loop around the decider.

What comes in is decided at once, in memory; what was decided is committed, many executions in one transaction; and only
what is committed is acted on. A crash at any instant loses nothing that was acknowledged: on the next start the history
is folded, and what is outstanding is dispatched again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, assert_never

from stepwell.base.clock import Clock
from stepwell.base.errors import FenceLost, StepwellError, StoreError
from stepwell.decider.decide import decide
from stepwell.decider.outstanding import outstanding
from stepwell.decider.plan import Plan
from stepwell.decider.turn import Decision
from stepwell.engine.admission import Admission
from stepwell.engine.background import Background, Upkeep
from stepwell.engine.beginning import Beginning
from stepwell.engine.changes import note_commands
from stepwell.engine.children import Children, NamedPlans
from stepwell.engine.committer import Committer, Entry
from stepwell.engine.due import Due
from stepwell.engine.elsewhere import Elsewhere
from stepwell.engine.ends import Ends
from stepwell.engine.forking import Forked
from stepwell.engine.gatekeeper import Gatekeeper
from stepwell.engine.gates import GateState
from stepwell.engine.hot import Hot
from stepwell.engine.inbox import Inbox
from stepwell.engine.incoming import Incoming
from stepwell.engine.limits import Limits as Limits
from stepwell.engine.loaded import Loaded, PlanSource, state_of, stored_execution
from stepwell.engine.membership import Joining, Membership
from stepwell.engine.moving import Moving
from stepwell.engine.operating import Answer, Operating
from stepwell.engine.ownership import Ownership
from stepwell.engine.post_box import PostBox
from stepwell.engine.publishing import Publishing
from stepwell.engine.requests import Requests, StartRequest
from stepwell.engine.reusing import Reuse
from stepwell.engine.telling import Telling
from stepwell.engine.waiters import Waiters
from stepwell.execution.codec import Codec
from stepwell.execution.commands import (
    AnswerParent,
    AwaitEvent,
    Command,
    CompensateChild,
    Deliver,
    EndExecution,
    ForgetWait,
    KeepResult,
    ReleaseLock,
    ResolveDeadLetter,
    RunStep,
    StartChild,
    StopStep,
    TakeLock,
    TellChild,
)
from stepwell.execution.event import Event
from stepwell.execution.inputs import Begin, Input, ResultFound
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus
from stepwell.execution.verbs import Verb
from stepwell.execution.work import Report
from stepwell.policy.gates import Gates
from stepwell.policy.limits import Policy
from stepwell.ports.ledger import JournalEntry, Write
from stepwell.ports.measures import Measures, Unmeasured
from stepwell.ports.records import (
    Change,
    InboxItem,
    NewExecution,
    NewVersion,
    Presence,
    Published,
)
from stepwell.ports.store import Store
from stepwell.ports.work import Dispatcher, Observer

_log = logging.getLogger(__name__)
_UNCONNECTED: Final = "connect a dispatcher before opening the engine"


class Engine:
    """Runs executions on one event loop.

    Args:
        owner: unique text for this engine, shown to whoever finds its shards taken.
        observer: told what was committed; None for nobody.
        entropy: gives that many random bytes.
        service_gates: what stands before every call of a service, beside the gates of the step, by the service's name.
        measures: told what the engine measures of itself; None for nobody.
        joins: how it shares shards with other engines on the store; None for one with a shard of its own.

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
        self._measures = measures or Unmeasured()
        self._entropy = entropy
        self._store = store
        self._codec = codec
        self._clock = clock
        self._limits = limits
        self._observer = observer
        self._ownership = Ownership(store, clock, owner)
        self._loaded = Loaded(store, codec, plans, self._ownership.fences)
        self._committer = Committer(
            store,
            self._ownership,
            self._on_committed,
            self._on_failure,
            clock,
            self._measures,
            on_lost=(lambda fences: self._moving.lose(fences)) if joins is not None else None,
            dropped=lambda entry: self._moving.dropped(entry),
            refused=self._loaded.drop,
        )
        self._due = Due(self._loaded, store, clock, self._committer, self._ownership, self._take, self._measures)
        self._inbox = Inbox(store, self._ownership, lambda item: self._incoming.hand_over(item))
        self._service_gates = service_gates or {}
        self._gatekeeper = Gatekeeper(clock, lambda work: self._work().dispatch(work), self.report, self._service_gates)
        self._telling = Telling(clock, lambda work: self._work().dispatch(work))
        self._background = Background(self._on_failure)
        self._reuse = Reuse(store, codec, clock, self._dispatch, self._take_found, self._background.spawn)
        self._operating = Operating(
            codec,
            clock,
            plans,
            lambda execution: self._incoming.load(execution),
            self._submit,
            self._committer.submit,
            self._quarantine,
        )
        self._admission = Admission(limits.max_workflows, limits.queue_timeout, clock, self._dispatch, self._take)
        self._beginning = Beginning(
            store,
            codec,
            clock,
            entropy,
            self._loaded,
            self._admission,
            self._submit,
            self._ownership,
            self.state,
            limits.default_timeout,
        )
        self._children = Children(
            codec, named_plans, self._beginning.asked, lambda item, told: self._incoming.refuse(item, told)
        )
        self._requests = Requests(
            store, codec, self._loaded.plan, self._beginning.requested, lambda item: self._incoming.consume(item)
        )
        self._publishing = Publishing(
            store,
            codec,
            clock,
            self._ownership,
            self._requests,
            self._inbox,
            self._measures,
            limits.keep_events,
        )
        self._waiters = Waiters()
        self.post_box = PostBox(store)
        self._elsewhere = Elsewhere(store, codec, self._loaded, self.post_box, self._committer.submit)
        self._incoming = Incoming(
            store,
            codec,
            clock,
            entropy,
            limits.default_timeout,
            self._loaded,
            self._ownership,
            self._committer,
            self._operating,
            self._children,
            self._requests,
            self._elsewhere,
            self._take,
            self._background.spawn,
        )
        self._ends = Ends(
            store,
            codec,
            self._loaded,
            self._ownership,
            self._waiters,
            self._elsewhere,
            self._check_alive,
            joins is not None,
        )
        self._moving = Moving(
            store,
            clock,
            self._ownership,
            self._loaded,
            self._committer,
            self._admission,
            self._gatekeeper,
            self._reuse,
            self._telling,
            self._inbox,
            self._due,
            self._requests,
            self._waiters,
            self._elsewhere,
            self._measures,
            self._work,
            self._recover,
        )
        self._membership = (
            Membership(store, self._ownership, clock, self._background, self._moving, owner, joins) if joins else None
        )
        renew = self._membership.attend if self._membership is not None else self._ownership.renew
        self._upkeep = Upkeep(store, renew, clock, self._background)
        self._draining = False
        self._dispatcher: Dispatcher | None = None
        self._failure: StepwellError | None = None

    # ── Life ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def connect(self, dispatcher: Dispatcher) -> None:
        """Have work done by this dispatcher, whose reports come to `report`."""
        self._dispatcher = dispatcher

    async def open(self, shard: int | None = None, *, take_over: bool = False, behind: int = 0) -> None:
        """Own a shard (any free one when None) and go on with what was interrupted there; as a node, own a fair share.

        Args:
            take_over: also own every other shard with unfinished executions whose engine is gone.
            behind: the lowest number that a free shard may have: those below are shared out among nodes.

        Raises:
            Conflict: code `shard-owned`: another engine owns the shard; `cluster-mismatch`: see `Membership.open`.
        """
        claimed = await self._membership.open() if self._membership is not None else ()
        if self._membership is None:
            await self._ownership.take_home(shard, behind)
            if take_over:
                await self._ownership.take_over_orphans()
        self._committer.open()
        if not self._store.listen(self._inbox.look):  # a call may go astray
            self._upkeep.renewed = self._inbox.look
        self._background.spawn(self._due.run())
        for owned in self._ownership.shards():
            await self._recover(owned)
        await self._moving.take_up(claimed)
        self._background.spawn(
            self._inbox.run()
        )  # only now: what it has decided is outstanding, and not yet to be acted on
        await self._due.open()
        self._upkeep.open()
        self._inbox.look()

    async def drain(self, within: int) -> None:
        """Begin nothing new, let the attempts at work end, for `within` microseconds at most, and give up every shard
        as soon as nothing is at work in it. What is left to do, others do; the engine can only be closed after that."""
        self._draining = True
        if self._membership is not None and self._failure is None:
            await self._membership.leave()
        if self._failure is None:
            await self._moving.hand_over(list(self._ownership.fences), within)

    def hurry(self) -> None:
        """Drain at once: wait for no attempt any more."""
        self._moving.hurry()

    async def close(self) -> None:
        """Stop: work in flight is stopped without a result, and goes on when the execution is next resumed."""
        if self._failure is None:
            await self._telling.settle()
        self._admission.close()
        self._gatekeeper.close()
        self._upkeep.close()
        self._due.close()
        if self._dispatcher is not None:
            await self._dispatcher.close()
        await self._committer.close()
        await self._background.close()
        await self.post_box.close()
        self._loaded.clear()
        self._fail_waiters(StepwellError("the engine was closed", code="engine-closed"))
        if self._membership is not None and not isinstance(self._failure, StoreError):
            await self._membership.close()
        if self._failure is None:
            await self._ownership.release()

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
        return await self._ends.of(execution)

    async def told(self) -> None:
        """Wait until nobody is being told anything, and that is recorded; but not for long."""
        await self._telling.settle()
        await self._committer.drained()

    async def operate(self, execution: str, verb: Verb) -> Answer:
        """Do what an operator asks for; durable when it returns.

        Raises:
            NotFound: there is no such execution, step or checkpoint. Conflict: it makes no sense now, in which case
                nothing is recorded; or (code `run-elsewhere`) another engine runs the execution, or nobody does.
        """
        self._check_alive()
        try:
            return await self._operating.ask(execution, verb)
        finally:
            self._incoming.let_leave(execution)

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
        return state_of(self._codec, await stored_execution(self._store, execution))

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
        self._check_alive()
        return await self._publishing.publish(event, requests, entries, writes)

    async def write(
        self, writes: Sequence[Write], requests: Sequence[StartRequest], entries: Sequence[JournalEntry] = ()
    ) -> None:
        """Change documents, and start executions with that. Started, and durable, when it returns.

        Raises:
            Conflict: (code `changed-meanwhile`) a document is not as it was expected; nothing was stored or started.
        """
        self._check_alive()
        await self._publishing.write(writes, requests, entries)

    def peek(self, execution: str) -> ExecutionState | None:
        """The state of an execution that is in memory: to look at, and ahead of what is recorded."""
        hot = self._loaded.get(execution)
        return hot.run.state if hot is not None else None

    @property
    def failure(self) -> StepwellError | None:
        """Why the engine has stopped; None while it runs."""
        return self._failure

    @property
    def codec(self) -> Codec:
        """Writes and reads what it keeps."""
        return self._codec

    @property
    def shards(self) -> Collection[int]:
        """The shards that it owns."""
        return tuple(self._ownership.shards())

    @property
    def leads(self) -> bool:
        """Whether this engine is the one to do what only one of those on the store should do at a time. Of nodes it is
        the one with the first shard, so that there may be none, or two, for the moment in which that moves."""
        return self._membership is None or self._ownership.is_open(0)

    @property
    def nodes(self) -> Sequence[Presence]:
        """The nodes that share shards out, as this one saw them last; none when it is no node."""
        return self._membership.nodes if self._membership is not None else ()

    def load(self) -> dict[str, int | None]:
        """Executions at work, in line for a place, and the limit."""
        return self._admission.load()

    def gates(self) -> list[GateState]:
        """What can be seen of the circuit breakers, bulkheads and rate limits used since the engine was opened."""
        return self._gatekeeper.states()

    def set_policies(self, policies: Mapping[tuple[type[Policy], str], Policy]) -> None:
        """See `Gatekeeper.set_policies`."""
        self._gatekeeper.set_policies(policies)

    def reset_circuit(self, name: str) -> bool:
        """See `Gatekeeper.reset`."""
        return self._gatekeeper.reset(name)

    def report(self, report: Report) -> None:
        """An attempt has ended: the dispatcher's callback."""
        if self._gatekeeper.passages:
            self._gatekeeper.ended(report)
        if self._telling.under_way:
            self._telling.ended(report)
        if self._moving.leaving:
            self._moving.ended(report)
        hot = self._loaded.get(report.execution)
        if hot is not None and self._failure is None:
            self._take(hot, report)

    def _take_found(self, execution: str, found: ResultFound) -> None:
        """The result of an attempt was in the cache."""
        hot = self._loaded.get(execution)
        if hot is not None and self._failure is None:
            self._take(hot, found)

    # ── Deciding and committing ──────────────────────────────────────────────────────────────────────────────────────

    def _take(self, hot: Hot, came_in: Input, consumed: Sequence[int] = ()) -> None:
        """Decide on an input, and have the decision committed."""
        now = self._clock.now()
        try:
            decision = decide(hot.run, came_in, now)
        except Exception as error:  # a defect: the state in memory is spoilt, what is stored is not
            self._quarantine(hot, error)
            return
        if decision.events or decision.commands:
            self._submit(hot, decision, now, consumed)
        elif consumed:
            self._committer.submit(Entry(None, None, None, consumed, shard=hot.handle.shard))

    def _submit(
        self,
        hot: Hot,
        decision: Decision,
        at: int,
        consumed: Sequence[int] = (),
        create: NewExecution | None = None,
        started: asyncio.Future[str] | None = None,
        posts: Sequence[InboxItem] = (),
        moved_to: NewVersion | None = None,
    ) -> None:
        run, codec = hot.run, self._codec
        state, seq = run.state, run.state.seq
        goes_on = state.in_flight and state.status is hot.at_work_as  # as it did before: its row stays as it is
        change = Change(
            handle=hot.handle,
            seq=seq,
            events=codec.encode_events(decision.events) if decision.events else b"",
            create=create,
            summary=None if goes_on else hot.new_summary(),
            moved_to=moved_to,
        )
        for command in decision.commands:
            if type(command) is not RunStep:  # by far the most are, of which nothing is written
                commanded = note_commands(change, decision.commands, run, codec, at)
                posts = [*commanded, *posts] if commanded else posts
                break
        if seq >= hot.snapshot_due:
            change.snapshot = codec.encode_state(state)
            hot.note_snapshot(seq)
        hot.uncommitted += 1
        self._committer.submit(Entry(hot, change, decision, consumed, started, posts))
        due = run.next_due()
        if due is not None:
            self._due.note(hot, due, at)

    def _on_committed(self, entries: Sequence[Entry], posted: bool) -> None:
        for entry in entries:
            hot, decision = entry.hot, entry.decision
            posted = posted or bool(entry.posts)
            if hot is None or decision is None:
                continue
            self._act(hot, decision)
            if entry.started is not None and not entry.started.done():
                entry.started.set_result(hot.handle.id)
        if posted:
            self._inbox.look()
        self._admission.admit()

    def _act(self, hot: Hot, decision: Decision) -> None:
        """The decision is durable: carry it out."""
        hot.uncommitted -= 1
        run = hot.run
        if self._observer is not None:
            self._observer.committed(hot.handle.id, run.plan.definition, decision.events)
        if hot.lost:
            return  # whoever has its shard now carries it out
        for command in decision.commands:
            if type(command) is not RunStep:
                self._carry_out(hot, command)
            elif hot.has_place:  # by far the most
                self._dispatch(command)
            else:
                self._admission.run_step(hot, command)
        if not run.state.in_flight and not hot.uncommitted:  # what is not committed has not stopped any work yet
            self._admission.leave(hot)
            if hot.handle.id in self._waiters and run.state.status in ENDED_EXECUTION:
                self._waiters.tell(hot.run.state)  # of the end, or of what was stored after it
            if hot.may_leave(self._clock.now(), run.next_due()):
                self._loaded.drop(hot)

    def _carry_out(self, hot: Hot, command: Command) -> None:
        match command:
            case EndExecution():
                self._waiters.tell(hot.run.state)
                self._elsewhere.tell(hot.handle.id)
            case AwaitEvent() | ForgetWait() | TakeLock() | ReleaseLock():
                pass  # its row was written, or deleted, with the events
            case RunStep():
                self._admission.run_step(hot, command)
            case StopStep():
                hot.held = [held for held in hot.held if held.assignment.id != command.assignment_id]
                self._work().stop(command.assignment_id)
                self._gatekeeper.stop(command.assignment_id)  # only now is its place free
                self._reuse.stop(command.assignment_id)
                self._moving.stopped(command.assignment_id)
            case StartChild() | TellChild() | CompensateChild() | AnswerParent():
                pass  # it was put into an inbox, with the events
            case ResolveDeadLetter() | KeepResult():
                pass  # it was deleted, or written, with the events
            case Deliver():
                self._telling.send(command.assignment)
            case _:
                assert_never(command)

    def _dispatch(self, command: RunStep) -> None:
        if command.cached is not None:
            self._reuse.look_up(command, command.cached)
        elif command.gates is None and not self._service_gates:  # by far the most
            dispatcher = self._dispatcher
            assert dispatcher is not None, _UNCONNECTED
            dispatcher.dispatch(command.assignment)
        else:
            self._gatekeeper.dispatch(command.assignment, command.gates)

    # ── The outside ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _recover(self, shard: int) -> None:
        """Take up what was interrupted."""
        for execution in await self._store.hot(shard):
            hot = await self._loaded.load(execution)
            if hot is None:
                continue
            if hot.run.state.status is ExecutionStatus.PENDING:
                if self._admission.enter(hot):
                    self._take(hot, Begin())
            else:
                for command in outstanding(hot.run):
                    self._carry_out(hot, command)
                self._due.arm(hot, self._clock.now())
        self._admission.admit()

    # ── When it goes wrong ───────────────────────────────────────────────────────────────────────────────────────────

    def _on_failure(self, error: StepwellError) -> None:
        """The store refused a commit: what is in memory is ahead of it and worthless, so the engine stops here."""
        if self._failure is not None:
            return
        self._failure = error
        if isinstance(error, FenceLost):
            self._measures.lease_lost()
        _log.info("the engine has stopped: %s", error)  # every caller is told; this is for the record
        self._gatekeeper.close()
        self._loaded.clear()
        self._fail_waiters(error)
        self._background.spawn(self._work().close())

    def _quarantine(self, hot: Hot, error: Exception) -> None:
        """Deciding on this execution met a defect: forget what is in memory; the others go on."""
        _log.error("a defect in deciding on execution %s", hot.handle.id, exc_info=error)
        self._admission.leave(hot)
        self._loaded.drop(hot)
        problem = StepwellError(f"a defect in deciding on execution {hot.handle.id}: {type(error).__name__}: {error}")
        self._waiters.fail(hot.handle.id, problem)

    def _fail_waiters(self, error: StepwellError) -> None:
        self._requests.fail(error)
        self._waiters.fail_all(error)

    def _check_alive(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _check_open(self) -> None:
        self._check_alive()
        if self._draining:
            raise StepwellError("this engine is about to end, and starts nothing new", code="draining")

    # ── Small things ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _work(self) -> Dispatcher:
        assert self._dispatcher is not None, _UNCONNECTED
        return self._dispatcher
