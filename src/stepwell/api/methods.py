"""HEAD and OPTIONS, for every path."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.known_paths import allowed_on


class Options:
    """Answers OPTIONS with the methods that a path has."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "OPTIONS":
            allowed = allowed_on(scope["path"])
            if allowed:
                return await Response(None, 204, {"Allow": ", ".join(allowed)})(scope, receive, send)
        return await self._app(scope, receive, send)


class Head:
    """Answers HEAD as GET, without the body. `scope["is_head"]` tells those who would go on for ever."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            return await self._app(scope, receive, send)

        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        return await self._app({**scope, "method": "GET", "is_head": True}, receive, without_body)
