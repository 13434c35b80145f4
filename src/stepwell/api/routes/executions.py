"""Executions: listing them and looking at one."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stepwell.api.answers import answer, tagged
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, ExecutionId, Instant, Limit
from stepwell.api.routing import problems, produces, text_described
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_execution, namespaces_of
from stepwell.api.shapes import (
    Comparison,
    DefinitionText,
    Execution,
    ExecutionPage,
    Explanation,
    Graph,
    HistoryPage,
    PastExecution,
    Status,
    StepPage,
)
from stepwell.app.comparing import compare, comparison_document
from stepwell.app.cursors import cursor_of, page_of, place_in
from stepwell.app.drawing import graph_document, graph_text
from stepwell.app.explaining import Explaining
from stepwell.app.explanation import explanation_document
from stepwell.app.serving import Parts
from stepwell.ports.listings import ExecutionQuery

router = new_router("executions")


@router.get("/executions", operation_id="listExecutions", response_model=ExecutionPage)
async def list_executions(
    here: Here,
    caller: Calling,
    workflow: Annotated[str | None, Query(description="The name of a workflow.")] = None,
    version: str | None = None,
    status: Annotated[list[Status], Query(description="Any of these; may be repeated.")] = [],  # noqa: B006
    tag: str | None = None,
    parent: Annotated[str | None, Query(description="Those that steps of this execution started.")] = None,
    from_: Annotated[Instant | None, Query(alias="from", description="Created at that instant or later.")] = None,
    to: Annotated[Instant | None, Query(description="Created before that instant.")] = None,
    text: Annotated[str | None, Query(description="In the id, the workflow's name, a tag or the error.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Executions, newest first. Everything that is said must hold."""
    query = ExecutionQuery(
        workflow=workflow,
        version=version,
        statuses=tuple(status),
        tag=tag,
        parent=parent,
        created_from=from_,
        created_to=to,
        text=text,
        namespaces=namespaces_of(caller),
        limit=limit,
        cursor=cursor,
    )
    return answer(await here.reading.executions(query))


@router.get(
    "/executions/{execution_id}", operation_id="getExecution", response_model=Execution, responses=problems(304, 404)
)
async def get_execution(here: Here, caller: Calling, request: Request, execution_id: ExecutionId) -> Response:
    """An execution. Its `ETag` is the number of its last history event: `If-None-Match` asks for what is newer."""
    await check_execution(here, caller, execution_id)
    found = await here.reading.reported(execution_id)
    return tagged(request, found.report, str(found.seq))


@router.get(
    "/executions/{execution_id}/steps", operation_id="listSteps", response_model=StepPage, responses=problems(404)
)
async def list_steps(
    here: Here, caller: Calling, execution_id: ExecutionId, limit: Limit = 1_000, cursor: Cursor = None
) -> Response:
    """The steps of an execution, in the order of the definition; behind each what ran inside it."""
    after = place_in(cursor, int)[0] if cursor is not None else 0
    await check_execution(here, caller, execution_id)
    report = await here.reading.execution(execution_id)
    return answer(page_of(report["steps"], limit, lambda step: step, max(0, after)))


@router.get(
    "/executions/{execution_id}/history",
    operation_id="listHistory",
    response_model=HistoryPage,
    responses=problems(404),
)
async def list_history(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only events with a higher number.")] = 0,
    limit: Limit = 1_000,
    cursor: Cursor = None,
) -> Response:
    """Everything that happened to an execution, in order."""
    if cursor is not None:
        after = place_in(cursor, int)[0]
    await check_execution(here, caller, execution_id)
    items: list[dict[str, Any]] = []
    async for event in here.reading.history(execution_id, after):
        if len(items) == limit:
            return answer({"items": items, "next": cursor_of(items[-1]["seq"])})
        items.append(event)
    return answer({"items": items, "next": None})


@router.get(
    "/executions/{execution_id}/state",
    operation_id="getPastExecution",
    response_model=PastExecution,
    responses=problems(404),
)
async def get_past_execution(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    at: Annotated[int, Query(ge=1, le=2**53, description="The number of a history event.")],
) -> Response:
    """An execution as it stood when that history event had happened."""
    await check_execution(here, caller, execution_id)
    found = await here.reading.past(execution_id, at)
    return answer({**found.report, "seq": found.seq})


@router.get(
    "/executions/{execution_id}/graph",
    operation_id="getExecutionGraph",
    response_model=Graph,
    responses={**problems(404), 200: text_described("The graph.", Graph)},
)
@produces("application/json", "text/plain")
async def get_execution_graph(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    form: Annotated[Literal["json", "mermaid", "dot"], Query(alias="format")] = "json",
) -> Response:
    """What an execution runs, as a graph, with the status of each step."""
    await check_execution(here, caller, execution_id)
    recorded = await here.reading.recorded(execution_id)
    statuses = {name: step.status.value for name, step in recorded.state.steps.items()}
    if form == "json":
        return answer(graph_document(recorded.definition, statuses))
    return PlainTextResponse(graph_text(recorded.definition, form, statuses))


@router.get(
    "/executions/{execution_id}/definition",
    operation_id="getExecutionDefinition",
    response_model=DefinitionText,
    responses=problems(404),
)
async def get_execution_definition(here: Here, caller: Calling, execution_id: ExecutionId) -> Response:
    """The text of what an execution runs, whether or not that is registered."""
    await check_execution(here, caller, execution_id)
    definition = await here.reading.definition(execution_id)
    document = {
        "workflow": definition.name,
        "version": definition.version,
        "digest": definition.digest,
        "dialect": definition.dialect,
        "source_name": definition.source.name,
        "text": definition.source.text,
    }
    return answer(document)


@router.get(
    "/executions/{execution_id}/why",
    operation_id="explainExecution",
    response_model=Explanation,
    responses=problems(404),
)
async def explain_execution(here: Here, caller: Calling, execution_id: ExecutionId) -> Response:
    """What an execution waits for, since when, and what would wake it; or why it ended as it did."""
    await check_execution(here, caller, execution_id)
    return answer(explanation_document(await _explaining(here).explanation(execution_id)))


@router.get(
    "/executions/{execution_id}/compare",
    operation_id="compareExecutions",
    response_model=Comparison,
    responses=problems(404),
)
async def compare_executions(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    other: Annotated[str, Query(alias="with", max_length=200, description="The id of the other one.")],
) -> Response:
    """In what two executions differ: input, definition, way, outputs, times, end."""
    for each in (execution_id, other):
        await check_execution(here, caller, each)
    a, b = await _recorded(here, execution_id), await _recorded(here, other)
    return answer(comparison_document(compare(a, b)))


async def _recorded(here: Parts, execution: str) -> Any:
    return await here.reading.recorded(execution, whole=True)


def _explaining(here: Parts) -> Explaining:
    queues = here.session.remote.queues
    if queues is None:
        return Explaining(here.store, here.reading, here.clock.now())
    return Explaining(here.store, here.reading, here.clock.now(), fetched=queues.whereabouts)
