"""What is too large for one message: whoever sends it keeps it, and whoever gets it fetches it part by part.

Instead of the document goes `{"parts": {"subject": S, "count": N}}`. A request to `S.0` .. `S.{N-1}` is answered by the
part, behind a `+`; by a `-` when it is not kept any more. Nothing of it is stored by the broker, and nobody is sent
more than he asks for.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING, Final

import msgspec

from stepwell.worker.nats_link import Link
from stepwell.worker.nats_names import Names

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

KEPT_SECONDS: Final = 60.0
"""How long a document is kept after it was last asked for."""
LARGEST: Final = 64 * 1024 * 1024
"""In bytes; more is refused."""
PATIENCE: Final = 5.0
"""Seconds that a part may take."""
_ROOM: Final = 4 * 1024
"""Of a message, for its subject and headers."""


class _Parts(msgspec.Struct, frozen=True):
    subject: str
    count: int


class _Envelope(msgspec.Struct, frozen=True):
    parts: _Parts


class TooLarge(ValueError):
    """A document is larger than any may be, or than its parts were said to be."""


class Parts:
    """Sends and fetches documents of any size.

    Args:
        owner: tells this process from all others.
    """

    def __init__(self, link: Link, names: Names, owner: str) -> None:
        self._link = link
        self._subject = names.parts(owner)
        self._prefix = names.parts("")
        self._numbers = itertools.count(1)
        self._kept: dict[str, list[bytes]] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    async def open(self, client: Client) -> None:
        """Serve parts on a new connection."""
        await client.subscribe(f"{self._subject}.*.*", cb=self._serve)

    def close(self) -> None:
        """Forget what is kept."""
        for timer in self._timers.values():
            timer.cancel()
        self._kept.clear()

    def fit(self, document: bytes) -> bytes:
        """The document, or an envelope that says where its parts are.

        Raises:
            TooLarge: it is larger than anything that is fetched. ConnectionError: there is no connection.
        """
        size = self._link.client.max_payload - _ROOM
        if len(document) <= size:
            return document
        if len(document) > LARGEST:
            raise TooLarge(f"a document of {len(document):,} bytes is larger than {LARGEST:,}")
        key = str(next(self._numbers))
        self._kept[key] = [document[start : start + size] for start in range(0, len(document), size)]
        self._keep(key)
        return msgspec.json.encode(_Envelope(_Parts(f"{self._subject}.{key}", len(self._kept[key]))))

    async def whole(self, body: bytes) -> bytes:
        """The document that `body` is, or that it is the envelope of.

        Raises:
            ConnectionError: a part is not to be had. TooLarge: there is more of it than anybody sends.
        """
        envelope = self.envelope(body)
        if envelope is None:
            return body
        found: list[bytes] = []
        size = 0
        for number in range(envelope.count):
            found.append(await self._part(f"{envelope.subject}.{number}"))
            size += len(found[-1])
            if size > LARGEST:
                raise TooLarge(f"a document of more than {LARGEST:,} bytes")
        return b"".join(found)

    def envelope(self, body: bytes) -> _Parts | None:
        """Where the parts are, if this is an envelope."""
        if not body.startswith(b'{"parts":'):
            return None
        try:
            parts = msgspec.json.decode(body, type=_Envelope).parts
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return None
        return parts if parts.subject.startswith(self._prefix) and 0 < parts.count <= LARGEST else None

    async def _part(self, subject: str) -> bytes:
        import nats.errors

        try:
            answer = await self._link.request(subject, b"", PATIENCE)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise ConnectionError(f"a part of a large message is not to be had: {type(error).__name__}") from None
        if not answer.data.startswith(b"+"):
            raise ConnectionError("a part of a large message is not kept any more")
        return answer.data[1:]

    async def _serve(self, message: Msg) -> None:
        *_, key, number = message.subject.split(".")
        parts = self._kept.get(key, [])
        known = number.isdecimal() and int(number) < len(parts)
        if known:
            self._keep(key)
        if message.reply:
            await message.respond(b"+" + parts[int(number)] if known else b"-")

    def _keep(self, key: str) -> None:
        if key in self._timers:
            self._timers[key].cancel()
        self._timers[key] = asyncio.get_running_loop().call_later(KEPT_SECONDS, self._forget, key)

    def _forget(self, key: str) -> None:
        self._kept.pop(key, None)
        self._timers.pop(key, None)
