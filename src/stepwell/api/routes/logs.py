"""Logs: of one execution, and searched over all."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Query
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, ExecutionId, Instant
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_execution
from stepwell.api.shapes import Shape
from stepwell.app.log_keeping import LogKeeper
from stepwell.app.log_reading import LogFilter

router = new_router("logs")

Level = Annotated[
    Literal["debug", "info", "warning", "error"] | None, Query(description="Lines at least as severe as that.")
]
Step = Annotated[str | None, Query(min_length=1, max_length=400, description="The name of a step, or of an instance.")]
Type = Annotated[str | None, Query(min_length=1, max_length=200, description="The type of a step.")]
Errors = Annotated[bool, Query(description="Only lines that tell of an error.")]
Text = Annotated[str | None, Query(min_length=1, max_length=400, description="Contained in the message.")]
Since = Annotated[Instant | None, Query(description="Lines from this instant on.")]
Until = Annotated[Instant | None, Query(description="Lines before this instant.")]
Lines = Annotated[int, Query(ge=1, le=1_000, description="At most so many lines.")]
Id = Annotated[str | None, Query(min_length=1, max_length=200)]


class Line(Shape):
    """A line of a log. `workflow_id` is the name of the workflow, `activity` that of the step."""

    timestamp: str
    level: Literal["debug", "info", "warning", "error"]
    component: str
    workflow_id: str | None
    execution_id: str | None
    activity: str | None
    step: str | None
    type: str | None
    attempt: int | None
    message: str
    error: str | None


class LinePage(Shape):
    """Lines, how many errors there were by type, and where the list goes on."""

    items: list[Line]
    next: str | None
    errors: dict[str, int]


class FoundLinePage(LinePage):
    """Lines of all executions; `dropped` is how many could not be kept since this server was started."""

    dropped: int


@router.get(
    "/executions/{execution_id}/logs",
    operation_id="getExecutionLogs",
    response_model=LinePage,
    responses=problems(404),
)
async def get_execution_logs(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    level: Level = None,
    step: Step = None,
    type: Type = None,  # noqa: A002 - the parameter's name
    errors: Errors = False,
    text: Text = None,
    since: Since = None,
    until: Until = None,
    limit: Lines = 100,
    cursor: Cursor = None,
) -> Response:
    """What happened in an execution and what its tasks logged, oldest first.

    `next` is there as long as the execution has not ended: ask again with it for what came since. `errors` counts those
    of the whole execution by type.
    """
    await check_execution(here, caller, execution_id)
    wanted = LogFilter(level=level, step=step, type=type, errors=errors, text=text, since=since, until=until)
    return answer(await here.logs.of_execution(execution_id, wanted, limit, cursor))


@router.get("/logs", operation_id="searchLogs", response_model=FoundLinePage)
async def search_logs(
    here: Here,
    caller: Calling,
    workflow: Id = None,
    execution: Id = None,
    level: Level = None,
    step: Step = None,
    type: Type = None,  # noqa: A002 - the parameter's name
    errors: Errors = False,
    text: Text = None,
    since: Since = None,
    until: Until = None,
    limit: Lines = 100,
    cursor: Cursor = None,
) -> Response:
    """What tasks logged and what went wrong, in all executions, newest first. `errors` counts those on this page."""
    wanted = LogFilter(
        level=level,
        step=step,
        type=type,
        errors=errors,
        text=text,
        since=since,
        until=until,
        workflow=workflow,
        execution=execution,
        namespaces=caller.namespaces,
    )
    page = await here.logs.search(wanted, limit, cursor)
    return answer({**page, "dropped": here.service(LogKeeper).dropped})
