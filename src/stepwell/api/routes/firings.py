"""Triggers: which there are, and what they made of what came."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, Limit
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.shapes import Shape
from stepwell.app.cursors import cursor_of, place_in

router = new_router("triggers")


class TriggerShape(Shape):
    """A trigger of an active workflow; counts are of this server, since it was started."""

    workflow: str
    version: str
    trigger: int
    kind: Literal["event", "schedule", "webhook", "topic"]
    active: bool
    settings: dict[str, Any]
    started: int
    present: int
    filtered: int
    refused: int


class TriggerList(Shape):
    """All triggers, by workflow and position."""

    items: list[TriggerShape]
    next: str | None


class FiredEvent(Shape):
    """The event that a trigger fired for."""

    type: str
    source: str
    id: str


class FiringShape(Shape):
    """What a trigger made of an event, a time or a webhook. `unnoted` so many like it were left out before.

    Keys that need not be there say what it fired for, by its kind: `event`; `schedule` and `due_at`, with who asked for
    it (`by`); `webhook`, the path of one that was refused; `dead_letter`, the id of one that was tried again.
    """

    number: int
    at: str
    workflow: str
    version: str
    trigger: int
    kind: Literal["event", "schedule", "webhook", "topic"]
    outcome: Literal["started", "present", "filtered", "refused"]
    execution_id: str | None
    reason: str | None
    unnoted: int
    event: FiredEvent | None = None
    schedule: str | None = None
    due_at: str | None = None
    by: str | None = None
    webhook: str | None = None
    dead_letter: str | None = None


class FiringList(Shape):
    """A part of what triggers made of what came, newest first."""

    items: list[FiringShape]
    next: str | None


@router.get("/triggers", operation_id="listTriggers", response_model=TriggerList)
async def list_triggers(here: Here, caller: Calling) -> Response:
    """The triggers of the active workflows, and how often they fired."""
    triggering = here.session.triggering
    counts = {(each["workflow"], each["trigger"]): each for each in triggering.counts()}
    none = dict.fromkeys(("started", "present", "filtered", "refused"), 0)
    items = [
        {
            "workflow": each.workflow,
            "version": each.registration.version,
            "trigger": each.compiled.position,
            "kind": each.kind,
            "active": each.compiled.trigger.active,
            "settings": dict(each.config),
            **none,
            **counts.get((each.workflow, each.compiled.position), {}),
        }
        for each in await triggering.triggers.all()
        if caller.sees(each.workflow)
    ]
    return answer({"items": items, "next": None})


@router.get("/triggers/firings", operation_id="listFirings", response_model=FiringList, responses=problems())
async def list_firings(
    here: Here,
    caller: Calling,
    workflow: Annotated[str | None, Query(max_length=400, description="Only those of this workflow.")] = None,
    schedule: Annotated[str | None, Query(max_length=500, description="Only those of this schedule.")] = None,
    outcome: Annotated[Literal["started", "present", "filtered", "refused"] | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """What triggers made of events, times and webhooks, newest first: every start, and what was filtered or refused."""
    page = await here.session.triggering.firings.list(
        workflow=workflow,
        outcome=outcome,
        schedule=schedule,
        sees=caller.sees,
        limit=limit,
        before=place_in(cursor, int)[0] if cursor is not None else None,
    )
    return answer({**page, "next": cursor_of(page["next"]) if page["next"] is not None else None})
