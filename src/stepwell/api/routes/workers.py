"""Workers elsewhere, in any language: they fetch assignments, say that they live, and report."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.bodies import BeatBody, CompleteBody, FailBody, PollBody
from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Context, Here
from stepwell.api.elsewhere import beat_elsewhere, others_of, polled_elsewhere, released_elsewhere, reported_elsewhere
from stepwell.api.problems import Problem
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.serving import Parts
from stepwell.base.durations import SECOND
from stepwell.base.errors import Conflict
from stepwell.base.instants import to_rfc3339
from stepwell.ports.work import TaskError
from stepwell.worker.queues import Handed, Queues
from stepwell.worker.reports import Reports

router = new_router("workers")


class AssignmentShape(Shape):
    """One attempt of a step, to be done. What is secret in `config` is in clear text.

    `id` is named in signs of life and reports. `idempotency_key` is the same for every attempt and delivery. `timeout`
    is in seconds. Before `lease_expires_at` a sign of life is expected; without one others get the assignment.
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
    lease_expires_at: str
    traceparent: str | None


class PolledShape(Shape):
    """What a worker gets, and the ids of assignments that it is to stop: nobody waits for them any more."""

    assignments: list[AssignmentShape]
    stop: list[str]


class BeatShape(Shape):
    """Which assignments the worker still has, until when, and which it is to stop."""

    kept: list[str]
    lost: list[str]
    lease_expires_at: str


class WorkerShape(Shape):
    """A worker that was heard of within the last ten minutes."""

    name: str
    queues: list[str]
    running: int
    last_seen_at: str
    labels: dict[str, str]


class QueueShape(Shape):
    """A queue: assignments that nobody has, those that somebody has, and workers that have a place for one."""

    name: str
    waiting: int
    running: int
    idle_workers: int


class NatsShape(Shape):
    """How NATS is reached: what is wrong, or null; tickets that stand in the stream; messages not understood so far."""

    problem: str | None
    outstanding: int
    garbage: int


class WorkersShape(Shape):
    """The workers and queues of this server, and its way to workers on NATS if it has one."""

    items: list[WorkerShape]
    queues: list[QueueShape]
    nats: NatsShape | None


@router.get("/workers", operation_id="listWorkers", response_model=WorkersShape)
async def list_workers(here: Here) -> Response:
    """The workers that fetch from this server, and its queues."""
    queues = _queues(here)
    workers = [
        {**msgspec.to_builtins(each), "last_seen_at": to_rfc3339(each.last_seen_at)} for each in queues.workers()
    ]
    return answer({"items": workers, "queues": msgspec.to_builtins(queues.states()), "nats": _nats(here)})


@router.post("/workers/poll", operation_id="pollForWork", response_model=PolledShape, responses=problems(413, 415, 422))
async def poll(here: Here, context: Context, caller: Calling, request: Request, body: PollBody) -> Response:
    """Up to `limit` assignments of these queues, as soon as there is one; none after `wait` seconds. Of several servers
    on a store any may be asked. 503 when this one is about to end: ask another one, or ask again later."""
    if context.closing.is_set():
        raise Problem(503, "this server is about to end, and hands out no work", code="draining")
    polling = asyncio.create_task(_polled(here, caller, request, body))
    gone = asyncio.create_task(_gone(request))
    closing = asyncio.create_task(context.closing.wait())
    try:
        await asyncio.wait((polling, gone, closing), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (polling, gone, closing):
            task.cancel()
        await asyncio.gather(polling, gone, closing, return_exceptions=True)
    return answer(polling.result() if not polling.cancelled() else {"assignments": [], "stop": []})


async def _polled(here: Parts, caller: Caller, request: Request, body: PollBody) -> dict[str, Any]:
    """What there is here, or at another node; both are looked at until there is something, or time is up."""
    until = here.clock.now() + int(body.wait * SECOND)
    while True:
        others = others_of(here, request)
        left = max(0, until - here.clock.now())
        urls = others.with_work(body.queues) if others is not None else []
        wait = 0 if urls else left if others is None else min(left, LOOK_ELSEWHERE_EVERY)
        polled = await _queues(here).poll(body.worker, body.queues, body.limit, wait, caller.sees, body.labels)
        if polled.assignments or polled.stop:
            return {"assignments": [_shown(each) for each in polled.assignments], "stop": polled.stop}
        if others is not None and (found := await polled_elsewhere(others, urls, request, body)) is not None:
            return found
        if here.clock.now() >= until:
            return {"assignments": [], "stop": []}
        if urls:
            await asyncio.sleep(_PAUSE)  # they have said so, and had none any more


@router.post(
    "/workers/heartbeat", operation_id="sendHeartbeat", response_model=BeatShape, responses=problems(413, 415, 422)
)
async def heartbeat(here: Here, caller: Calling, request: Request, body: BeatBody) -> Response:
    """The worker lives, and is at work on these: their leases are prolonged. What waits for a worker, since the server
    was started again or took the worker for lost, is the worker's from now on."""
    beat = _queues(here).heartbeat(body.worker, body.assignments, caller.sees)
    shown = {**msgspec.to_builtins(beat), "lease_expires_at": to_rfc3339(beat.lease_expires_at)}
    others = others_of(here, request)
    return answer(await beat_elsewhere(others, request, body, shown) if others is not None and beat.lost else shown)


@router.post("/workers/complete", operation_id="completeWork", status_code=204, responses=problems(409, 413, 415, 422))
async def complete(here: Here, caller: Calling, request: Request, body: CompleteBody) -> Response:
    """The work is done, and that is recorded when this is answered. The same report may be sent again, and counts once.
    409 when nobody waits for it: it was reported otherwise, stopped or timed out before. 503 when it is not recorded
    yet: report again."""
    try:
        await _reports(here).complete(body.id, body.result, body.scope, caller.sees)
    except Conflict:
        if not await reported_elsewhere(others_of(here, request), request, body.id, body):
            raise
    return Response(status_code=204)


@router.post("/workers/fail", operation_id="failWork", status_code=204, responses=problems(409, 413, 415, 422))
async def fail(here: Here, caller: Calling, request: Request, body: FailBody) -> Response:
    """The work has failed; what the workflow says about failures follows. Otherwise as `complete`."""
    error = TaskError(body.type, body.message, details=body.details, retryable=body.retryable)
    try:
        await _reports(here).fail(body.id, error, caller.sees)
    except Conflict:
        if not await reported_elsewhere(others_of(here, request), request, body.id, body):
            raise
    return Response(status_code=204)


@router.post("/workers/release", operation_id="releaseWork", status_code=204, responses=problems(413, 415, 422))
async def release(here: Here, caller: Calling, request: Request, body: BeatBody) -> Response:
    """The worker gives these back, undone: others may take them at once."""
    _queues(here).release(body.worker, body.assignments, caller.sees)
    others = others_of(here, request)
    if others is not None:
        await released_elsewhere(others, request, body)
    return Response(status_code=204)


LOOK_ELSEWHERE_EVERY: Final = SECOND
_PAUSE: Final = 0.05


def _nats(here: Parts) -> dict[str, Any] | None:
    door = here.session.remote.door
    if door is None:
        return None
    return {"problem": door.problem(), "outstanding": door.outstanding, "garbage": door.garbage}


def _queues(here: Parts) -> Queues:
    queues = here.session.queues
    assert queues is not None, "a server has queues"
    return queues


def _reports(here: Parts) -> Reports:
    reports = here.session.remote.reports
    assert reports is not None, "a server has queues"
    return reports


def _shown(handed: Handed) -> dict[str, Any]:
    return {**msgspec.to_builtins(handed), "lease_expires_at": to_rfc3339(handed.lease_expires_at)}


async def _gone(request: Request) -> None:
    """Until the caller has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
