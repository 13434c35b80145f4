"""Requests while the store cannot be reached: nobody waits for long."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from stepwell.api.authentication import PROBES
from stepwell.api.context import ServerContext
from stepwell.api.problems import Problem, problem_response
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.ports.store import Store

PATIENCE: Final = 5.0
"""Seconds of an outage that requests sit out."""
LOOK_EVERY: Final = SECOND
"""How often it is looked whether a request that has no answer yet waits for a store that is away."""
_RETRY_AFTER: Final = {"Retry-After": "5"}
_READING: Final = ("GET", "HEAD")
_OF_WORKERS: Final = "/api/v1/workers/"
"""What workers call is let in: most of it needs no store, and a worker that gives a sign of life keeps its work."""


class Outages:
    """Answers 503 when the store has been away for `PATIENCE`.

    What would change something is refused at once then, before anything is done. What was let in before the outage and
    is not done yet is answered too, and goes on where it may have been accepted already: it is done when the store is
    back. What only reads, or can be said again, is given up.
    """

    def __init__(self, app: ASGIApp, context: ServerContext) -> None:
        self._app = app
        self._store = context.parts.store
        self._clock = context.parts.clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["template"] in PROBES:
            return await self._app(scope, receive, send)
        is_let_in = scope["method"] in _READING or scope["template"].startswith(_OF_WORKERS)
        if not is_let_in and self._store.away_for >= PATIENCE:
            return await problem_response(_refused())(scope, receive, send)
        return await _Waiting(scope, receive, send, self._store, self._clock).answered_by(self._app)


class _Waiting:
    """One request that may be answered before it is done with."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, store: Store, clock: Clock) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._store = store
        self._clock = clock
        self._task = asyncio.current_task()
        self._is_answered = self._is_given_up = False
        self._answering: asyncio.Task[None] | None = None
        self._timer = clock.call_at(clock.now() + LOOK_EVERY, self._look)

    async def answered_by(self, app: ASGIApp) -> None:
        """Have the application answer, unless that takes too long."""
        try:
            await app(self._scope, self._receive, self._sending)
        except asyncio.CancelledError:
            if not self._is_given_up or self._task is None or self._task.uncancel() > 0:
                raise  # somebody else wants it to end
        finally:
            self._timer.cancel()
        if self._answering is not None:
            await self._answering

    async def _sending(self, message: Message) -> None:
        if self._answering is None:
            self._is_answered = True
            await self._send(message)

    def _look(self) -> None:
        if self._is_answered:
            return
        if self._store.away_for < PATIENCE:
            self._timer = self._clock.call_at(self._clock.now() + LOOK_EVERY, self._look)
            return
        is_begun = self._scope["method"] not in _READING and "caller" in self._scope
        answer = problem_response(_unfinished() if is_begun else _refused())
        self._answering = asyncio.create_task(answer(self._scope, self._receive, self._send))
        if self._task is not None and not (is_begun and not self._scope["template"].startswith(_OF_WORKERS)):
            self._is_given_up = True
            self._task.cancel()


def _refused() -> Problem:
    message = "the store cannot be reached at the moment; nothing was done"
    return Problem(503, message, code="store-unavailable", hint="ask again in a while", headers=_RETRY_AFTER)


def _unfinished() -> Problem:
    return Problem(
        503,
        "the store cannot be reached at the moment; what was asked for may be done when it is back",
        code="store-unavailable",
        hint="ask again in a while, with the same Idempotency-Key if there was one: it is not done twice then",
        headers=_RETRY_AFTER,
    )
