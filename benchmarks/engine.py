"""An engine on an SQLite file, opened as the command line opens it, with the default configuration."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from stepwell.app.configuration import Configuration, configuration_from
from stepwell.app.process import settle_process
from stepwell.app.registries import Registries
from stepwell.app.session import Session, open_session
from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.history import ExecutionCompleted, ExecutionFailed, HistoryEvent
from stepwell.ports.work import Observer
from stepwell.tasks.registry import task


@task("nothing")
async def nothing() -> None:
    """A task that does nothing."""


class Ends(Observer):
    """Counts executions that have ended, and knows when so many have as were expected."""

    def __init__(self, expected: int = 0) -> None:
        self._missing = expected
        self._failed: str | None = None
        self._over = asyncio.Event()

    def expect(self, count: int) -> None:
        """From now on, wait for so many more."""
        self._missing += count
        self._over.clear()

    async def all(self) -> None:
        """Wait until all that were expected have completed.

        Raises:
            RuntimeError: one has failed.
        """
        if self._missing:
            await self._over.wait()
        if self._failed is not None:
            raise RuntimeError(self._failed)

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        for event in events:
            if isinstance(event, ExecutionFailed):
                self._failed = f"{definition.name} failed: {event.error.message}"
                self._over.set()
            elif isinstance(event, ExecutionCompleted):
                self._missing -= 1
                if self._missing == 0:
                    self._over.set()


def configuration(database: Path) -> Configuration:
    """The default configuration, with this database."""
    return configuration_from({"state_store": {"type": "sqlite", "path": str(database)}})


@asynccontextmanager
async def engine_on(
    database: Path, tasks: Sequence[Callable[..., Any]] = (nothing,), *, take_over: int | None = None
) -> AsyncIterator[tuple[Session, Ends]]:
    """An engine on a database file.

    Args:
        take_over: go on with what was left unfinished, which is so many executions.
    """
    ends = Ends(take_over or 0)
    settle_process()
    settings = configuration(database)
    async with open_session(settings, Registries(tasks), observer=ends, take_over=take_over is not None) as session:
        yield session, ends


async def timed(session: Session, ends: Ends, plan: Plan, count: int = 1) -> float:
    """Start `count` executions at once; the seconds until all have completed."""
    ends.expect(count)
    began = time.perf_counter()
    await asyncio.gather(*(session.engine.start(plan, None) for _ in range(count)))
    await ends.all()
    return time.perf_counter() - began
