"""Who waits for an execution to end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from stepwell.base.errors import StepwellError
from stepwell.execution.state import ExecutionState


class Waiters:
    """Futures of those who wait, by the id of the execution."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[asyncio.Future[ExecutionState | None]]] = {}

    def __contains__(self, execution: str) -> bool:
        return execution in self._waiting

    @contextmanager
    def waiting(self, execution: str) -> Iterator[asyncio.Future[ExecutionState | None]]:
        """A future that is done once the execution has ended, with its state, or with None when it may not be seen here
        any more; forgotten when the block is left."""
        future: asyncio.Future[ExecutionState | None] = asyncio.get_running_loop().create_future()
        futures = self._waiting.setdefault(execution, [])
        futures.append(future)
        try:
            yield future
        finally:
            futures.remove(future)
            if not futures and self._waiting.get(execution) is futures:
                del self._waiting[execution]

    def tell(self, state: ExecutionState) -> None:
        """The execution has ended."""
        for future in self._waiting.get(state.id, ()):
            if not future.done():
                future.set_result(state)

    def look_again(self, execution: str | None = None) -> None:
        """Shards were lost, or the execution (any, when None) has changed hands: who waits for it looks where it is."""
        waiting = self._waiting.values() if execution is None else [self._waiting.get(execution, [])]
        for future in [future for futures in waiting for future in futures]:
            if not future.done():
                future.set_result(None)

    def fail(self, execution: str, error: StepwellError) -> None:
        """The end of this execution will not be seen here."""
        for future in self._waiting.get(execution, ()):
            if not future.done():
                future.set_exception(error)

    def fail_all(self, error: StepwellError) -> None:
        """No end will be seen here any more."""
        waiting, self._waiting = self._waiting, {}
        for future in (future for futures in waiting.values() for future in futures):
            if not future.done():
                future.set_exception(error)
                future.exception()  # retrieved here: nobody may be waiting any more
