"""No body is larger than what is allowed; looked at before anything else is done for a request."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.problems import Problem, problem_response

MAX_BODY: Final = 1024 * 1024


class BodyLimit:
    """Answers 413 to a body that says it is larger, and to one that turns out to be."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._limit = MAX_BODY

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        announced = next((value for name, value in scope["headers"] if name == b"content-length"), None)
        if announced is not None:
            if not announced.isdigit():
                problem = Problem(400, "Content-Length is not a number", code="invalid-header")
                return await problem_response(problem)(scope, receive, send)
            if int(announced) > self._limit:
                return await problem_response(self._too_large())(scope, receive, send)
            return await self._app(scope, receive, send)
        if not any(name == b"transfer-encoding" for name, _ in scope["headers"]):
            return await self._app(scope, receive, send)
        return await self._app(scope, self._counting(receive), send)

    def _counting(self, receive: Receive) -> Receive:
        """`receive` of a request that does not say how large its body is."""
        taken = 0

        async def counting() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise self._too_large()
            return message

        return counting

    def _too_large(self) -> Problem:
        return Problem(413, f"the body is larger than {self._limit:,} bytes", code="body-too-large")
