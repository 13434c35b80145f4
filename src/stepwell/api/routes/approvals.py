"""Questions to people, and their answers."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import Path, Query
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.bodies import AnswerBody, HandOnBody, LinkBody, PersonBody
from stepwell.api.caller import ANONYMOUS, Caller, Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, ExecutionId, Limit
from stepwell.api.problems import Problem
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_execution, namespaces_of
from stepwell.api.shapes import AnswerGiven, LinkShape, Question, QuestionPage
from stepwell.app.approval_care import InboxQuery
from stepwell.base.durations import SECOND
from stepwell.base.instants import to_rfc3339

router = new_router("approvals")

_NOBODY: Final = PersonBody()

StepKey = Annotated[str, Path(description="The key of a step, such as `approve` or `approve[2]`.", max_length=400)]


@router.get("/approvals", operation_id="listApprovals", response_model=QuestionPage)
async def list_approvals(
    here: Here,
    caller: Calling,
    person: Annotated[str | None, Query(max_length=400, description="Those that this person may answer.")] = None,
    workflow: Annotated[str | None, Query(max_length=400, description="Those of this workflow.")] = None,
    execution: Annotated[str | None, Query(max_length=200, description="Those of this execution.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The questions that wait for an answer, those of the oldest executions first. Everything that is said must hold.

    A page may hold fewer than there are, or none: there are more as long as there is a `next`.
    """
    query = InboxQuery(
        namespaces=namespaces_of(caller),
        workflow=workflow,
        execution=execution,
        person=person,
        limit=limit,
        cursor=cursor,
    )
    return answer(await here.approval_care.inbox(query))


@router.get(
    "/approvals/{execution_id}/{step}",
    operation_id="getApproval",
    response_model=Question,
    responses=problems(404, 409),
)
async def get_approval(here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey) -> Response:
    """What a step asks."""
    await check_execution(here, caller, execution_id)
    (question,) = await here.approval_care.shown([await here.approvals.question(execution_id, step)])
    return answer(question)


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
    by = _person(caller, body.by)
    event, published = await here.publishing.answer(execution_id, step, body.response, by)
    document = {
        "execution_id": execution_id,
        "step": step,
        "by": by,
        "event_id": event.id,
        "engine_present": published.engine_present,
    }
    return answer(document, 202)


@router.post(
    "/approvals/{execution_id}/{step}/claim",
    operation_id="claimApproval",
    response_model=Question,
    responses=problems(404, 409, 413, 415, 422),
)
async def claim_approval(
    here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey, body: PersonBody = _NOBODY
) -> Response:
    """Nobody else may answer from now on, until it is released. 409 when somebody else has it."""
    await check_execution(here, caller, execution_id)
    return answer(await here.approval_care.claim(execution_id, step, _person(caller, body.by)))


@router.post(
    "/approvals/{execution_id}/{step}/release",
    operation_id="releaseApproval",
    response_model=Question,
    responses=problems(404, 409, 413, 415, 422),
)
async def release_approval(
    here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey, body: PersonBody = _NOBODY
) -> Response:
    """Others may answer again. Whoever has claimed it may do that, and an admin."""
    await check_execution(here, caller, execution_id)
    is_admin = caller.has("admin") and caller is not ANONYMOUS
    return answer(await here.approval_care.release(execution_id, step, _person(caller, body.by), is_admin=is_admin))


@router.post(
    "/approvals/{execution_id}/{step}/hand-on",
    operation_id="handOnApproval",
    response_model=Question,
    responses=problems(404, 409, 413, 415, 422),
)
async def hand_on_approval(
    here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey, body: HandOnBody
) -> Response:
    """Let somebody else answer, too, in the place of who hands it on. The answer says in whose place it was given."""
    await check_execution(here, caller, execution_id)
    is_admin = caller.has("admin") and caller is not ANONYMOUS
    by = _person(caller, body.by)
    return answer(await here.approval_care.hand_on(execution_id, step, body.to, by, is_admin=is_admin))


@router.post(
    "/approvals/{execution_id}/{step}/links",
    operation_id="makeApprovalLink",
    status_code=201,
    response_model=LinkShape,
    responses=problems(404, 409, 413, 415, 422),
)
async def make_link(here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey, body: LinkBody) -> Response:
    """A link with which whoever has it answers as this person, without a key: for a mail or a message. It is good until
    the question is answered, and for `valid_for` seconds at most. For somebody else only an admin makes one."""
    await check_execution(here, caller, execution_id)
    if not caller.has("admin"):
        _person(caller, body.person, "/person")
    token, link = await here.approval_care.link(execution_id, step, body.person, int(body.valid_for * SECOND))
    return answer({"path": f"/answer/{token}", "person": link.by, "expires_at": to_rfc3339(link.until)}, 201)


def _person(caller: Caller, said: str | None, where: str = "/by") -> str:
    """Who does it: where the server knows who calls, that one.

    Raises:
        Problem: 403 when it is said that somebody else does.
    """
    if caller is ANONYMOUS:
        return said or ""
    if said not in (None, caller.name):
        errors = [{"pointer": where, "message": f"expected {caller.name}, or nothing"}]
        raise Problem(403, f"{caller.name} cannot act as {said}", code="not-yourself", errors=errors)
    return caller.name
