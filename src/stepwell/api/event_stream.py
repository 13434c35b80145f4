"""Server-sent events.

A stream is pulled by the connection: the next part is made when the one before has gone, so a slow reader holds no
memory here. One that takes nothing for long is cut off; it may come back and go on where it was, with `Last-Event-ID`.
One whose key or token is good no longer is told no more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from stepwell.base.errors import StepwellError

MEDIA_TYPE: Final = "text/event-stream"
HEARTBEAT: Final = 15.0
"""Seconds without an event after which the reader is told that the connection lives."""
PATIENCE: Final = 30.0
"""Seconds that a reader may take for what was sent, before it is cut off."""
_log = logging.getLogger(__name__)
CHECKED_EVERY: Final = 15.0
"""Seconds between two looks at whether the reader may still read: a key can be revoked, and a token expires."""
PING: Final = b": ping\n\n"


def event_text(id_: str | int, type_: str, data: bytes) -> bytes:
    """An event. Its data is JSON, so it has no line breaks."""
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (str(id_).encode(), type_.encode(), data)


def place_text(id_: str | int) -> bytes:
    """Tells the reader how far it has come, without an event."""
    return b"id: %b\n\n" % str(id_).encode()


class EventStream(Response):
    """The answer to a request for events.

    Args:
        parts: texts to be sent, one after the other.
        closing: ends the stream when it is set.
    """

    media_type = MEDIA_TYPE

    def __init__(self, parts: AsyncGenerator[bytes], closing: asyncio.Event) -> None:
        self.status_code = 200
        self.background = None
        self._parts = parts
        self._closing = closing
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope.get("is_head"):
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        sending = asyncio.create_task(self._send(send, start))
        gone = asyncio.create_task(_gone(receive))
        closing = asyncio.create_task(self._closing.wait())
        refused = asyncio.create_task(_refused(scope))
        tasks = (sending, gone, closing, refused)
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if (closing.done() or refused.done()) and not sending.done():
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)
                await send({"type": "http.response.body", "body": b""})
            elif sending.done():
                sending.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, send: Send, start: dict[str, object]) -> None:
        await send(start)
        try:
            async with aclosing(with_heartbeats(self._parts)) as parts:
                async for part in parts:
                    async with asyncio.timeout(PATIENCE):
                        await send({"type": "http.response.body", "body": part, "more_body": True})
        except TimeoutError:
            _log.info("a reader of events took nothing for %s seconds: it is cut off", PATIENCE)
        except StepwellError as error:
            _log.warning("a reader of events is cut off: %s", error)
        else:
            await send({"type": "http.response.body", "body": b""})
        # otherwise without an end: the server closes the connection, and the reader comes back


async def with_heartbeats(parts: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    """The same, with a sign of life wherever nothing comes for `HEARTBEAT` seconds."""
    following: asyncio.Future[bytes] | None = None
    try:
        while True:
            following = following or asyncio.ensure_future(anext(parts))
            done, _ = await asyncio.wait({following}, timeout=HEARTBEAT)
            if not done:
                yield PING
                continue
            part, following = following, None
            try:
                text = part.result()
            except StopAsyncIteration:
                return
            yield text
    finally:
        if following is not None:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        await parts.aclose()


async def _refused(scope: Scope) -> None:
    """Until the reader may read no longer what it was allowed to when it came."""
    while True:
        await asyncio.sleep(CHECKED_EVERY)
        if await scope["caller_now"]() != scope["caller"]:
            return


async def _gone(receive: Receive) -> None:
    """Until the reader has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
