"""Work that is fetched: by workers elsewhere, in any language, which ask for it, say that they live, and report.

A job stands in its queue until somebody takes it. Whoever takes it holds a lease, which every sign of life prolongs;
when it runs out, the worker is taken for lost and the job stands at the head of its queue again. The first report on an
attempt counts, whoever it comes from: a worker that was taken for lost and reports all the same has done the work.

Nothing here is durable, and need not be: an attempt is recorded as scheduled, so after a crash it is dispatched again.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.base.clock import Clock, Timer
from stepwell.base.durations import MINUTE, SECOND, format_duration
from stepwell.base.errors import Conflict
from stepwell.execution.work import Assignment
from stepwell.ports.work import TaskContext, TaskError, TaskHandler, TaskResult

LEASE: Final = 30 * SECOND
"""Without a sign of life for so long a worker is taken for lost, in microseconds."""
MOST_DELIVERIES: Final = 5
"""A job that so many workers were lost with is given up."""
WORKER_KEPT: Final = 10 * MINUTE
"""How long a worker that is not heard of is listed."""

Sees = Callable[[str], bool]
"""Whether a worker may do work of the workflow of this name."""


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """An assignment as a worker gets it: plain data, with everything secret in its configuration opened.

    Attributes:
        id: to be named in signs of life and reports.
        timeout: seconds that the work may take from now on, or None.
        lease_expires_at: an instant in microseconds, before which a sign of life is expected.
        traceparent: see `TaskContext.traceparent`.
    """

    id: str
    queue: str
    type: str
    config: Any
    execution_id: str
    workflow: str
    version: str
    step: str
    attempt: int
    idempotency_key: str
    timeout: float | None
    lease_expires_at: int
    traceparent: str | None = None


class Polled(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a worker that asks for work: what it gets, and which of its attempts it is to stop."""

    assignments: list[Handed]
    stop: list[str]


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a sign of life: which jobs the worker still has, until when, and which it is to stop."""

    kept: list[str]
    lost: list[str]
    lease_expires_at: int


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a worker. Instants in microseconds."""

    name: str
    queues: Sequence[str]
    running: int
    last_seen_at: int


class QueueState(msgspec.Struct, frozen=True, kw_only=True):
    """How a queue stands: jobs that nobody has, jobs that somebody has, and workers that wait for one."""

    name: str
    waiting: int
    running: int
    idle_workers: int


class _Job:
    """An attempt that is to be done elsewhere."""

    def __init__(self, assignment: Assignment, config: Any, timeout: int | None) -> None:
        self.assignment = assignment
        self.config = config
        self.timeout = timeout
        self.ended: asyncio.Future[TaskResult] = asyncio.get_running_loop().create_future()
        self.deliveries = 0
        self.worker: str | None = None
        self.lease_until = 0
        self.deadline: int | None = None
        self.traceparent: str | None = None


class _Seeker(NamedTuple):
    """A worker that waits for work."""

    worker: str
    queues: Sequence[str]
    sees: Sees
    limit: int
    found: asyncio.Future[Polled]


class Queues(TaskHandler):
    """The queues, and the handler that puts work into them.

    Args:
        timeout_of: the time that an attempt may take, in microseconds, or None. It begins when a worker takes it.
    """

    def __init__(self, clock: Clock, timeout_of: Callable[[str], int | None]) -> None:
        self._clock = clock
        self._timeout_of = timeout_of
        self._waiting: dict[str, deque[_Job]] = {}
        self._jobs: dict[str, _Job] = {}
        self._handed_out: dict[str, _Job] = {}  # those that somebody has, or had and was lost with
        self._seekers: list[_Seeker] = []
        self._workers: dict[str, WorkerState] = {}
        self._to_stop: dict[str, list[str]] = {}
        self._timer: Timer | None = None

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Have a worker do the work.

        Raises:
            TaskError: what the worker says; `timeout`; `worker_lost` (may be tried again).
        """
        assignment = context.assignment
        job = _Job(assignment, config, self._timeout_of(assignment.id))
        job.traceparent = context.traceparent
        self._jobs[assignment.id] = job
        self._waiting.setdefault(_queue(job), deque()).append(job)
        self._hand_out()
        try:
            return await job.ended
        finally:
            self._forget(job)

    # ── What workers ask for ─────────────────────────────────────────────────────────────────────────────────────────

    async def poll(self, worker: str, queues: Sequence[str], limit: int, wait: int, sees: Sees) -> Polled:
        """Up to `limit` jobs, as soon as there is one, or one of those that the worker has is to be stopped; none after
        `wait` microseconds.

        Args:
            worker: its name, for people.
        """
        self._note(worker, queues)
        found: asyncio.Future[Polled] = asyncio.get_running_loop().create_future()
        seeker = _Seeker(worker, queues, sees, limit, found)
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

    def heartbeat(self, worker: str, ids: Collection[str]) -> Beat:
        """The worker lives, and is at work on these."""
        now = self._clock.now()
        kept, lost = [], []
        for id_ in ids:
            job = self._jobs.get(id_)
            if job is not None and job.worker == worker:
                job.lease_until = now + LEASE
                kept.append(id_)
            else:
                lost.append(id_)
        self._to_stop.pop(worker, None)
        self._note(worker, None)
        self._watch()
        return Beat(kept=kept, lost=lost, lease_expires_at=now + LEASE)

    def complete(self, id_: str, result: Any, scope: dict[str, Any] | None, sees: Sees) -> None:
        """The work is done.

        Args:
            scope: further names for the step's `output` mapping.

        Raises:
            Conflict: (code `not-assigned`) nobody waits for it: it was reported, stopped, or timed out before.
        """
        self._job(id_, sees).ended.set_result(TaskResult(result, scope))

    def fail(self, id_: str, error: TaskError, sees: Sees) -> None:
        """The work has failed.

        Raises:
            Conflict: as `complete` does.
        """
        self._job(id_, sees).ended.set_exception(error)

    def release(self, worker: str, ids: Collection[str]) -> None:
        """The worker gives these back, undone: others may take them at once."""
        jobs = [self._jobs.get(id_) for id_ in ids]
        for job in reversed([job for job in jobs if job is not None and job.worker == worker]):
            job.deliveries -= 1
            self._put_back(job)
        self._hand_out()

    # ── What can be seen ─────────────────────────────────────────────────────────────────────────────────────────────

    def workers(self) -> list[WorkerState]:
        """The workers that were heard of lately, in order of name."""
        self._forget_workers()
        running = [job.worker for job in self._handed_out.values() if job.worker is not None]
        return [
            msgspec.structs.replace(each, running=running.count(name)) for name, each in sorted(self._workers.items())
        ]

    def states(self) -> list[QueueState]:
        """The queues that have work or workers, in order of name."""
        running = Counter(_queue(job) for job in self._handed_out.values() if job.worker is not None)
        idle = Counter(name for each in self._seekers for name in each.queues)
        return [
            QueueState(
                name=name,
                waiting=len(self._waiting.get(name, ())),
                running=running[name],
                idle_workers=idle[name],
            )
            for name in sorted(self._waiting.keys() | running.keys() | idle.keys())
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
        self._watch()

    def _taken(self, seeker: _Seeker) -> list[_Job]:
        taken: list[_Job] = []
        for name in seeker.queues:
            waiting = self._waiting.get(name, deque())
            passed: list[_Job] = []
            while waiting and len(taken) < seeker.limit:
                job = waiting.popleft()
                (taken if seeker.sees(job.assignment.workflow) else passed).append(job)
            waiting.extendleft(reversed(passed))
        return taken

    def _handed(self, job: _Job, worker: str) -> Handed:
        now, assignment = self._clock.now(), job.assignment
        job.worker, job.lease_until = worker, now + LEASE
        job.deliveries += 1
        self._handed_out[assignment.id] = job
        if job.timeout is not None and job.deadline is None:
            job.deadline = now + job.timeout
        return Handed(
            id=assignment.id,
            queue=_queue(job),
            type=assignment.type,
            config=job.config,
            execution_id=assignment.execution,
            workflow=assignment.workflow,
            version=assignment.version,
            step=assignment.step,
            attempt=assignment.attempt,
            idempotency_key=assignment.idempotency_key,
            timeout=(job.deadline - now) / SECOND if job.deadline is not None else None,
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

    def _put_back(self, job: _Job) -> None:
        job.worker = None
        self._waiting.setdefault(_queue(job), deque()).appendleft(job)

    # ── Losing workers ───────────────────────────────────────────────────────────────────────────────────────────────

    def _watch(self) -> None:
        """Look again when the first lease or time runs out."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        ends = [job.lease_until for job in self._handed_out.values() if job.worker is not None]
        ends += [job.deadline for job in self._handed_out.values() if job.deadline is not None]
        if ends:
            self._timer = self._clock.call_at(min(ends), self._expire)

    def _expire(self) -> None:
        now = self._clock.now()
        for job in list(self._handed_out.values()):
            if job.ended.done():
                continue
            if job.deadline is not None and job.deadline <= now:
                took = format_duration(job.timeout or 0)
                message = f"step {job.assignment.step!r} timed out after {took}"
                job.ended.set_exception(TaskError("timeout", message, retryable=True))
            elif job.worker is not None and job.lease_until <= now:
                self._lose(job)
        self._hand_out()

    def _lose(self, job: _Job) -> None:
        worker = job.worker
        if job.deliveries < MOST_DELIVERIES:
            self._put_back(job)
            return
        message = (
            f"{job.deliveries} workers were lost with step {job.assignment.step!r}, the last of them {worker}: "
            f"they gave no sign of life for {format_duration(LEASE)}"
        )
        job.ended.set_exception(TaskError("worker_lost", message, retryable=True))

    def _forget(self, job: _Job) -> None:
        if job.worker is not None and job.ended.cancelled():
            self._to_stop.setdefault(job.worker, []).append(job.assignment.id)
        if self._jobs.get(job.assignment.id) is job:
            del self._jobs[job.assignment.id]
            self._handed_out.pop(job.assignment.id, None)
        waiting = self._waiting.get(_queue(job), deque())
        if job.worker is None and job in waiting:
            waiting.remove(job)
        if not waiting:
            self._waiting.pop(_queue(job), None)
        self._hand_out()

    # ── Small things ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _job(self, id_: str, sees: Sees) -> _Job:
        job = self._jobs.get(id_)
        if job is None or job.ended.done() or not sees(job.assignment.workflow):
            message = f"nobody waits for a report on {id_!r}: it was reported, stopped or timed out before"
            raise Conflict(message, code="not-assigned", hint="stop the work, and ask for other")
        return job

    def _forget_workers(self) -> None:
        """Those that were not heard of for long, and what they should have been told."""
        since = self._clock.now() - WORKER_KEPT
        self._workers = {name: each for name, each in self._workers.items() if each.last_seen_at >= since}
        self._to_stop = {name: ids for name, ids in self._to_stop.items() if name in self._workers}

    def _note(self, worker: str, queues: Sequence[str] | None) -> None:
        known = self._workers.get(worker)
        if known is None:  # one comes, others may have gone
            self._forget_workers()
        if queues is None:
            queues = known.queues if known is not None else ()
        self._workers[worker] = WorkerState(name=worker, queues=queues, running=0, last_seen_at=self._clock.now())


def _queue(job: _Job) -> str:
    assert job.assignment.queue is not None, "what names no queue is done here"
    return job.assignment.queue


def _settle(found: asyncio.Future[Polled]) -> None:
    """There is nothing for it."""
    if not found.done():
        found.set_result(Polled(assignments=[], stop=[]))
