"""Routers whose routes read JSON strictly, and answer what is not JSON with 415."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import APIRouter
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.json_text import read_json
from stepwell.api.problems import MEDIA_TYPE, Problem, ProblemDocument

PREFIX: Final = "/api/v1"

_PROBLEMS: Final = {
    400: "A parameter, a header or the syntax of the body is wrong.",
    401: "Who calls did not say who he is, or not credibly.",
    403: "Who calls may not do this.",
    429: "Too many requests: try again after `Retry-After` seconds.",
    500: "The server failed; its log tells why, under the number in `detail`.",
    503: "The store cannot be reached, or the server is closing.",
}
"""What every route may answer."""

_MORE: Final = {
    404: "There is no such thing.",
    406: "What `Accept` asks for is not to be had.",
    409: "It contradicts what is there.",
    412: "It was changed meanwhile: `If-Match` names another `ETag`.",
    413: "The body is too large.",
    415: "The body is of another type than `Content-Type` may name here.",
    422: "The body is not as described; `errors` says where.",
    428: "A change needs `If-Match`.",
    504: "The engine that runs the execution did not answer in time.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problem documents that a route may answer with, beside those that every route may: for `responses=`."""
    described = {**_PROBLEMS, **{status: _MORE[status] for status in statuses}}
    return {status: problem_described(text) for status, text in sorted(described.items())}


def problem_described(description: str) -> dict[str, Any]:
    """A problem document, for OpenAPI."""
    reference = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": reference}}}


def router(tag: str, prefix: str = PREFIX) -> APIRouter:
    """A router for one subject; every route on it may answer with the `problems()` that all may."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, responses=problems())


class StrictRoute(APIRoute):
    """A route whose body, if it takes one, is read by `read_json`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def read_first(request: Request) -> Response:
            if self.body_field is None:
                return await handle(request)
            strict = _StrictRequest(request.scope, request.receive)
            await strict.read()
            return await handle(strict)

        return read_first


class _StrictRequest(Request):
    """A request whose body was read before anything else looks at it."""

    async def read(self) -> None:
        content = await self.body()
        if content:
            check_content_type(self, "application/json")
            self._json = read_json(content)


def check_content_type(request: Request, *accepted: str) -> str:
    """The content type of the request, which must be one of those, or end in `+json` where JSON is accepted.

    Raises:
        Problem: 415.
    """
    named = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if named in accepted or (
        "application/json" in accepted and named.startswith("application/") and named.endswith("+json")
    ):
        return named
    seen = f"the body is {named}" if named else "Content-Type is missing"
    raise Problem(
        415,
        f"{seen}; expected {' or '.join(accepted)}",
        code="unsupported-media-type",
        errors=[{"parameter": "Content-Type", "message": f"expected {' or '.join(accepted)}"}],
        headers={"Accept": ", ".join(accepted)},
    )
