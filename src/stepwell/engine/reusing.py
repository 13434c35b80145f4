"""Looking results up in the cache before the work is dispatched."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from stepwell.base.clock import Clock
from stepwell.base.errors import StoreError
from stepwell.execution.codec import Codec
from stepwell.execution.commands import RunStep
from stepwell.execution.inputs import ResultFound
from stepwell.ports.store import Store

_log = logging.getLogger(__name__)


class Reuse:
    """Hands over what is in the cache, and has the rest dispatched.

    Args:
        dispatch: has an attempt done.
        found: called with the id of the execution and what was found for it.
        spawn: runs a coroutine in the background, until the engine is closed.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        clock: Clock,
        dispatch: Callable[[RunStep], None],
        found: Callable[[str, ResultFound], None],
        spawn: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        self._store = store
        self._codec = codec
        self._clock = clock
        self._dispatch = dispatch
        self._found = found
        self._spawn = spawn
        self._looking: set[str] = set()

    def look_up(self, command: RunStep, key: str) -> None:
        """Look under this key, and go on with what is there, or with the work."""
        id_ = command.assignment.id
        if id_ not in self._looking:
            self._looking.add(id_)
            self._spawn(self._look_up(command, key))

    def stop(self, assignment_id: str) -> None:
        """The attempt is no longer wanted."""
        self._looking.discard(assignment_id)

    async def _look_up(self, command: RunStep, key: str) -> None:
        assignment = command.assignment
        found = await self._read(command, key)
        if assignment.id not in self._looking:
            return  # it was stopped meanwhile
        self._looking.discard(assignment.id)
        if found is None:
            self._dispatch(RunStep(assignment, command.gates))
        else:
            self._found(assignment.execution, found)

    async def _read(self, command: RunStep, key: str) -> ResultFound | None:
        """What is there. When it cannot be read, there is nothing: the work can always be done."""
        step, attempt = command.assignment.step, command.assignment.attempt
        try:
            kept = await self._store.kept_result(key, self._clock.now())
            if kept is None:
                return None
            result, scope = self._codec.decode_value(kept.value)
        except (StoreError, TypeError, ValueError) as error:
            _log.warning(
                "%s: the cache of results cannot be read, so the work is done: %s", command.assignment.id, error
            )
            return None
        return ResultFound(step, attempt, result, scope, kept.execution, kept.made_at)
