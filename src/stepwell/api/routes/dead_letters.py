"""Dead letters: steps that failed for good and that nothing handled, and events that were refused."""

from __future__ import annotations

from typing import Annotated

from fastapi import Body, Path, Query
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.bodies import ReasonBody, RetryLetterBody
from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Here
from stepwell.api.parameters import Cursor, ExecutionId, Limit
from stepwell.api.routes.operating import verb_document
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_settings, namespaces_of
from stepwell.api.shapes import DeadLetterPage, DiscardedLetter, FullDeadLetter, RetryAnswer
from stepwell.app.dead_events import unknown
from stepwell.app.serving import Parts
from stepwell.ports.listings import DeadLetterQuery

router = new_router("dead letters")

StepKey = Annotated[str, Path(description="The key of the step.", max_length=400)]
Seq = Annotated[int, Path(ge=1, le=2**53, description="The number of the history event that says that it failed.")]


@router.get("/dead-letters", operation_id="listDeadLetters", response_model=DeadLetterPage)
async def list_dead_letters(
    here: Here,
    caller: Calling,
    workflow: str | None = None,
    execution: str | None = None,
    error_type: str | None = None,
    discarded: Annotated[bool, Query(description="Those that were discarded, instead of the others.")] = False,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Dead letters, newest first."""
    query = DeadLetterQuery(
        workflow=workflow,
        execution=execution,
        error_type=error_type,
        discarded=discarded,
        namespaces=namespaces_of(caller),
        limit=limit,
        cursor=cursor,
    )
    return answer(await here.dead_letters.list(query))


@router.get(
    "/dead-letters/{execution_id}/{step}/{seq}",
    operation_id="getDeadLetter",
    response_model=FullDeadLetter,
    responses=problems(404),
)
async def get_dead_letter(here: Here, caller: Calling, execution_id: ExecutionId, step: StepKey, seq: Seq) -> Response:
    """A dead letter with the input of its step, or the event. Its `id` is `{execution_id}/{step}/{seq}`."""
    return answer(await here.dead_letters.show(await _seen(here, caller, execution_id, step, seq)))


@router.post(
    "/dead-letters/{execution_id}/{step}/{seq}/retry",
    operation_id="retryDeadLetter",
    response_model=RetryAnswer,
    responses=problems(404, 409, 413, 415, 422, 504),
)
async def retry_dead_letter(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    step: StepKey,
    seq: Seq,
    body: Annotated[RetryLetterBody, Body()] = RetryLetterBody(),  # noqa: B008 - never changed
) -> Response:
    """Try the step again, whose execution goes on, or the event, with `settings` put over its data. The dead letter is
    gone then."""
    id_ = await _seen(here, caller, execution_id, step, seq)
    await check_settings(here, caller, execution_id, body.settings)
    done = await here.interventions.retry_letter(id_, body.settings, by=caller.name, reason=body.reason)
    return answer({**verb_document(done), "execution_id": done.answer.execution or None})


@router.post(
    "/dead-letters/{execution_id}/{step}/{seq}/discard",
    operation_id="discardDeadLetter",
    response_model=DiscardedLetter,
    responses=problems(404, 413, 415, 422),
)
async def discard_dead_letter(
    here: Here,
    caller: Calling,
    execution_id: ExecutionId,
    step: StepKey,
    seq: Seq,
    body: Annotated[ReasonBody, Body()] = ReasonBody(),  # noqa: B008 - never changed
) -> Response:
    """Note that nothing is to be done about it, and forget its input."""
    id_ = await _seen(here, caller, execution_id, step, seq)
    reason = body.reason or None
    return answer(await here.dead_letters.discard(id_, at=here.clock.now(), by=caller.name, reason=reason))


async def _seen(here: Parts, caller: Caller, execution: str, step: str, seq: int) -> str:
    """The id of a dead letter that the caller sees.

    Raises:
        NotFound: code `unknown-dead-letter`.
    """
    id_ = f"{execution}/{step}/{seq}"
    about = await here.dead_letters.about(id_)
    if about is None or not caller.sees(about):
        raise unknown(id_)
    return id_
