"""Keeping something open until somebody closes it, or the event loop ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Generic, TypeVar

from stepwell.base.errors import UsageError

T = TypeVar("T")


class Kept(Generic[T]):
    """What an async context manager gives, from the first time that it is wanted.

    It is entered and left by a task of its own. A program that ends without closing it has it closed in good order,
    when the loop cancels its tasks; what is left to generators that are finalized is closed in any order.

    Attributes:
        value: what it gives, while it is open.
        loop: the event loop that it is open on.
    """

    def __init__(self, enter: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._enter = enter
        self._opened: asyncio.Future[T] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self.value: T | None = None
        self.loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> T:
        """What it gives; opened when it is not.

        Raises:
            UsageError: (code `other-event-loop`) it is open on another event loop. What entering raises.
        """
        loop = asyncio.get_running_loop()
        if self.value is not None and self.loop is loop:
            return self.value
        if self._opened is None:
            self._opened, self._closing, self.loop = loop.create_future(), asyncio.Event(), loop
            self._keeper = loop.create_task(self._keep(self._opened), name="stepwell engine")
        elif self.loop is not loop:
            raise UsageError(
                "this engine is open on another event loop",
                code="other-event-loop",
                hint="use it there, or make another engine; `run` may be called from any thread",
            )
        return await asyncio.shield(self._opened)

    async def close(self) -> None:
        """Leave it; does nothing when it is not open."""
        if self._keeper is not None:
            self._closing.set()
            await asyncio.shield(self._keeper)

    async def _keep(self, opened: asyncio.Future[T]) -> None:
        try:
            async with self._enter() as self.value:
                opened.set_result(self.value)
                await self._closing.wait()
        except BaseException as error:
            if opened.done():
                raise
            opened.set_exception(error)
            opened.exception()  # retrieved here: who wanted it may be gone
        finally:
            self._opened = self._keeper = self.loop = self.value = None
