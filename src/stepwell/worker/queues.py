"""Work that is fetched: by workers elsewhere, in any language, which ask for it, say that they live, and report.

A job stands in its queue until somebody takes it. Whoever takes it holds a lease, which every sign of life prolongs;
when it runs out, the worker is taken for lost and the job stands at the head of its queue again. The first report on an
attempt counts, whoever it comes from: a worker that was taken for lost and reports all the same has done the work.

A worker that does not know how to do a job says so; it then goes to others, and fails when none is found in time.

Nothing here is durable, and need not be: an attempt is recorded as scheduled, so after a crash it is dispatched again.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from stepwell.base.clock import Clock, Timer
from stepwell.base.durations import SECOND, format_duration
from stepwell.base.errors import Conflict
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult
from stepwell.worker.answers import Beat as Beat
from stepwell.worker.answers import Handed as Handed
from stepwell.worker.answers import Polled as Polled
from stepwell.worker.answers import QueueState as QueueState
from stepwell.worker.answers import Taken as Taken
from stepwell.worker.answers import Whereabouts
from stepwell.worker.jobs import Job, Labels, Lines, Onlooker, labels_of
from stepwell.worker.known import KnownWorkers, Left, WorkerState

LEASE: Final = 30 * SECOND
"""Without a sign of life for so long a worker is taken for lost, in microseconds."""
FROZEN_FOR: Final = 2 * SECOND
"""What is done so much later than it was due, in microseconds, was held up by something that held up everything."""
MOST_DELIVERIES: Final = 5
"""A job that so many workers were lost with is given up."""
MOST_REFUSALS: Final = 5
"""A job that so many workers do not know how to do fails."""
REFUSED_FOR: Final = 10 * SECOND
"""So long a job that some worker does not know how to do may wait for one that does, in microseconds."""
NOT_KNOWN: Final = frozenset({"unknown_task", "unknown_type"})
"""Types of errors that say that the worker does not know how: another one may."""

_LEASE: Final = format_duration(LEASE)

_log = logging.getLogger("stepwell.worker")

Sees = Callable[[str], bool]
"""Whether a worker may do work of the workflow of this name."""


class _Seeker(NamedTuple):
    """A worker that waits for work."""

    worker: str
    queues: Sequence[str]
    sees: Sees
    limit: int
    labels: Labels
    found: asyncio.Future[Polled]


class Queues(TaskHandler):
    """The queues, and the handler that puts work into them.

    Args:
        timeout_of: the time that an attempt may take, in microseconds, or None. It begins when a worker takes it.
    """

    def __init__(self, clock: Clock, timeout_of: Callable[[str], int | None]) -> None:
        self._clock = clock
        self._timeout_of = timeout_of
        self._waiting = Lines()
        self._jobs: dict[str, Job] = {}
        self._handed_out: dict[str, Job] = {}  # those that somebody has or had
        self._onlooker: Onlooker | None = None
        self._seekers: list[_Seeker] = []
        self._workers = KnownWorkers(clock)
        self._to_stop: dict[str, list[str]] = {}
        self._left = Left(clock)
        self._timer: Timer | None = None
        self._timer_at = 0

    def show(self, onlooker: Onlooker) -> None:
        """Have it told how jobs fare from now on."""
        self._onlooker = onlooker

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Have a worker do the work.

        Raises:
            TaskError: what the worker says; `timeout`; `worker_lost` (may be tried again).
        """
        assignment = context.assignment
        job = Job(assignment, config, self._timeout_of(assignment.id), context.traceparent)
        self._jobs[job.id] = job
        self._wait(job)
        self._hand_out()
        try:
            return await job.ended
        finally:
            self._forget(job)

    # ── What workers ask for ─────────────────────────────────────────────────────────────────────────────────────────

    async def poll(
        self,
        worker: str,
        queues: Sequence[str],
        limit: int,
        wait: int,
        sees: Sees,
        labels: Mapping[str, str] | None = None,
    ) -> Polled:
        """Up to `limit` jobs, as soon as there is one, or one of those that the worker has is to be stopped; none after
        `wait` microseconds.

        Args:
            worker: its name, for people.
            labels: what it is labelled with.
        """
        self.note(worker, queues, labels)
        found: asyncio.Future[Polled] = asyncio.get_running_loop().create_future()
        seeker = _Seeker(worker, queues, sees, limit, labels_of(labels), found)
        self._seekers.append(seeker)
        self._hand_out()
        timer = self._clock.call_at(self._clock.now() + wait, lambda: _settle(found))
        try:
            return await found
        except asyncio.CancelledError:
            if found.done() and not found.cancelled():  # it was handed work in this very moment, and has hung up
                self._take_back(found.result().assignments)
            raise
        finally:
            timer.cancel()
            if seeker in self._seekers:
                self._seekers.remove(seeker)

    def take(self, worker: str, ids: Iterable[str]) -> Taken:
        """These jobs, as far as they wait."""
        handed, gone, not_yours = list[Handed](), list[str](), list[str]()
        for id_ in ids:
            job = self._jobs.get(id_)
            if job is not None and worker in job.refused_by:
                not_yours.append(id_)
            elif job is not None and self._waiting.remove(job):
                self._tell_left(job, by_name=True)
                handed.append(self._handed(job, worker))
                job.roams = True
            else:
                gone.append(id_)
        self.note(worker)
        return Taken(assignments=handed, gone=gone, not_yours=not_yours)

    def heartbeat(self, worker: str, ids: Collection[str], sees: Sees | None = None, *, roams: bool = False) -> Beat:
        """The worker lives, and is at work on these.

        Args:
            sees: with it, those that wait for a worker are its own from now on: it was given them by an engine that
                is gone, or was taken for lost.
            roams: it asks whichever node has its work.
        """
        now = self._clock.now()
        kept, lost = [], []
        for id_ in ids:
            job = self._jobs.get(id_)
            if job is not None and sees is not None and sees(job.assignment.workflow) and self._waiting.remove(job):
                self._tell_left(job, by_name=False)
                self._give(job, worker)
                job.roams = roams
            if job is not None and job.worker == worker and (sees is None or sees(job.assignment.workflow)):
                job.lease_until = now + LEASE
                kept.append(id_)
            else:
                lost.append(id_)
        self._to_stop.pop(worker, None)
        self.note(worker)
        return Beat(kept=kept, lost=lost, lease_expires_at=now + LEASE)

    def complete(self, id_: str, result: Any, scope: dict[str, Any] | None, sees: Sees) -> None:
        """The work is done.

        Args:
            scope: further names for the step's `output` mapping.

        Raises:
            Conflict: (code `not-assigned`) nobody waits for it: it was reported, stopped, or timed out before.
        """
        self._job(id_, sees).ended.set_result(TaskResult(result, scope))

    def fail(self, id_: str, error: TaskError, sees: Sees) -> bool:
        """The work has failed; or, with an error of `NOT_KNOWN`, was not begun, and others may know how to do it.

        Returns:
            Whether that is its end.

        Raises:
            Conflict: as `complete` does.
        """
        job = self._job(id_, sees)
        if error.type in NOT_KNOWN and job.worker is not None and self._goes_to_others(job, error):
            self._put_back(job)
            self._hand_out()
            return False
        job.ended.set_exception(error)
        return True

    def outlives(self, id_: str) -> bool:
        """Whether a job needs nobody to wait for it here: nobody has begun it, or its worker asks any node."""
        job = self._jobs.get(id_)
        return job is not None and (job.worker is None or job.roams)

    def knows(self, id_: str) -> bool:
        """Whether somebody waits for a report on it."""
        return id_ in self._jobs

    def was_left(self, id_: str) -> bool:
        """Whether a worker was at it when, not long ago, another engine took it over."""
        return id_ in self._left and id_ not in self._jobs

    def leave(self, id_: str) -> None:
        """Another engine has the execution now: the worker that is at this may go on, and tell that one."""
        job = self._jobs.get(id_)
        if job is not None:
            job.is_left = True

    def leave_all(self) -> None:
        """The same for everything."""
        for job in self._jobs.values():
            job.is_left = True

    def note(self, worker: str, queues: Sequence[str] | None = None, labels: Mapping[str, str] | None = None) -> None:
        """A worker was heard of. What is None is as it was known before."""
        if self._workers.note(worker, queues, labels):  # one comes, others may have gone
            self._forget_workers()

    def greet(self, worker: str, queues: Sequence[str], labels: Mapping[str, str], free: int | None) -> None:
        """A worker that does not wait here for work says that it is there.

        Args:
            free: how many attempts more it could do; None when it does not say.
        """
        self.note(worker, queues, labels)
        self._workers.greet(worker, free)

    def release(self, worker: str, ids: Collection[str], sees: Sees) -> None:
        """The worker gives these back, undone: others may take them at once."""
        jobs = [self._jobs.get(id_) for id_ in ids]
        own = [job for job in jobs if job is not None and job.worker == worker and sees(job.assignment.workflow)]
        for job in reversed(own):
            job.deliveries -= 1
            self._put_back(job)
        self._hand_out()

    def whereabouts(self, id_: str) -> Whereabouts | None:
        """Where a job stands; None when there is none of this id here."""
        job = self._jobs.get(id_)
        if job is None:
            return None
        return Whereabouts(
            worker=job.worker,
            heard_at=job.lease_until - LEASE if job.worker is not None else None,
            deadline=job.deadline,
            able=self._workers.able(job.place),
            refusal=str(job.refusal) if job.refusal is not None else None,
        )

    # ── What can be seen ─────────────────────────────────────────────────────────────────────────────────────────────

    def workers(self) -> list[WorkerState]:
        """The workers that were heard of lately, in order of name."""
        return self._workers.states(Counter(job.worker for job in self._handed_out.values()))

    def states(self) -> list[QueueState]:
        """The queues that have work or workers, in order of name."""
        running = Counter(job.queue for job in self._handed_out.values() if job.worker is not None)
        waiting = self._waiting.lengths()
        idle = Counter(name for each in self._seekers for name in each.queues)
        idle += self._workers.idle(Counter(job.worker for job in self._handed_out.values()))
        return [
            QueueState(
                name=name,
                waiting=waiting[name],
                running=running[name],
                idle_workers=idle[name],
            )
            for name in sorted(waiting.keys() | running.keys() | idle.keys())
        ]

    async def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        for seeker in self._seekers:
            _settle(seeker.found)

    # ── Handing out ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _hand_out(self) -> None:
        """Give what waits to those who wait, first come, first served."""
        for seeker in list(self._seekers):
            if seeker.found.done():
                continue
            jobs, stop = self._taken(seeker), self._to_stop.pop(seeker.worker, [])
            if jobs or stop:
                self._seekers.remove(seeker)
                handed = [self._handed(job, seeker.worker) for job in jobs]
                seeker.found.set_result(Polled(assignments=handed, stop=stop))

    def _taken(self, seeker: _Seeker) -> list[Job]:
        taken: list[Job] = []
        for job in self._waiting.open_to(seeker.queues, seeker.labels):
            if len(taken) == seeker.limit:
                break
            if seeker.sees(job.assignment.workflow) and seeker.worker not in job.refused_by:
                taken.append(job)
        for job in taken:
            self._waiting.remove(job)
            self._tell_left(job, by_name=False)
        return taken

    def _give(self, job: Job, worker: str) -> None:
        """It is that worker's from now on."""
        now = self._clock.now()
        job.worker, job.lease_until, job.roams = worker, now + LEASE, False
        job.deliveries += 1
        self._handed_out[job.id] = job
        if job.timeout is not None and job.deadline is None:
            job.deadline = now + job.timeout
            self._watch(job.deadline)
        self._watch(job.lease_until)

    def _handed(self, job: Job, worker: str) -> Handed:
        self._give(job, worker)
        assignment = job.assignment
        return Handed(
            id=job.id,
            queue=job.queue,
            type=assignment.type,
            config=job.config,
            execution_id=assignment.execution,
            workflow=assignment.workflow,
            version=assignment.version,
            step=assignment.step,
            attempt=assignment.attempt,
            idempotency_key=assignment.idempotency_key,
            timeout=(job.deadline - self._clock.now()) / SECOND if job.deadline is not None else None,
            lease_expires_at=job.lease_until,
            traceparent=job.traceparent,
        )

    def _take_back(self, handed: Sequence[Handed]) -> None:
        for each in reversed(handed):
            job = self._jobs.get(each.id)
            if job is not None:
                job.deliveries -= 1
                self._put_back(job)
        self._hand_out()

    def _put_back(self, job: Job) -> None:
        job.worker = None
        self._wait(job, first=True)

    def _wait(self, job: Job, *, first: bool = False) -> None:
        self._waiting.put(job, first=first)
        if self._onlooker is not None:
            self._onlooker.waits(job)

    def _tell_left(self, job: Job, *, by_name: bool) -> None:
        if self._onlooker is not None:
            self._onlooker.left(job, by_name=by_name)

    # ── Losing workers ───────────────────────────────────────────────────────────────────────────────────────────────

    def _watch(self, instant: int | None) -> None:
        """Look again then, or before."""
        if instant is None or (self._timer is not None and self._timer_at <= instant):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = instant
        self._timer = self._clock.call_at(instant, self._expire)

    def _expire(self) -> None:
        """Deal with the leases and times that have run out, and look again when the next one does."""
        self._timer = None
        now = self._clock.now()
        if now - self._timer_at > FROZEN_FOR:
            self._wait_for_signs(now)
        for job in list(self._handed_out.values()):
            if job.ended.done():
                continue
            if job.deadline is not None and job.deadline <= now:
                took = format_duration(job.timeout or 0)
                message = f"step {job.assignment.step!r} timed out after {took}"
                job.ended.set_exception(TaskError("timeout", message, retryable=True))
            elif job.worker is not None and job.lease_until <= now:
                self._lose(job)
            elif job.worker is None and job.give_up_at is not None and job.give_up_at <= now:
                assert job.refusal is not None, "somebody has refused it"
                job.ended.set_exception(job.refusal)
            for end in (job.deadline, job.lease_until if job.worker is not None else job.give_up_at):
                if not job.ended.done():
                    self._watch(end)
        self._hand_out()

    def _wait_for_signs(self, now: int) -> None:
        """This process was frozen, and could hear no worker: each has another lease in which to be heard."""
        for job in self._handed_out.values():
            job.lease_until = max(job.lease_until, now + LEASE)

    def _lose(self, job: Job) -> None:
        worker = job.worker
        _log.warning("worker %s gave no sign of life for %s, and is taken for lost with %s", worker, _LEASE, job.id)
        if job.deliveries < MOST_DELIVERIES:
            self._put_back(job)
            return
        message = (
            f"{job.deliveries} workers were lost with step {job.assignment.step!r}, the last of them {worker}: "
            f"they gave no sign of life for {_LEASE}"
        )
        job.ended.set_exception(TaskError("worker_lost", message, retryable=True))

    def _goes_to_others(self, job: Job, refusal: TaskError) -> bool:
        """Note that its worker does not know how to do it; whether another may be looked for."""
        assert job.worker is not None, "somebody has it"
        job.refused_by.add(job.worker)
        job.refusal = refusal
        job.deliveries -= 1
        if job.give_up_at is None:
            job.give_up_at = self._clock.now() + REFUSED_FOR
            self._watch(job.give_up_at)
        return len(job.refused_by) < MOST_REFUSALS and self._clock.now() < job.give_up_at

    def _forget(self, job: Job) -> None:
        if job.worker is not None and job.is_left:
            self._left.note(job.id)
        elif job.worker is not None and job.ended.cancelled():
            self._to_stop.setdefault(job.worker, []).append(job.id)
            if self._onlooker is not None:
                self._onlooker.unwanted(job.worker, job.id)
        if self._jobs.get(job.id) is job:
            del self._jobs[job.id]
            self._handed_out.pop(job.id, None)
        if self._waiting.remove(job):
            self._tell_left(job, by_name=False)
        self._hand_out()

    # ── Small things ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, id_: str, sees: Sees) -> Job:
        job = self._jobs.get(id_)
        if job is None or job.ended.done() or not sees(job.assignment.workflow):
            message = f"nobody waits for a report on {id_!r}: it was reported, stopped or timed out before"
            raise Conflict(message, code="not-assigned", hint="stop the work, and ask for other")
        return job

    def _forget_workers(self) -> None:
        """Those that were not heard of for long, and what they should have been told."""
        self._workers.forget()
        self._to_stop = {name: ids for name, ids in self._to_stop.items() if name in self._workers}


def _settle(found: asyncio.Future[Polled]) -> None:
    """There is nothing for it."""
    if not found.done():
        found.set_result(Polled(assignments=[], stop=[]))
