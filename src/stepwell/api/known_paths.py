"""What is not in the list of permissions is not there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.paths import Paths
from stepwell.api.permissions import PERMISSIONS
from stepwell.api.problems import Problem, problem_response

PATHS: Final = Paths(PERMISSIONS)


class KnownPaths:
    """Finds the line of `PERMISSIONS` for a request: `scope["template"]`, `scope["parameters"]`, `scope["permission"]`.
    Answers 404 where there is none, and 405 where there is one for another method. Web sockets are refused."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            return await send({"type": "websocket.close", "code": 1008})
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        found = PATHS.find(method, scope["path"])
        if found is None:
            return await problem_response(_unknown(scope["method"], scope["path"]))(scope, receive, send)
        scope["template"], scope["parameters"] = found
        scope["permission"] = PERMISSIONS[method, found.template]
        return await self._app(scope, receive, send)


def _unknown(method: str, path: str) -> Problem:
    shown = path if len(path) <= 200 else path[:199] + "…"
    allowed = allowed_on(path)
    if not allowed:
        is_ending = path.endswith("/") and allowed_on(path.rstrip("/"))
        hint = "leave out the slash at its end" if is_ending else "/docs shows what there is"
        return Problem(404, f"{method} {shown}: not found", code="not-found", hint=hint)
    headers = {"Allow": ", ".join(allowed)}
    return Problem(405, f"{method} {shown}: method not allowed", code="method-not-allowed", headers=headers)


def allowed_on(path: str) -> Sequence[str]:
    """The methods that a path has. One that is written out among the templates has those of its line, although it could
    be taken for the id of something as well."""
    literal = frozenset(method for method, template in PERMISSIONS if template == path)
    methods = literal or PATHS.methods(path)
    return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())) if methods else ()
