"""Starting executions: a plain route, for it is called often."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from stepwell.api.accepting import check_accept, check_content_type, check_header
from stepwell.api.answers import created
from stepwell.api.bodies import StartBody
from stepwell.api.caller import caller_of
from stepwell.api.context import context_of
from stepwell.api.json_text import read_json
from stepwell.api.parameters import LONGEST_WAIT
from stepwell.api.problems import Problem, invalid_fields
from stepwell.api.routing import PREFIX
from stepwell.api.seeing import check_workflow
from stepwell.app.registry import Reference
from stepwell.app.report import execution_report
from stepwell.base.durations import parse_duration

_JSON: Final = ("application/json",)
PATH: Final = PREFIX + "/workflows/{name}/executions"


class _Start(msgspec.Struct, forbid_unknown_fields=True):
    """`StartBody`, quicker."""

    input: dict[str, Any] | None = None
    version: str | None = None
    tags: list[str] = []


async def start_execution(request: Request) -> Response:
    """Start a workflow; with `wait`, and the end within it, the answer tells of the end."""
    check_accept(request, _JSON)
    context, caller, name = context_of(request), caller_of(request), request.path_params["name"]
    wait, here = _wait_in(request), context.parts
    body = await _body_of(request)
    check_workflow(caller, name)
    started = await here.starting.start(
        Reference(name, body.version),
        body.input,
        key=check_header(request, "Idempotency-Key"),
        tags=body.tags,
        trace=request.headers.get("traceparent", ""),
    )
    ended = await here.starting.ended(started.execution, wait, context.closing) if wait else None
    if ended is not None:
        report, seq = execution_report(started.plan, ended), ended.seq
    else:
        found = await here.reading.reported(started.execution)
        report, seq = found.report, found.seq
    headers = {"ETag": f'"{seq}"'}
    if started.warning is not None:
        headers["Warning"] = f'299 - "{_ascii(started.warning)}"'
    if not started.is_new:
        headers["Idempotency-Replayed"] = "true"
    return created(report, f"{PREFIX}/executions/{started.execution}", headers)


def _wait_in(request: Request) -> int:
    """How long to wait for the end, in microseconds."""
    found = request.query_params.multi_items() if request.scope["query_string"] else []
    if not found:
        return 0
    wrong = [name for name, _ in found if name != "wait"] or ([] if len(found) == 1 else ["wait"])
    try:
        if not wrong:
            return min(parse_duration(found[0][1]), LONGEST_WAIT)
        name, message = wrong[0], "there is no such parameter" if wrong[0] != "wait" else "it stands there twice"
    except ValueError as error:
        name, message = "wait", str(error)
    errors = [{"parameter": name[:100], "message": message}]
    raise Problem(400, f"{name[:100]}: {message}", code="invalid-parameter", errors=errors)


async def _body_of(request: Request) -> _Start:
    """The body; none says as much as an empty object."""
    content = await request.body()
    if not content:
        return _Start()
    check_content_type(request, *_JSON)
    value = read_json(content)
    try:
        start = msgspec.convert(value, _Start)
        if not start.tags and start.version != "":
            return start
    except msgspec.ValidationError:
        pass  # pydantic says all that is wrong, and not the first of it
    try:
        checked = StartBody.model_validate(value)
    except ValidationError as error:
        raise invalid_fields([{**each, "loc": ("body", *each["loc"])} for each in error.errors()]) from None
    return _Start(input=checked.input, version=checked.version, tags=checked.tags)


def _ascii(text: str) -> str:
    """For a header: what is neither ASCII nor plain text is shown as `?`."""
    plain = text.encode("ascii", "replace").decode()
    return "".join(each if each.isprintable() and each not in '"\\' else "?" for each in plain)


route = Route(PATH, start_execution, methods=["POST"])
