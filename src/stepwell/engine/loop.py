"""The loop around the decider.

What comes in is decided at once, in memory; what was decided is committed, many executions in one transaction; and only
what is committed is acted on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from typing import assert_never

from stepwell.base.errors import StepwellError
from stepwell.decider.decide import decide
from stepwell.decider.outstanding import outstanding
from stepwell.decider.turn import Decision
from stepwell.engine.admission import Admission
from stepwell.engine.changes import note_commands
from stepwell.engine.committer import Committer, Entry
from stepwell.engine.due import Due
from stepwell.engine.elsewhere import Elsewhere
from stepwell.engine.ends import Ends
from stepwell.engine.ground import Ground
from stepwell.engine.hot import Hot
from stepwell.engine.inbox import Inbox
from stepwell.engine.outgoing import Outgoing
from stepwell.engine.post_box import PostBox
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
from stepwell.execution.inputs import Begin, Input
from stepwell.execution.status import ExecutionStatus
from stepwell.policy.gates import Gates
from stepwell.ports.records import Change, InboxItem, NewExecution, NewVersion
from stepwell.ports.work import Observer

_log = logging.getLogger(__name__)


class Loop:
    """Decides, has decisions committed, and acts on them.

    Args:
        inbox: is looked into when a commit has put something there.
        post_box: where the ends of executions of others are told.
        observer: told what was committed; None for nobody.
        service_gates: see `Outgoing`.
        is_node: others own shards of the store too.

    Attributes:
        outgoing: has work done.
        admission: lets executions to work.
        committer: writes what was decided.
        due: knows when executions are due.
        ends: tells whoever waits for the end of one.
    """

    def __init__(
        self,
        ground: Ground,
        inbox: Inbox,
        post_box: PostBox,
        observer: Observer | None,
        service_gates: Mapping[str, Gates],
        *,
        is_node: bool,
    ) -> None:
        store, clock = ground.store, ground.clock
        self._store = store
        self._codec = ground.codec
        self._clock = clock
        self._loaded = ground.loaded
        self._inbox = inbox
        self._observer = observer
        self.outgoing = Outgoing(ground, service_gates, self.take)
        self.admission = Admission(
            ground.limits.max_workflows, ground.limits.queue_timeout, clock, self.outgoing.dispatch, self.take
        )
        self.committer = Committer(store, ground.ownership, self, ground.failure.note, clock, ground.measures)
        self.due = Due(ground, self.committer, self.take)
        elsewhere = Elsewhere(store, ground.codec, ground.loaded, post_box, self.committer.submit)
        self.ends = Ends(ground, elsewhere, asks_others=is_node)

    # ── Deciding ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def take(self, hot: Hot, came_in: Input, consumed: Sequence[int] = ()) -> None:
        """Decide on an input, and have the decision committed; with it, inbox items are consumed."""
        now = self._clock.now()
        try:
            decision = decide(hot.run, came_in, now)
        except Exception as error:  # a defect: the state in memory is spoilt, what is stored is not
            self.quarantine(hot, error)
            return
        if decision.events or decision.commands:
            self.submit(hot, decision, now, consumed)
        elif consumed:
            self.committer.submit(Entry(None, None, None, consumed, shard=hot.handle.shard))

    def submit(
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
        """Have a decision committed.

        Args:
            consumed: inbox items that are deleted with it.
            create: the execution is a new one.
            started: done once it is committed.
            posts: what is put into inboxes with it, beside what it says itself.
            moved_to: the definition that the execution goes on with.
        """
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
        self.committer.submit(Entry(hot, change, decision, consumed, started, posts))
        due = run.next_due()
        if due is not None:
            self.due.note(hot, due, at)

    def quarantine(self, hot: Hot, error: Exception) -> None:
        """Deciding on this execution met a defect: forget what is in memory; the others go on."""
        _log.error("a defect in deciding on execution %s", hot.handle.id, exc_info=error)
        self.admission.leave(hot)
        self._loaded.drop(hot)
        problem = StepwellError(f"a defect in deciding on execution {hot.handle.id}: {type(error).__name__}: {error}")
        self.ends.fail(problem, hot.handle.id)

    # ── Acting ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def committed(self, entries: Sequence[Entry], posted: bool) -> None:
        """These are stored: carry them out."""
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
        self.admission.admit()

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
                self.outgoing.dispatch(command)
            else:
                self.admission.run_step(hot, command)
        if not run.state.in_flight and not hot.uncommitted:  # what is not committed has not stopped any work yet
            self.admission.leave(hot)
            self.ends.tell_late(run.state)
            if hot.may_leave(self._clock.now(), run.next_due()):
                self._loaded.drop(hot)

    def _carry_out(self, hot: Hot, command: Command) -> None:
        match command:
            case EndExecution():
                self.ends.tell(hot.run.state)
            case AwaitEvent() | ForgetWait() | TakeLock() | ReleaseLock():
                pass  # its row was written, or deleted, with the events
            case RunStep():
                self.admission.run_step(hot, command)
            case StopStep():
                hot.held = [held for held in hot.held if held.assignment.id != command.assignment_id]
                self.outgoing.stop(command.assignment_id)
            case StartChild() | TellChild() | CompensateChild() | AnswerParent():
                pass  # it was put into an inbox, with the events
            case ResolveDeadLetter() | KeepResult():
                pass  # it was deleted, or written, with the events
            case Deliver():
                self.outgoing.telling.send(command.assignment)
            case _:
                assert_never(command)

    def refused(self, hot: Hot) -> None:
        """There is another execution with this one's start key: this one does not exist."""
        self._loaded.drop(hot)

    # ── Shards that come and leave ───────────────────────────────────────────────────────────────────────────────────

    async def recover(self, shard: int) -> None:
        """Take up what was interrupted."""
        for execution in await self._store.hot(shard):
            hot = await self._loaded.load_if_usable(execution)
            if hot is None:
                continue
            if hot.run.state.status is ExecutionStatus.PENDING:
                if self.admission.enter(hot):
                    self.take(hot, Begin())
            else:
                for command in outstanding(hot.run):
                    self._carry_out(hot, command)
                self.due.arm(hot, self._clock.now())
        self.admission.admit()

    def retire(self, shards: Collection[int]) -> None:
        """Begin no attempt in these shards any more; those that are at work there are waited for."""
        awaited: dict[int, set[str]] = {shard: set() for shard in shards}
        for hot in self._of(shards):
            awaited[hot.handle.shard].update(self.outgoing.retire(hot))
            self.admission.retire(hot)
        self.outgoing.leaving.wait_for(awaited)

    def lose(self, shards: Collection[int]) -> None:
        """Have nothing of these shards in memory, write nothing of them, and do no work for them."""
        self.outgoing.leaving.lose(shards)
        self.committer.lose(shards)
        for hot in self._of(shards):
            self._forget(hot)
        self._loaded.note_loss()
        self.admission.admit()

    def dropped(self, entry: Entry) -> None:
        """The entry is not written: what it would have stopped is stopped all the same."""
        if entry.hot is not None:
            entry.hot.unwritten = True
        for command in entry.decision.commands if entry.decision is not None else ():
            if isinstance(command, StopStep):
                self.outgoing.stop(command.assignment_id)
        if entry.hot is not None and not entry.hot.lost:  # it came to memory when the shard was gone already
            self._forget(entry.hot)

    def _forget(self, hot: Hot) -> None:
        hot.lost = True
        self.outgoing.leave(hot)
        self.admission.withdraw(hot)
        self._loaded.drop(hot)

    def _of(self, shards: Collection[int]) -> list[Hot]:
        return [hot for hot in self._loaded if hot.handle.shard in shards]
