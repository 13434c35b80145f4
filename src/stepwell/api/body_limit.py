"""No body and no header is larger than what is allowed; looked at before anything else is done for a request."""

from __future__ import annotations

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.context import ServerContext
from stepwell.api.problems import Problem, problem_response

MAX_HEADERS: Final = 64 * 1024
"""Of all headers together, in bytes."""


class BodyLimit:
    """Answers 413 to a body that says it is larger, and to one that turns out to be; 431 to headers that are."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._limit = context.configuration.security.max_body

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        problem, is_counted = self._look(scope)
        if problem is not None:
            return await problem_response(problem)(scope, receive, send)
        if is_counted:
            return await self._counted(scope, receive, send)
        return await self._app(scope, receive, send)

    def _look(self, scope: Scope) -> tuple[Problem | None, bool]:
        """What is wrong with the headers, and whether the body must be counted while it comes."""
        size, announced, is_chunked = 0, None, False
        for name, value in scope["headers"]:
            size += len(name) + len(value)
            if name == b"content-length":
                announced = value
            elif name == b"transfer-encoding":
                is_chunked = True
        if size > MAX_HEADERS:
            return Problem(431, f"the headers are larger than {MAX_HEADERS:,} bytes", code="headers-too-large"), False
        if announced is not None:
            if not announced.isdigit():
                errors = [{"parameter": "Content-Length", "message": "it is not a number"}]
                return Problem(400, "Content-Length is not a number", code="invalid-header", errors=errors), False
            if len(announced) > 18 or int(announced) > self._limit:
                return self._too_large(), False
        return None, is_chunked

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on a body that does not say how large it is, up to the limit. Beyond it reading fails; whatever the
        application answers to that is replaced."""
        taken, answered = 0, False

        async def counting() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self._limit:
                raise self._too_large()
            return message

        async def sending(message: Message) -> None:
            nonlocal answered
            if taken <= self._limit or answered:
                answered = True
                await send(message)

        try:
            await self._app(scope, counting, sending)
        except Exception:
            if taken <= self._limit or answered:
                raise
        if taken > self._limit and not answered:
            await problem_response(self._too_large())(scope, receive, send)

    def _too_large(self) -> Problem:
        hint = "security.max_body of the configuration is the limit"
        return Problem(413, f"the body is larger than {self._limit:,} bytes", code="body-too-large", hint=hint)
