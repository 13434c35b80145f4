"""Shards that come to this engine, and leave it, while it runs.

A shard that comes is taken up: what was interrupted there goes on, and only then is its inbox looked into. A shard that
was lost is forgotten at once, with everything in memory, and its work is stopped without a result: whoever has it now
does it again. A shard that is handed over is brought to rest first.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from typing import Final

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import FenceLost, StoreError
from stepwell.engine.admission import Admission
from stepwell.engine.committer import Committer, Entry
from stepwell.engine.due import Due
from stepwell.engine.elsewhere import Elsewhere
from stepwell.engine.gatekeeper import Gatekeeper
from stepwell.engine.hot import Hot
from stepwell.engine.inbox import Inbox
from stepwell.engine.loaded import Loaded
from stepwell.engine.ownership import Ownership
from stepwell.engine.requests import Requests
from stepwell.engine.reusing import Reuse
from stepwell.engine.telling import Telling
from stepwell.engine.waiters import Waiters
from stepwell.execution.commands import StopStep
from stepwell.execution.status import StepStatus
from stepwell.execution.work import Report
from stepwell.ports.measures import Measures
from stepwell.ports.store import Store
from stepwell.ports.work import Dispatcher

HANDED_OVER_WITHIN: Final = 5 * SECOND
"""Attempts at work in a shard that another node is to have may take so long to end; then they are stopped, and done
again there."""

_log = logging.getLogger(__name__)


class Moving:
    """Takes shards up, forgets them, hands them over.

    Args:
        work: who does the work.
        recover: takes up what was interrupted in a shard.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ownership: Ownership,
        loaded: Loaded,
        committer: Committer,
        admission: Admission,
        gatekeeper: Gatekeeper,
        reuse: Reuse,
        telling: Telling,
        inbox: Inbox,
        due: Due,
        requests: Requests,
        waiters: Waiters,
        elsewhere: Elsewhere,
        measures: Measures,
        work: Callable[[], Dispatcher],
        recover: Callable[[int], Awaitable[None]],
    ) -> None:
        self._store = store
        self._clock = clock
        self._ownership = ownership
        self._loaded = loaded
        self._committer = committer
        self._admission = admission
        self._gatekeeper = gatekeeper
        self._reuse = reuse
        self._telling = telling
        self._inbox = inbox
        self._due = due
        self._requests = requests
        self._waiters = waiters
        self._elsewhere = elsewhere
        self._measures = measures
        self._work = work
        self._recover = recover
        self._changed = asyncio.Event()
        self.leaving: dict[int, set[str]] = {}
        """Of shards that are handed over, the attempts that are waited for."""

    # ── Coming ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def take_up(self, shards: Collection[int]) -> None:
        """Go on with what was interrupted in shards that are owned, and at rest."""
        for shard in shards:
            fence = self._ownership.fences.get(shard)
            if fence is None:
                continue  # lost again
            try:
                await self._recover(shard)
                await self._due.look((shard,))
            except StoreError as error:
                _log.warning("%s; shard %d is given up again", error, shard)
                await self._give_up({shard})
                continue
            if shard not in self.leaving:
                self._ownership.rise(shard, fence)
            self._inbox.look()

    # ── Losing ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def lose(self, fences: Mapping[int, int]) -> None:
        """Others own these shards, which were owned here under these numbers."""
        gone = [lease.shard for lease in self._ownership.part_with(fences)]
        if gone:
            _log.warning("shards were taken over by others, and are forgotten here: %s", ", ".join(map(str, gone)))
            self._measures.lease_lost()
            self.forget(gone)

    def forget(self, shards: Collection[int]) -> None:
        """Have nothing of these shards in memory, and do no work for them."""
        for shard in shards:
            self.leaving.pop(shard, None)
        self._changed.set()
        self._committer.drop(shards)
        for hot in self._of(shards):
            self._forget(hot)
        self._loaded.note_loss()
        self._inbox.forget(shards)
        self._requests.lose(shards)
        self._elsewhere.lose(shards)
        self._waiters.look_again()
        self._admission.admit()

    def dropped(self, entry: Entry) -> None:
        """The entry is not written: what it would have stopped is stopped all the same."""
        for command in entry.decision.commands if entry.decision is not None else ():
            if isinstance(command, StopStep):
                self._work().stop(command.assignment_id)
                self._withdraw(command.assignment_id)
        if entry.hot is not None and not entry.hot.lost:  # it came to memory when the shard was gone already
            self._forget(entry.hot)

    def _forget(self, hot: Hot) -> None:
        hot.lost = True
        for id_ in self._at_work(hot):
            self._work().leave(id_)
            self._withdraw(id_)
        self._admission.withdraw(hot)
        self._loaded.drop(hot)

    def _withdraw(self, assignment_id: str) -> None:
        """It is on no way to a worker any more, nor is anything waited for."""
        self._gatekeeper.stop(assignment_id)
        self._reuse.stop(assignment_id)
        self._telling.forget(assignment_id)

    def _of(self, shards: Collection[int]) -> list[Hot]:
        return [hot for hot in self._loaded if hot.handle.shard in shards]

    # ── Handing over ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def hand_over(self, shards: Collection[int], within: int) -> None:
        """Bring shards to rest and give them up, each as soon as nothing is at work in it any more, and all of them
        when `within` microseconds have passed.

        Nothing new is begun there. What an attempt brings is still recorded; what follows from it others do.
        """
        handed = {shard for shard in shards if shard in self._ownership.fences and shard not in self.leaving}
        self._ownership.rest(handed)
        self.leaving |= {shard: set() for shard in handed}
        for hot in self._of(handed):
            self.leaving[hot.handle.shard].update(self._to_wait_for(hot))
            self._admission.retire(hot)
        is_late = False

        def be_late() -> None:
            nonlocal is_late
            is_late = True
            self._changed.set()

        timer = self._clock.call_at(self._clock.now() + within, be_late)
        try:
            while left := handed & self.leaving.keys():
                quiet = left if is_late else {shard for shard in left if not self.leaving[shard]}
                if quiet:
                    await self._give_up(quiet)
                else:
                    await self._changed.wait()
                self._changed.clear()
        finally:
            timer.cancel()

    def hurry(self) -> None:
        """Wait for nobody any more."""
        for awaited in self.leaving.values():
            awaited.clear()
        self._changed.set()

    def ended(self, report: Report) -> None:
        """An attempt has ended; called while there are shards that leave, before it is decided on."""
        self.stopped(f"{report.execution}/{report.step}/{report.attempt}")

    def stopped(self, assignment_id: str) -> None:
        """An attempt is at work no more."""
        for awaited in self.leaving.values():
            if assignment_id in awaited:
                awaited.discard(assignment_id)
                self._changed.set()

    def _to_wait_for(self, hot: Hot) -> Iterator[str]:
        """The attempts of the execution that are at work; those that have not begun yet do not begin any more."""
        for id_ in self._at_work(hot):
            if self._gatekeeper.is_waiting(id_):
                self._gatekeeper.stop(id_)
            elif not self._work().outlives(id_):
                yield id_

    def _at_work(self, hot: Hot) -> list[str]:
        """The ids of the attempts and deliveries that are on their way, as far as is known here."""
        state = hot.run.state
        held = {command.assignment.id for command in hot.held}
        attempts = [
            id_
            for key, step in state.steps.items()
            if step.status is StepStatus.RUNNING and step.block is None
            if (id_ := f"{state.id}/{key}/{step.attempts}") not in held
        ]
        return attempts + [id_ for id_ in self._telling.under_way if id_.startswith(f"{state.id}/")]

    async def _give_up(self, shards: Collection[int]) -> None:
        await self._committer.drained()
        fences = {shard: fence for shard in shards if (fence := self._ownership.fences.get(shard)) is not None}
        self.forget(shards)
        leases = self._ownership.part_with(fences)
        try:
            await self._store.release(leases)
        except FenceLost:
            raise
        except StoreError as error:
            _log.warning("%s; the shards are taken over when their leases have run out", error)
