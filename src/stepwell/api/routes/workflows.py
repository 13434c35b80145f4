"""Workflows: registering them, finding them, and what becomes of their versions."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import quote

from fastapi import Query
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from stepwell.api.answers import answer, check_unchanged, tagged
from stepwell.api.bodies import ChangeVersion
from stepwell.api.caller import Caller, Calling
from stepwell.api.context import Here
from stepwell.api.definition_text import REQUEST_BODY, definition_in
from stepwell.api.parameters import Cursor, Limit, Version, WorkflowName
from stepwell.api.problems import Problem
from stepwell.api.routing import PREFIX, creates, problems, produces, text_described
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_workflow
from stepwell.api.shapes import (
    Difference,
    FullWorkflow,
    Graph,
    RegisteredWorkflow,
    Validation,
    WorkflowPage,
    WorkflowPlan,
    WorkflowVersion,
)
from stepwell.app.drawing import graph_document, graph_text
from stepwell.app.registry import Reference
from stepwell.app.serving import Parts
from stepwell.app.workflows import WorkflowQuery
from stepwell.base.namespaces import namespace_of
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.table import DIALECTS

router = new_router("workflows")

Dialect = Annotated[
    str | None,
    Query(
        description="What the text is written in; told from it when it is not said.",
        json_schema_extra={"enum": [*DIALECTS, None]},
    ),
]
Lenient = Annotated[bool, Query(description="Keys that mean nothing are warnings.")]
Form = Annotated[Literal["json", "mermaid", "dot"], Query(alias="format")]


@router.post(
    "/workflows",
    operation_id="registerWorkflow",
    status_code=201,
    response_model=RegisteredWorkflow,
    responses={
        200: {"model": RegisteredWorkflow, "description": "It was registered before, with the same content."},
        **problems(404, 409, 413, 415, 422),
    },
    openapi_extra=REQUEST_BODY,
)
@creates
async def register_workflow(
    here: Here,
    caller: Calling,
    request: Request,
    dialect: Dialect = None,
    lenient: Lenient = False,
    draft: Annotated[bool, Query(description="It is not to be started yet.")] = False,
    reason: Annotated[str | None, Query(max_length=4_000, description="Why; it is recorded.")] = None,
) -> Response:
    """Register a workflow under its name and version, for ever. With errors in it nothing is registered."""
    source = await definition_in(request, dialect, lenient)

    async def check(definition: WorkflowDefinition) -> None:
        _check_own(caller, definition)
        await here.session.allowances.check(definition, caller)
        await here.session.allowances.keep(definition, caller)

    done = await here.workflows.register(source, draft=draft, by=caller.name, reason=reason, check=check)
    name, version = quote(done.report["name"], safe=""), quote(done.report["version"], safe="")
    headers = {"Location": f"{PREFIX}/workflows/{name}/versions/{version}", "ETag": f'"{done.mark}"'}
    return answer(done.report, 201 if done.is_new else 200, headers)


@router.get("/workflows", operation_id="listWorkflows", response_model=WorkflowPage)
async def list_workflows(
    here: Here,
    caller: Calling,
    name: str | None = None,
    tag: str | None = None,
    lifecycle: Literal["draft", "active", "deprecated", "retired"] | None = None,
    search: Annotated[str | None, Query(description="In the name or a tag.")] = None,
    default: Annotated[bool | None, Query(description="Only the default version of each, or only others.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Registered versions, by name, the newest of each first. Everything that is said must hold."""
    query = WorkflowQuery(
        name=name, tag=tag, lifecycle=lifecycle, text=search, default=default, limit=limit, cursor=cursor
    )
    return answer(await here.workflows.page(query, caller.sees))


@router.post(
    "/workflows/validate",
    operation_id="validateWorkflow",
    response_model=Validation,
    responses=problems(413, 415),
    openapi_extra=REQUEST_BODY,
)
async def validate_workflow(
    here: Here, request: Request, dialect: Dialect = None, lenient: Lenient = False
) -> Response:
    """Everything that is wrong or doubtful in a workflow. Nothing is stored."""
    return answer(await here.workflows.validate(await definition_in(request, dialect, lenient)))


@router.get("/workflows/{name}", operation_id="getWorkflow", response_model=FullWorkflow, responses=problems(304, 404))
async def get_workflow(here: Here, caller: Calling, request: Request, name: WorkflowName) -> Response:
    """The default version of a workflow, with its text."""
    return await _full(here, caller, request, Reference(name))


@router.get(
    "/workflows/{name}/versions/{version}",
    operation_id="getWorkflowVersion",
    response_model=FullWorkflow,
    responses=problems(304, 404),
)
async def get_workflow_version(
    here: Here, caller: Calling, request: Request, name: WorkflowName, version: Version
) -> Response:
    """A version of a workflow, with its text."""
    return await _full(here, caller, request, Reference(name, version))


@router.patch(
    "/workflows/{name}/versions/{version}",
    operation_id="changeWorkflowVersion",
    response_model=WorkflowVersion,
    responses=problems(404, 409, 412, 413, 415, 422, 428),
    openapi_extra={
        "parameters": [
            {
                "name": "If-Match",
                "in": "header",
                "required": True,
                "description": "The `ETag` of the version as it was read, or `*`.",
                "schema": {"type": "string"},
            }
        ]
    },
)
async def change_workflow_version(
    here: Here, caller: Calling, request: Request, name: WorkflowName, version: Version, body: ChangeVersion
) -> Response:
    """Move a version on in its life, or make it the version that the name alone means."""
    check_workflow(caller, name)
    changed = await here.workflows.change(
        Reference(name, version),
        lifecycle=body.lifecycle if "lifecycle" in body.model_fields_set else None,
        default="default" in body.model_fields_set,
        check=lambda mark: check_unchanged(request, mark),
        by=caller.name,
        reason=body.reason,
    )
    return answer(changed.report, headers={"ETag": f'"{changed.mark}"'})


@router.get(
    "/workflows/{name}/graph",
    operation_id="getWorkflowGraph",
    response_model=Graph,
    responses={**problems(404), 200: text_described("The graph.", Graph)},
)
@produces("application/json", "text/plain")
async def get_workflow_graph(here: Here, caller: Calling, name: WorkflowName, form: Form = "json") -> Response:
    """The default version of a workflow as a graph."""
    check_workflow(caller, name)
    return await _graph(here, Reference(name), form)


@router.get(
    "/workflows/{name}/versions/{version}/graph",
    operation_id="getWorkflowVersionGraph",
    response_model=Graph,
    responses={**problems(404), 200: text_described("The graph.", Graph)},
)
@produces("application/json", "text/plain")
async def get_workflow_version_graph(
    here: Here, caller: Calling, name: WorkflowName, version: Version, form: Form = "json"
) -> Response:
    """A version of a workflow as a graph."""
    check_workflow(caller, name)
    return await _graph(here, Reference(name, version), form)


@router.get(
    "/workflows/{name}/diff",
    operation_id="compareWorkflowVersions",
    response_model=Difference,
    responses=problems(404),
)
async def compare_workflow_versions(
    here: Here,
    caller: Calling,
    name: WorkflowName,
    old: Annotated[str, Query(alias="from", description="A version.")],
    new: Annotated[str, Query(alias="to", description="Another version.")],
) -> Response:
    """What two versions of a workflow mean differently, however they are written."""
    check_workflow(caller, name)
    return answer(await here.workflows.difference(name, old, new))


@router.get(
    "/workflows/{name}/plan",
    operation_id="planWorkflow",
    response_model=WorkflowPlan,
    responses=problems(404),
)
async def plan_workflow(here: Here, caller: Calling, name: WorkflowName) -> Response:
    """How the default version would run: batches, the longest chain, the worst case."""
    check_workflow(caller, name)
    return answer(await here.workflows.figures(Reference(name)))


@router.get(
    "/workflows/{name}/versions/{version}/plan",
    operation_id="planWorkflowVersion",
    response_model=WorkflowPlan,
    responses=problems(404),
)
async def plan_workflow_version(here: Here, caller: Calling, name: WorkflowName, version: Version) -> Response:
    """How a version would run: batches, the longest chain, the worst case."""
    check_workflow(caller, name)
    return answer(await here.workflows.figures(Reference(name, version)))


def _check_own(caller: Caller, definition: WorkflowDefinition) -> None:
    """Whether the caller may register a workflow of this name.

    Raises:
        Problem: 403, code `foreign-namespace`.
    """
    if not caller.sees(definition.name):
        message = (
            f"{caller.name} may not register {definition.name!r}: it is in namespace {namespace_of(definition.name)!r}"
        )
        raise Problem(
            403, message, code="foreign-namespace", hint="name it NAMESPACE.NAME, after one of your namespaces"
        )


async def _full(here: Parts, caller: Caller, request: Request, reference: Reference) -> Response:
    check_workflow(caller, reference.name)
    found = await here.workflows.full(reference)
    return tagged(request, found.report, found.mark)


async def _graph(here: Parts, reference: Reference, form: Literal["json", "mermaid", "dot"]) -> Response:
    definition = await here.workflows.definition(reference)
    if form == "json":
        return answer(graph_document(definition))
    return PlainTextResponse(graph_text(definition, form))
