"""Requests with an `Idempotency-Key`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from stepwell.api.caller import caller_of
from stepwell.api.context import parts_of
from stepwell.app.idempotency import IdempotencyKeys, KeptAnswer

_KEPT_HEADERS: Final = ("content-type", "location", "etag")


async def answered_once(
    request: Request, key: str, handle: Callable[[Request], Awaitable[Response]], *, is_secret: bool
) -> Response:
    """What `handle` answers, or what was answered to the same request with this key before.

    Args:
        is_secret: the answer holds a secret.
    """
    scope, body = request.scope, await request.body()
    content_type = request.headers.get("content-type", "").encode()
    whole = b"\0".join((scope["method"].encode(), scope["path"].encode(), scope["query_string"], content_type, body))
    is_new = False

    async def act() -> KeptAnswer:
        nonlocal is_new
        is_new = True
        response = await handle(request)
        headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
        return KeptAnswer(response.status_code, headers, bytes(response.body))

    caller = caller_of(request)
    asking = f"{caller.proof}:{caller.id}:{caller.name}"
    keys = parts_of(request).service(IdempotencyKeys)
    kept = await keys.answer(asking, key, whole, act, is_secret=is_secret)
    if is_new:
        return Response(kept.body, kept.status, kept.headers)
    scope["audited"] = True  # when it was done
    headers = {**kept.headers, "Idempotency-Replayed": "true"}
    return Response(kept.body, kept.status, headers)
