"""Questions to people, and their answers."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.bodies import AnswerBody
from stepwell.api.caller import ANONYMOUS, Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, ExecutionId, Limit
from stepwell.api.problems import Problem
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_execution, namespaces_of
from stepwell.api.shapes import AnswerGiven, Question, QuestionPage

router = new_router("approvals")

StepKey = Annotated[str, Path(description="The key of a step, such as `approve` or `approve[2]`.", max_length=400)]


@router.get("/approvals", operation_id="listApprovals", response_model=QuestionPage)
async def list_approvals(here: Here, caller: Calling, limit: Limit = 50, cursor: Cursor = None) -> Response:
    """The questions that wait for an answer, those of the oldest executions first."""
    return answer(await here.approvals.list(limit=limit, cursor=cursor, namespaces=namespaces_of(caller)))


@router.get(
    "/approvals/{execution_id}/{step}",
    operation_id="getApproval",
    response_model=Question,
    responses=problems(404, 409),
)
async def get_approval(here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey) -> Response:
    """What a step asks."""
    await check_execution(here, caller, execution_id)
    return answer(await here.approvals.question(execution_id, step))


@router.post(
    "/approvals/{execution_id}/{step}",
    operation_id="answerApproval",
    status_code=202,
    response_model=AnswerGiven,
    responses=problems(404, 409, 413, 415, 422),
)
async def answer_approval(
    here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey, body: AnswerBody
) -> Response:
    """Answer the question of a step. Where the server knows who calls, that is who answers."""
    await check_execution(here, caller, execution_id)
    if caller is not ANONYMOUS and body.by not in (None, caller.name):
        errors = [{"pointer": "/by", "message": f"expected {caller.name}, or nothing"}]
        raise Problem(403, f"{caller.name} cannot answer as {body.by}", code="not-yourself", errors=errors)
    by = (body.by or "") if caller is ANONYMOUS else caller.name
    event, published = await here.publishing.answer(execution_id, step, body.response, by)
    document = {
        "execution_id": execution_id,
        "step": step,
        "by": by,
        "event_id": event.id,
        "engine_present": published.engine_present,
    }
    return answer(document, 202)
