"""What operators do with executions. Each change is recorded with who made it and why."""

from __future__ import annotations

from typing import Annotated, Final, assert_never

import msgspec
from fastapi import Body
from starlette.responses import Response

from stepwell.api.answers import answer, created
from stepwell.api.bodies import (
    ActionsBody,
    CancelBody,
    CompleteStepBody,
    ForkBody,
    MigrateBody,
    ReasonBody,
    RerunBody,
    RetryBody,
    RollbackBody,
    SignalBody,
    SkipStepBody,
)
from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Here
from stepwell.api.parameters import ExecutionId
from stepwell.api.problems import Problem
from stepwell.api.routing import PREFIX, creates, problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_execution, check_settings, namespaces_of
from stepwell.api.shapes import ActionsAnswer, ForkAnswer, MoveAnswer, SignalAnswer, VerbAnswer
from stepwell.app.operating import Done
from stepwell.app.serving import Parts
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
    CompleteStep,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
)
from stepwell.ports.listings import ExecutionQuery

router = new_router("operating executions")

_PROBLEMS: Final = problems(404, 409, 413, 415, 422, 504)
_NO_REASON: Final = ReasonBody()

_AS_IT_SAYS: Final = CancelBody()
_ALL_THAT_FAILED: Final = RetryBody()

Reason = Annotated[ReasonBody, Body()]
Cancelling = Annotated[CancelBody, Body()]
Retrying = Annotated[RetryBody, Body()]


def verb_document(done: Done) -> dict[str, object]:
    """What became of a verb."""
    said = done.answer
    return {
        "execution_id": said.execution,
        "verb": said.verb,
        "changed": said.changed,
        "message": said.said,
        "status": said.status,
        "next": None,
    }


async def _ask(here: Parts, caller: Caller, execution: str, verb: Verb) -> Response:
    await check_execution(here, caller, execution)
    return answer(verb_document(await here.interventions.ask(execution, verb)))


@router.post(
    "/executions/{execution_id}/pause",
    operation_id="pauseExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def pause(here: Here, caller: Calling, execution_id: ExecutionId, body: Reason = _NO_REASON) -> Response:
    """Halt an execution: what runs may end, and nothing new starts."""
    return await _ask(here, caller, execution_id, Pause(by=caller.name, reason=body.reason))


@router.post(
    "/executions/{execution_id}/resume",
    operation_id="resumeExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def resume(here: Here, caller: Calling, execution_id: ExecutionId, body: Reason = _NO_REASON) -> Response:
    """Let a paused execution go on. Steps whose failure paused it are tried again."""
    return await _ask(here, caller, execution_id, Resume(by=caller.name, reason=body.reason))


@router.post(
    "/executions/{execution_id}/cancel",
    operation_id="cancelExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def cancel(here: Here, caller: Calling, execution_id: ExecutionId, body: Cancelling = _AS_IT_SAYS) -> Response:
    """End an execution as cancelled, once what runs has ended."""
    verb = Cancel(by=caller.name, reason=body.reason, stop=body.stop_running, compensate=body.compensate)
    return await _ask(here, caller, execution_id, verb)


@router.post(
    "/executions/{execution_id}/terminate",
    operation_id="terminateExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def terminate(here: Here, caller: Calling, execution_id: ExecutionId, body: Reason = _NO_REASON) -> Response:
    """End an execution as cancelled, at once: everything is stopped, and nothing is undone."""
    return await _ask(here, caller, execution_id, Terminate(by=caller.name, reason=body.reason))


@router.post(
    "/executions/{execution_id}/compensate",
    operation_id="compensateExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def compensate(here: Here, caller: Calling, execution_id: ExecutionId, body: Reason = _NO_REASON) -> Response:
    """Start the compensation that waits for an operator."""
    return await _ask(here, caller, execution_id, Compensate(by=caller.name, reason=body.reason))


@router.post(
    "/executions/{execution_id}/retry",
    operation_id="retryExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def retry(here: Here, caller: Calling, execution_id: ExecutionId, body: Retrying = _ALL_THAT_FAILED) -> Response:
    """Try the failed steps of a failed execution again: the same work, with all its attempts once more."""
    await check_execution(here, caller, execution_id)
    await check_settings(here, caller, execution_id, body.settings)
    verb = Retry(by=caller.name, reason=body.reason, steps=tuple(body.steps), settings=body.settings)
    return await _ask(here, caller, execution_id, verb)


@router.post(
    "/executions/{execution_id}/rerun",
    operation_id="rerunExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def rerun(here: Here, caller: Calling, execution_id: ExecutionId, body: RerunBody) -> Response:
    """Run a step, and everything behind it, again: other work, with idempotency keys of its own."""
    await check_execution(here, caller, execution_id)
    await check_settings(here, caller, execution_id, body.settings)
    verb = Rerun(by=caller.name, reason=body.reason, step=body.step, settings=body.settings, keep_items=body.keep_items)
    return await _ask(here, caller, execution_id, verb)


@router.post(
    "/executions/{execution_id}/rollback",
    operation_id="rollbackExecution",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def rollback(here: Here, caller: Calling, execution_id: ExecutionId, body: RollbackBody) -> Response:
    """Undo what completed after a checkpoint, and go on from there."""
    verb = Rollback(by=caller.name, reason=body.reason, checkpoint=body.checkpoint)
    return await _ask(here, caller, execution_id, verb)


@router.post(
    "/executions/{execution_id}/skip-step",
    operation_id="skipStep",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def skip_step(here: Here, caller: Calling, execution_id: ExecutionId, body: SkipStepBody) -> Response:
    """Let a step that has not completed count as skipped: what depends on it goes on."""
    verb = SkipStep(by=caller.name, reason=body.reason, step=body.step, force=body.force)
    return await _ask(here, caller, execution_id, verb)


@router.post(
    "/executions/{execution_id}/complete-step",
    operation_id="completeStep",
    response_model=VerbAnswer,
    responses=_PROBLEMS,
)
async def complete_step(here: Here, caller: Calling, execution_id: ExecutionId, body: CompleteStepBody) -> Response:
    """Let a step that has not completed count as completed, with the given output."""
    verb = CompleteStep(by=caller.name, reason=body.reason, step=body.step, output=body.output, force=body.force)
    return await _ask(here, caller, execution_id, verb)


@router.post(
    "/executions/{execution_id}/fork",
    operation_id="forkExecution",
    status_code=201,
    response_model=ForkAnswer,
    responses=_PROBLEMS,
)
@creates
async def fork(here: Here, caller: Calling, execution_id: ExecutionId, body: ForkBody) -> Response:
    """Begin another execution with the history of this one, to the end of the turn of an event."""
    await check_execution(here, caller, execution_id)
    forked = await here.interventions.fork(execution_id, body.at, by=caller.name, reason=body.reason)
    document = {
        "execution_id": forked.execution,
        "forked_from": forked.origin,
        "seq": forked.seq,
        "next": None,
    }
    return created(document, f"{PREFIX}/executions/{forked.execution}")


@router.post(
    "/executions/{execution_id}/migrate",
    operation_id="migrateExecution",
    response_model=MoveAnswer,
    responses=_PROBLEMS,
)
async def migrate(here: Here, caller: Calling, execution_id: ExecutionId, body: MigrateBody) -> Response:
    """Go on with another version of the workflow, when all that has run fits into it."""
    await check_execution(here, caller, execution_id)
    move = await here.interventions.move(
        execution_id, body.to, body.names, by=caller.name, reason=body.reason, dry_run=body.dry_run
    )
    if move.problems and not body.dry_run:
        errors = [{"pointer": "/to", "message": problem} for problem in move.problems]
        message = f"execution {execution_id} cannot be moved to version {move.to}: {'; '.join(move.problems)}"
        raise Problem(409, message, code="cannot-migrate", errors=errors)
    return answer(msgspec.to_builtins(move))


@router.post(
    "/executions/{execution_id}/signal",
    operation_id="signalExecution",
    status_code=202,
    response_model=SignalAnswer,
    responses=_PROBLEMS,
)
@creates
async def signal(here: Here, caller: Calling, execution_id: ExecutionId, body: SignalBody) -> Response:
    """Send an event to one execution, for a step that waits for it now or later."""
    await check_execution(here, caller, execution_id)
    event, published = await here.publishing.signal(execution_id, body.type, body.data)
    document = {"execution_id": execution_id, "event_id": event.id, "type": event.type, "waits": published.waits}
    return answer(document, 202)


@router.post(
    "/executions/actions",
    operation_id="actOnExecutions",
    response_model=ActionsAnswer,
    responses=problems(409, 413, 415, 422, 504),
)
async def act_on_executions(here: Here, caller: Calling, body: ActionsBody) -> Response:
    """Do the same to every execution that a query finds, the newest first, each by itself."""
    asked = body.query
    query = ExecutionQuery(
        workflow=asked.workflow,
        version=asked.version,
        statuses=tuple(asked.status),
        tag=asked.tag,
        created_from=asked.created_from,
        created_to=asked.created_to,
        text=asked.text,
        namespaces=namespaces_of(caller),
    )
    items, more = await here.interventions.many(query, body.limit, _verb_of(body, caller), dry_run=body.dry_run)
    return answer({"items": msgspec.to_builtins(items), "more": more})


def _verb_of(body: ActionsBody, caller: Caller) -> Verb:
    by, reason = caller.name, body.reason
    match body.action:
        case "pause":
            return Pause(by=by, reason=reason)
        case "resume":
            return Resume(by=by, reason=reason)
        case "cancel":
            return Cancel(by=by, reason=reason, stop=body.stop_running, compensate=body.compensate)
        case "terminate":
            return Terminate(by=by, reason=reason)
        case "retry":
            return Retry(by=by, reason=reason)
        case "compensate":
            return Compensate(by=by, reason=reason)
        case _:
            assert_never(body.action)
