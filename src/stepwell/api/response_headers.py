"""Headers that every answer carries: what browsers must not do with it, and the id of the request."""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.context import ServerContext

_HEADERS: Final[tuple[tuple[bytes, bytes], ...]] = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)
"""A route may say otherwise."""
_TLS: Final = (b"strict-transport-security", b"max-age=31536000")
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9_.:-]{1,128}")


class ResponseHeaders:
    """Adds them. The id is the one that was sent in `X-Request-Id`, if it is fit to be shown, else a new one; handlers
    find it as `scope["request_id"]`."""

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        number = _given_id(scope) or secrets.token_hex(8)
        scope["request_id"] = number
        more: tuple[tuple[bytes, bytes], ...] = (*_HEADERS, (b"x-request-id", number.encode()))
        if scope["scheme"] == "https":
            more = (*more, _TLS)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                present = {name.lower() for name, _ in headers}
                headers += [header for header in more if header[0] not in present]
                message["headers"] = headers
            await send(message)

        return await self._app(scope, receive, sending)


def _given_id(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"x-request-id":
            return value.decode("ascii") if _REQUEST_ID.fullmatch(value) else None
    return None
