"""Routers whose routes take exactly what they describe: strict JSON, known parameters, types that they can produce."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar, get_origin

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.accepting import check_accept, check_content_type, check_header
from stepwell.api.json_text import read_json
from stepwell.api.problems import MEDIA_TYPE, Problem, ProblemDocument
from stepwell.api.repeating import answered_once
from stepwell.base.suggest import hint_for

__all__ = [
    "PREFIX", "StrictRoute", "check_content_type", "creates", "creates_secretly", "problems", "produces", "router",
    "text_described",
]  # fmt: skip

PREFIX: Final = "/api/v1"
F = TypeVar("F", bound=Callable[..., Any])

_PROBLEMS: Final = {
    400: "A parameter, a header or the syntax of the body is wrong.",
    401: "Who calls did not say who he is, or not credibly.",
    403: "Who calls may not do this.",
    406: "What `Accept` asks for is not to be had.",
    429: "Too many requests: try again after `Retry-After` seconds.",
    500: "The server failed; its log tells why, under the number in `detail`.",
    503: "The store cannot be reached, or the server is closing.",
}
"""What every route may answer."""

_MORE: Final = {
    304: "It has not changed.",
    404: "There is no such thing.",
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
    return {status: _described(status, text) for status, text in sorted(described.items())}


def _described(status: int, description: str) -> dict[str, Any]:
    if status == 304:  # the one that is no problem and has no body
        return {"description": description}
    reference = {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}
    return {"description": description, "content": {MEDIA_TYPE: {"schema": reference}}}


def text_described(description: str, model: type[BaseModel]) -> dict[str, Any]:
    """An answer that is JSON or text, for OpenAPI."""
    return {"description": description, "model": model, "content": {"text/plain": {"schema": {"type": "string"}}}}


def router(tag: str, prefix: str = PREFIX) -> APIRouter:
    """A router for one subject; every route on it may answer with the `problems()` that all may."""
    return APIRouter(prefix=prefix, tags=[tag], route_class=StrictRoute, responses=problems())


def produces(*media_types: str) -> Callable[[F], F]:
    """What a handler can answer with, when it is not JSON alone."""

    def marked(handler: F) -> F:
        handler.produces = media_types  # type: ignore[attr-defined]
        return handler

    return marked


def creates(handler: F) -> F:
    """The handler makes something: a request with an `Idempotency-Key` is acted on once."""
    handler.creates = True  # type: ignore[attr-defined]
    return handler


def creates_secretly(handler: F) -> F:
    """The same, and the answer holds a secret."""
    handler.answers_secret = True  # type: ignore[attr-defined]
    return creates(handler)


class StrictRoute(APIRoute):
    """A route that refuses what it does not describe."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        produced: Sequence[str] = getattr(self.endpoint, "produces", ("application/json",))
        single, several = _query_names(self)
        is_once = getattr(self.endpoint, "creates", False)
        is_secret = getattr(self.endpoint, "answers_secret", False)
        has_body = self.body_field is not None

        async def checked(request: Request) -> Response:
            check_accept(request, produced)
            _check_query(request, single, several)
            if has_body:
                strict = _StrictRequest(request.scope, request.receive)
                await strict.read()
                request = strict
            if is_once and (key := check_header(request, "Idempotency-Key")) is not None:
                return await answered_once(request, key, handle, is_secret=is_secret)
            return await handle(request)

        return checked


def _query_names(route: APIRoute) -> tuple[frozenset[str], frozenset[str]]:
    """The parameters in the query that may stand there once, and those that may be repeated."""
    fields = [field for each in (route.dependant, *route.dependant.dependencies) for field in each.query_params]
    repeated = {field.alias for field in fields if get_origin(field.field_info.annotation) in (list, tuple, set)}
    return frozenset(field.alias for field in fields) - repeated, frozenset(repeated)


def _check_query(request: Request, single: frozenset[str], several: frozenset[str]) -> None:
    """A parameter that means nothing, or of which one of two would be taken, is a mistake.

    Raises:
        Problem: 400, code `invalid-parameter`.
    """
    if not request.scope["query_string"]:
        return
    seen: set[str] = set()
    for name, value in request.query_params.multi_items():
        if name in several:
            problem = None
        elif name not in single:
            known = sorted(single | several)
            hint = hint_for(name[:100], known) if known else "there are none here"
            problem = f"there is no parameter {name[:100]!r}; {hint}"
        else:
            problem = "it stands there twice" if name in seen else None
        if problem is None and "\ufffd" in value:
            problem = "it is not UTF-8 text"
        if problem is not None:
            errors = [{"parameter": name[:100], "message": problem}]
            raise Problem(400, f"{name[:100]}: {problem}", code="invalid-parameter", errors=errors)
        seen.add(name)


class _StrictRequest(Request):
    """A request whose body was read before anything else looks at it."""

    async def read(self) -> None:
        content = await self.body()
        if content:
            check_content_type(self, "application/json")
            self._json = read_json(content)
