"""Waking the owner of a shard in another process, without polling: a datagram to its socket on the loopback interface.

What a datagram says does not matter; it only makes the owner look into its inboxes, so a forged one does no harm. One
that gets lost does little: an engine looks into its inboxes each time it renews its leases.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

_log = logging.getLogger(__name__)
_HOST: Final = "127.0.0.1"


class Wake(asyncio.DatagramProtocol):
    """Wakes others, and is woken. Where no socket can be had it does neither, which is said in the log.

    Attributes:
        port: where this process is woken, or None.
    """

    def __init__(self) -> None:
        self.port: int | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._closed: asyncio.Future[None] | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._rung = False

    def listen(self, callback: Callable[[], None]) -> None:
        """Call `callback`, on the event loop, after every ring; many at once are one call."""
        self._callbacks.append(callback)

    async def open(self) -> None:
        """Get a socket, on a free port."""
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=(_HOST, 0))
        except OSError as error:
            _log.warning("events from other processes are noticed late: no socket on %s: %s", _HOST, error)
            return
        self.port = transport.get_extra_info("sockname")[1]
        self._transport = transport
        self._closed = loop.create_future()

    async def close(self) -> None:
        """Give the socket up."""
        if self._transport is None or self._closed is None:
            return
        self._transport.close()
        await self._closed
        self._transport = self._closed = self.port = None

    def ring(self, ports: Iterable[int]) -> None:
        """Wake whoever listens on these ports; this process, if its own is among them, without a datagram."""
        for port in ports:
            if port == self.port:
                self.ring_here()
            elif self._transport is not None:
                self._transport.sendto(b"inbox", (_HOST, port))

    def ring_here(self) -> None:
        """Wake this process."""
        if not self._rung:
            self._rung = True
            asyncio.get_running_loop().call_soon(self._call)

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Called by the event loop."""
        self.ring_here()

    def error_received(self, exc: Exception) -> None:
        """Called by the event loop: nobody listens there any more, which is no error."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the event loop when the socket is closed."""
        if self._closed is not None and not self._closed.done():
            self._closed.set_result(None)

    def _call(self) -> None:
        self._rung = False
        for callback in self._callbacks:
            callback()
