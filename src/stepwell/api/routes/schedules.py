"""Schedules: made, looked at, paused, fired at once, and made up for."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Body, Path, Query
from pydantic import Field
from starlette.responses import Response

from stepwell.api.answers import answer, created
from stepwell.api.bodies import Body as BodyModel
from stepwell.api.bodies import Name, ReasonBody, Values
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, Instant, Limit
from stepwell.api.problems import Problem
from stepwell.api.routing import PREFIX, creates, problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_workflow
from stepwell.api.shapes import Shape
from stepwell.app.cursors import cursor_of, place_in
from stepwell.app.schedules import Schedules
from stepwell.triggers.schedules import BadSchedule

router = new_router("schedules")

ScheduleId = Annotated[str, Path(description="The id of a schedule.", max_length=500)]
Span = Annotated[str, Field(min_length=1, max_length=60, examples=["1h", "5m", "30s"])]


class ScheduleBody(BodyModel):
    """A schedule: when a workflow is started, and with what. Exactly one of `cron`, `every` and `at`."""

    id: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        default=None, description="Made, unless given."
    )
    workflow: Name
    version: Name | None = Field(default=None, description="Instead of the default version at the time.")
    input: Values | None = Field(default=None, description="What the workflow's schema asks for.")
    cron: Annotated[str, Field(min_length=1, max_length=400)] | None = Field(
        default=None, examples=["0 9 * * mon-fri", "@daily"]
    )
    every: Span | None = None
    at: Annotated[str, Field(min_length=1, max_length=60)] | None = Field(
        default=None, examples=["2026-11-20T10:00:00Z"]
    )
    timezone: Annotated[str, Field(min_length=1, max_length=60)] | None = Field(
        default=None, examples=["Europe/Berlin"]
    )
    anchor: Annotated[str, Field(min_length=1, max_length=60)] | None = Field(
        default=None, description="The instant that intervals are counted from."
    )
    jitter: Span | None = Field(default=None, description="Up to how much later it may start.")
    catch_up: Literal["skip", "one", "all"] | None = Field(default=None, description="What becomes of missed times.")
    overlap: Literal["allow", "skip"] | None = Field(
        default=None, description="skip: not while what it started before still runs."
    )
    paused: bool = False


class BackfillBody(BodyModel):
    """A range of times that have passed: from `from` on, before `to`."""

    from_: Instant = Field(alias="from")
    to: Instant


class ScheduleFiring(Shape):
    """What became of a time that was due. `by` says who asked for it; null when the schedule itself fired."""

    due_at: str
    at: str
    outcome: Literal["started", "present", "filtered", "refused"]
    execution_id: str | None
    reason: str | None
    by: str | None


class PausedShape(Shape):
    """When a schedule was paused, by whom, and why."""

    at: str
    by: str
    reason: str | None


class ScheduleShape(Shape):
    """A schedule. `trigger` is the position of the trigger that declares it; null when somebody made it."""

    id: str
    workflow: str
    version: str | None
    trigger: int | None
    status: Literal["active", "paused", "inactive", "done"]
    cron: str | None
    every: str | None
    at: str | None
    timezone: str
    anchor: str | None
    jitter: str
    catch_up: Literal["skip", "one", "all"]
    overlap: Literal["allow", "skip"]
    input: Any
    next_at: str | None
    paused: PausedShape | None
    created_at: str
    created_by: str
    last: list[ScheduleFiring]


class ScheduleList(Shape):
    """A part of the schedules, by id."""

    items: list[ScheduleShape]
    next: str | None


class FiringsOfSchedule(Shape):
    """What became of times, in order."""

    items: list[ScheduleFiring]
    next: str | None


class UpcomingTime(Shape):
    """A time to come; it starts at `starts_at`, which is later by the jitter."""

    due_at: str
    starts_at: str


class UpcomingTimes(Shape):
    """The next times."""

    items: list[UpcomingTime]
    next: str | None


@router.get("/schedules", operation_id="listSchedules", response_model=ScheduleList)
async def list_schedules(
    here: Here,
    caller: Calling,
    workflow: Annotated[str | None, Query(max_length=400, description="Only those of this workflow.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Schedules: those that workflows declare, and those that somebody made."""
    after = place_in(cursor, str)[0] if cursor is not None else ""
    page = await here.service(Schedules).list(sees=caller.sees, workflow=workflow, limit=limit, after=after)
    return answer({**page, "next": cursor_of(page["next"]) if page["next"] is not None else None})


@router.post(
    "/schedules",
    operation_id="createSchedule",
    status_code=201,
    response_model=ScheduleShape,
    responses=problems(404, 409, 413, 415, 422),
)
@creates
async def create_schedule(here: Here, caller: Calling, body: Annotated[ScheduleBody, Body()]) -> Response:
    """Make a schedule."""
    check_workflow(caller, body.workflow)
    try:
        made = await here.service(Schedules).create(body.model_dump(), by=caller.name, now=here.clock.now())
    except BadSchedule as error:
        errors = [{"pointer": f"/{error.field or ''}".rstrip("/"), "message": error.message}]
        raise Problem(422, error.message, code=error.code, hint=error.hint, errors=errors) from None
    return created(made, f"{PREFIX}/schedules/{made['id']}")


@router.get("/schedules/{id}", operation_id="getSchedule", response_model=ScheduleShape, responses=problems(404))
async def get_schedule(here: Here, caller: Calling, id: ScheduleId) -> Response:  # noqa: A002 - the path's word
    """A schedule with its last firings."""
    return answer(await here.service(Schedules).show(id, caller.sees))


@router.delete("/schedules/{id}", operation_id="deleteSchedule", status_code=204, responses=problems(404, 409))
async def delete_schedule(here: Here, caller: Calling, id: ScheduleId) -> Response:  # noqa: A002
    """Delete a schedule that somebody made."""
    await here.service(Schedules).delete(id, now=here.clock.now(), sees=caller.sees)
    return Response(status_code=204)


@router.get(
    "/schedules/{id}/upcoming", operation_id="getUpcoming", response_model=UpcomingTimes, responses=problems(404)
)
async def get_upcoming(
    here: Here,
    caller: Calling,
    id: ScheduleId,  # noqa: A002
    count: Annotated[int, Query(ge=1, le=100)] = 10,
) -> Response:
    """The next times of a schedule."""
    return answer(await here.service(Schedules).upcoming(id, count, here.clock.now(), caller.sees))


@router.post(
    "/schedules/{id}/pause",
    operation_id="pauseSchedule",
    response_model=ScheduleShape,
    responses=problems(404, 409, 413, 415, 422),
)
async def pause_schedule(
    here: Here,
    caller: Calling,
    id: ScheduleId,  # noqa: A002
    body: Annotated[ReasonBody, Body(default_factory=ReasonBody)],
) -> Response:
    """Have a schedule start nothing until it is resumed."""
    reason = body.reason or None
    now, schedules = here.clock.now(), here.service(Schedules)
    return answer(await schedules.pause(id, by=caller.name, now=now, reason=reason, sees=caller.sees))


@router.post(
    "/schedules/{id}/resume",
    operation_id="resumeSchedule",
    response_model=ScheduleShape,
    responses=problems(404, 409),
)
async def resume_schedule(here: Here, caller: Calling, id: ScheduleId) -> Response:  # noqa: A002
    """Have a schedule go on with its next time."""
    return answer(await here.service(Schedules).resume(id, now=here.clock.now(), sees=caller.sees))


@router.post(
    "/schedules/{id}/run", operation_id="runSchedule", response_model=ScheduleFiring, responses=problems(404, 409)
)
@creates
async def run_schedule(here: Here, caller: Calling, id: ScheduleId) -> Response:  # noqa: A002
    """Fire a schedule at once, whether or not it is paused."""
    schedules = here.service(Schedules)
    return answer(await schedules.run_now(id, by=caller.name, now=here.clock.now(), sees=caller.sees))


@router.post(
    "/schedules/{id}/backfill",
    operation_id="backfillSchedule",
    response_model=FiringsOfSchedule,
    responses=problems(404, 409, 413, 415, 422),
)
async def backfill_schedule(
    here: Here,
    caller: Calling,
    id: ScheduleId,  # noqa: A002
    body: Annotated[BackfillBody, Body()],
) -> Response:
    """Fire a schedule for all its times in a range; those that it has fired for start nothing again."""
    return answer(
        await here.service(Schedules).backfill(
            id, body.from_, body.to, by=caller.name, now=here.clock.now(), sees=caller.sees
        )
    )
