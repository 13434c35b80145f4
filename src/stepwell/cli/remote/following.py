"""Following an execution on a server: its stream of events, and patience with a server that goes away for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Final

import aiohttp

from stepwell.cli.remote.client import Client
from stepwell.cli.remote.errors import ServerError

QUIET_FOR: Final = 45.0
"""Seconds without a sign of life, of which the server sends one every 15, after which a stream counts as broken."""
PATIENCE: Final = 60.0
"""Seconds that a server that is gone has to come back."""
_FIRST_PAUSE: Final = 0.25
_LONGEST_PAUSE: Final = 5.0

_log = logging.getLogger(__name__)


class Patience:
    """Waits for a server that is gone, a little longer each time.

    Args:
        longest: seconds after which it is given up; `PATIENCE` when None.
    """

    def __init__(self, base: str, longest: float | None = None) -> None:
        self._base = base
        self._longest = PATIENCE if longest is None else longest
        self._lost_at: float | None = None
        self._pause = _FIRST_PAUSE

    def rewarded(self) -> None:
        """The server has answered."""
        self._lost_at, self._pause = None, _FIRST_PAUSE

    async def wait(self) -> None:
        """Before another try.

        Raises:
            ServerError: it has been gone for too long.
        """
        now = asyncio.get_running_loop().time()
        if self._lost_at is None:
            self._lost_at = now
            _log.warning("%s is gone; it is followed again when it is back", self._base)
        elif now - self._lost_at > self._longest:
            raise ServerError(f"{self._base} has not come back within {self._longest:g}s")
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)


async def places(client: Client, path: str, after: int) -> AsyncGenerator[int]:
    """The numbers of the events of a stream behind `after`, as they come, until it ends.

    Raises:
        ServerError: the server cannot be reached, or the connection broke. StepwellError: what it says is wrong.
    """
    try:
        async with client.stream(path, after, QUIET_FOR) as response:
            async for place in _ids(response):
                yield place
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise ServerError(f"{client.base} broke the stream off: {type(error).__name__}") from None


async def _ids(response: aiohttp.ClientResponse) -> AsyncIterator[int]:
    """The `id` of every event of a stream. Lines may be of any length."""
    rest = b""
    async for part in response.content.iter_any():
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            name, _, value = line.partition(b":")
            if name == b"id" and value.strip().isdigit():
                yield int(value)
