"""Whether an engine has stopped, and why."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from stepwell.base.errors import StepwellError


class Failure:
    """Why the engine has stopped, once it has: the first error counts.

    Args:
        stop: called with it.

    Attributes:
        error: None while the engine runs.
    """

    def __init__(self, stop: Callable[[StepwellError], None]) -> None:
        self._stop = stop
        self._stopped = asyncio.Event()
        self.error: StepwellError | None = None

    def note(self, error: StepwellError) -> None:
        """What is in memory cannot be relied on any more, so the engine stops here."""
        if self.error is None:
            self.error = error
            self._stopped.set()
            self._stop(error)

    async def wait(self) -> None:
        """Wait until the engine has stopped."""
        await self._stopped.wait()

    def check(self) -> None:
        """Raise why the engine has stopped, if it has."""
        if self.error is not None:
            raise self.error
