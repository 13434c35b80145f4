"""Requests that are sent again: the same key and the same request get the same answer, and nothing is done twice.

A key is claimed before its request is acted on, and its answer is kept for a day. One that was claimed, and whose
answer never came because the process ended in between, is free again after a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Final, Self

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.derive import digest
from stepwell.base.durations import DAY, HOUR, MINUTE
from stepwell.base.errors import Conflict, StepwellError, StoreError
from stepwell.base.values import Sealed
from stepwell.engine.alarm import Alarm
from stepwell.execution.codec import Codec
from stepwell.ports.ledger import Document, Ledger, Write

KIND: Final = "idempotency-key"
KEPT: Final = DAY
CLAIMED: Final = MINUTE
FORGET_EVERY: Final = HOUR
_AT_ONCE: Final = 100
_log = logging.getLogger(__name__)


class KeyReused(StepwellError):
    """The key was sent with another request."""

    code = "idempotency-key-reused"
    exit_status = 2


class KeptAnswer(msgspec.Struct, frozen=True):
    """An answer as it was given."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Kept(msgspec.Struct, frozen=True):
    """What is kept of a request; there is no `answer` while it is being acted on. In `sealed` it is encrypted."""

    request: str
    answer: KeptAnswer | None = None
    sealed: bytes | None = None


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(_Kept).decode


class IdempotencyKeys:
    """The keys of the requests of the last day."""

    def __init__(self, ledger: Ledger, clock: Clock, codec: Codec) -> None:
        self._ledger = ledger
        self._clock = clock
        self._codec = codec
        self._rung = asyncio.Event()
        self._alarm = Alarm(clock, self._rung.set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Forget expired keys as long as this lasts."""
        forgetting = asyncio.create_task(self._forget())
        try:
            yield self
        finally:
            self._alarm.clear()
            forgetting.cancel()
            await asyncio.gather(forgetting, return_exceptions=True)

    async def answer(
        self,
        caller: str,
        key: str,
        request: bytes,
        act: Callable[[], Awaitable[KeptAnswer]],
        *,
        is_secret: bool = False,
    ) -> KeptAnswer:
        """The answer to a request: that of `act`, or the one it got before. An answer of 500 or more is not kept.

        Args:
            caller: keys of different callers do not meet.
            request: everything that makes it this request.
            is_secret: the answer holds a secret, and is kept encrypted.

        Raises:
            KeyReused: the key was sent with another request. Conflict: (code `request-in-progress`) it is being acted
                on. StoreError: (code `wrong-key`) the answer was encrypted with another key.
        """
        name, mark = digest(f"{caller}\0{key}".encode(errors="surrogatepass")), digest(request)
        before = await self._claim(name, mark)
        if before is not None:
            return before
        try:
            answer = await act()
        except BaseException:
            await self._free(name)
            raise
        if answer.status >= _FAILED:
            await self._free(name)
        else:
            kept = _Kept(mark, sealed=self._sealed(answer)) if is_secret else _Kept(mark, answer)
            await self._write(name, kept, KEPT, None)
        return answer

    async def _claim(self, name: str, mark: str) -> KeptAnswer | None:
        """None when it is ours to act on."""
        found = await self._ledger.document(KIND, name)
        if found is None or _has_expired(found, self._clock.now()):
            try:
                await self._write(name, _Kept(mark), CLAIMED, found.revision if found is not None else 0)
            except Conflict:
                found = await self._ledger.document(KIND, name)
            else:
                return None
        kept = _decode(found.body) if found is not None else _Kept(mark)
        if kept.request != mark:
            raise KeyReused("this Idempotency-Key was sent with another request", hint="use a new key for each request")
        if kept.sealed is not None:
            return self._opened(kept.sealed)
        if kept.answer is None:
            message = "the request with this Idempotency-Key is being acted on"
            raise Conflict(message, code="request-in-progress", hint="ask again in a moment")
        return kept.answer

    def _sealed(self, answer: KeptAnswer) -> bytes:
        return self._codec.encode_value(Sealed([answer.status, answer.headers, answer.body.decode()]))

    def _opened(self, sealed: bytes) -> KeptAnswer:
        status, headers, body = self._codec.decode_value(sealed).value
        return KeptAnswer(status, headers, body.encode())

    async def _write(self, name: str, kept: _Kept, lasts: int, expected: int | None) -> None:
        now = self._clock.now()
        write = Write(kind=KIND, key=name, body=_encode(kept), due_at=now + lasts, expected=expected)
        await self._ledger.write([write], now)

    async def _forget(self) -> None:
        while True:
            self._rung.clear()
            try:
                while len(expired := await self._ledger.due_documents(KIND, self._clock.now(), _AT_ONCE)) == _AT_ONCE:
                    await self._delete(expired)
                await self._delete(expired)
            except StoreError as error:
                _log.warning("expired idempotency keys are still there: %s", error)
            self._alarm.set(self._clock.now() + FORGET_EVERY)
            await self._rung.wait()

    async def _delete(self, expired: Sequence[Document]) -> None:
        for each in expired:
            with suppress(Conflict):  # it was just claimed anew
                write = Write(kind=KIND, key=each.key, body=None, expected=each.revision)
                await self._ledger.write([write], self._clock.now())

    async def _free(self, name: str) -> None:
        await self._ledger.write([Write(kind=KIND, key=name, body=None)], self._clock.now())


_FAILED: Final = 500


def _has_expired(document: Document, now: int) -> bool:
    return document.due_at is not None and document.due_at <= now
