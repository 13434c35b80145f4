"""Errors as HTTP answers: RFC 9457 problem documents, always of the same shape."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from stepwell.app.access import Forbidden, Unauthenticated
from stepwell.app.allowances import NotAllowed
from stepwell.app.operating import NoAnswer
from stepwell.base.errors import Conflict, InvalidInput, NotFound, StepwellError, StoreError, UsageError
from stepwell.definition.diagnostics import Diagnostic, InvalidDefinition

_log = logging.getLogger(__name__)

_NAMES: Final = re.compile(r"[^.\[\]]+")
MEDIA_TYPE: Final = "application/problem+json"

STATUSES: Final[Sequence[tuple[type[StepwellError], int]]] = (
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotAllowed, 403),
    (InvalidDefinition, 422),
    (InvalidInput, 422),
    (NotFound, 404),
    (Conflict, 409),
    (UsageError, 400),
    (NoAnswer, 504),
    (StoreError, 503),
)
"""The status of a kind of error, the first that fits; of any other 500."""

STATUS_OF_CODE: Final[Mapping[str, int]] = {
    "idempotency-key-reused": 422,
    "invalid-answer": 422,
    "invalid-expiry": 422,
    "invalid-key-name": 422,
    "invalid-namespace": 422,
    "invalid-secret": 422,
    "issuer-unavailable": 503,
    "invalid-policy": 422,
    "invalid-alert": 422,
    "invalid-service": 422,
    "start-key-reused": 422,
    "draining": 503,
    "no-shard": 503,
    "bad-signature": 401,
    "signature-missing": 401,
    "stale-timestamp": 401,
    "webhook-unready": 503,
    "unsupported-media-type": 415,
    "bad-schedule": 422,
    "bad-range": 422,
    "engine-closed": 503,
    "unusable-definition": 409,
    "event-too-large": 413,
}
"""Where the code says more than the kind."""


_POINTERS: Final[Mapping[str, str]] = {"invalid-answer": "/response", "bad-range": "/from"}
"""Where in the body the fault is, by code."""


class FieldError(BaseModel):
    """What is wrong with one field of a request."""

    model_config = ConfigDict(extra="forbid")

    message: str
    pointer: str | None = Field(default=None, description="Where in the body, as a JSON Pointer.")
    parameter: str | None = Field(default=None, description="The parameter or header that is wrong.")
    line: int | None = Field(default=None, description="In the text of a definition, from 1.")
    column: int | None = None
    code: str | None = None
    severity: str | None = None
    hint: str | None = None


class ProblemDocument(BaseModel):
    """A problem, as RFC 9457 describes it."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(examples=["urn:stepwell:error:unknown-execution"])
    title: str
    status: int
    detail: str
    code: str = Field(description="A stable name of the kind of error.")
    hint: str | None = Field(default=None, description="What to do about it.")
    errors: list[FieldError] | None = None


class Problem(StepwellError):
    """A request that cannot be answered as it asks for.

    Args:
        errors: what is wrong with each field; keys of `FieldError`.
        headers: of the answer.
    """

    code = "bad-request"
    exit_status = 2

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        hint: str | None = None,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message, code=code, hint=hint)
        self.status = status
        self.errors = errors
        self.headers = headers


def status_of(error: StepwellError) -> int:
    """The HTTP status that says what the error says."""
    if isinstance(error, Problem):
        return error.status
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    return next((status for kind, status in STATUSES if isinstance(error, kind)), 500)


def problem_response(error: StepwellError) -> Response:
    """The answer to a request that failed so."""
    status = status_of(error)
    document = problem_document(status, error.code, error.message, error.hint, _errors(error))
    headers = dict(error.headers or {}) if isinstance(error, Problem) else {}
    if status == 503:
        headers.setdefault("Retry-After", "1")
    return JSONResponse(document, status, headers=headers, media_type=MEDIA_TYPE)


def problem_document(
    status: int, code: str, detail: str, hint: str | None = None, errors: Sequence[Mapping[str, Any]] = ()
) -> dict[str, Any]:
    """A problem as JSON."""
    document: dict[str, Any] = {
        "type": f"urn:stepwell:error:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if hint:
        document["hint"] = hint
    if errors:
        document["errors"] = [dict(each) for each in errors]
    return document


def _errors(error: StepwellError) -> Sequence[Mapping[str, Any]]:
    if isinstance(error, Problem):
        return error.errors
    if isinstance(error, InvalidDefinition):
        return [_placed(finding) for finding in error.diagnostics]
    if error.code == "invalid-cursor":
        return [{"parameter": "cursor", "message": error.message}]
    if isinstance(error, InvalidInput):
        return [{"pointer": _in_input(path), "message": message} for path, message in error.problems]
    if error.code in _POINTERS:
        return [{"pointer": _POINTERS[error.code], "message": error.message}]
    return ()


def _placed(finding: Diagnostic) -> dict[str, Any]:
    """A finding about a definition, with the keys of `FieldError`."""
    return {name: value for name, value in finding.as_dict().items() if name in FieldError.model_fields}


def _in_input(path: str) -> str:
    """A place in the input of a workflow, such as `items[0].price`, as a JSON Pointer into the body."""
    return path if path.startswith("/") else "/input" + pointer_of(_NAMES.findall(path))


def add_handlers(app: FastAPI) -> None:
    """Have every error answered with a problem document."""
    app.add_exception_handler(StepwellError, _on_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(ClientDisconnect, _on_gone)
    app.add_exception_handler(Exception, _on_defect)


async def failure_response(request: Request, error: Exception) -> Response:
    """The answer to a request whose handler raised that."""
    return await (_on_error if isinstance(error, StepwellError) else _on_defect)(request, error)


async def _on_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, StepwellError), "registered for those"
    if status_of(error) == 500:
        return await _on_defect(request, error)
    return problem_response(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """FastAPI found the parameters or the body to be other than described."""
    assert isinstance(error, RequestValidationError), "registered for those"
    return problem_response(invalid_fields(error.errors()))


def invalid_fields(details: Sequence[Any]) -> Problem:
    """What pydantic found to be wrong: 422 for the body, 400 for anything else."""
    found = [_invalid(detail) for detail in details]
    in_body = any("pointer" in each for each in found)
    names = ", ".join(str(each.get("parameter") or each.get("pointer") or "the body") for each in found)
    status, code = (422, "invalid-body") if in_body else (400, "invalid-parameter")
    return Problem(status, f"not as described: {names}", code=code, errors=found)


def _invalid(detail: Mapping[str, Any]) -> dict[str, Any]:
    where, *path = detail["loc"]
    message = str(detail["msg"]).removeprefix("Value error, ")
    if where == "body":
        return {"pointer": pointer_of(path), "message": message}
    return {"parameter": str(path[0]) if path else str(where), "message": message}


def pointer_of(path: Sequence[str | int]) -> str:
    """A JSON Pointer."""
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)


async def _on_http(request: Request, error: Exception) -> Response:
    """The router found no path, or not this method."""
    assert isinstance(error, HTTPException), "registered for those"
    code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
    detail = f"{request.method} {request.url.path}: {str(error.detail).lower()}"
    return problem_response(Problem(error.status_code, detail, code=code, headers=error.headers))


async def _on_gone(request: Request, error: Exception) -> Response:
    """Whoever asked has hung up before he had said all; nobody is there who could be answered."""
    return Response(status_code=400)


async def _on_defect(request: Request, error: Exception) -> Response:
    """Nobody expected this. What it was goes to the log, under an id that the caller can name."""
    number = secrets.token_hex(8)
    _log.error("problem %s: %s %s failed", number, request.method, request.url.path, exc_info=error)
    detail = f"the server could not answer; its log tells why, under {number}"
    return JSONResponse(problem_document(500, "internal-error", detail), 500, media_type=MEDIA_TYPE)
