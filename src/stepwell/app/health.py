"""Whether a server works: what keeps it from being ready, one sentence each."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, runtime_checkable

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import StepwellError
from stepwell.engine.elsewhere import AWAIT
from stepwell.engine.engine import Engine
from stepwell.engine.requests import REQUEST
from stepwell.ports.ledger import Write
from stepwell.ports.store import Store

KIND: Final = "health"
"""Of the document that is written to see whether the store can be: one for each node."""

FRESH: Final = 5 * SECOND
"""The store is written no more often than that, however often somebody asks."""
PATIENCE: Final = 5.0
"""Seconds that the store has for that."""
STUCK_AFTER: Final = 30 * SECOND
"""An inbox item that is there for so long is not being dealt with. Requests to start something may wait for an engine
that knows more tasks."""
_LOOKED_AT: Final = 200
_WAITING: Final = (REQUEST, AWAIT)
"""Kinds of items that may lie there for long: for an engine that knows more tasks, or until an execution ends."""

_log = logging.getLogger(__name__)


@runtime_checkable
class Watched(Protocol):
    """A service of a server that can say whether it works. One without which the server can be used all the same has an
    attribute `grave` that is False."""

    def problem(self) -> str | None:
        """What is wrong, a sentence; None when nothing is."""
        ...


class Check(msgspec.Struct, frozen=True):
    """What was looked at, and what is wrong with it; None when nothing is.

    Attributes:
        is_grave: whether that keeps the server from being ready.
    """

    name: str
    problem: str | None
    is_grave: bool = True


class Health:
    """Looks whether everything works.

    Args:
        services: what runs beside the engine, as it is at the moment.
    """

    def __init__(
        self, store: Store, engine: Engine, clock: Clock, node: str, services: Callable[[], Iterable[object]]
    ) -> None:
        self._store = store
        self._engine = engine
        self._clock = clock
        self._node = node
        self._services = services
        self._written: tuple[int, str | None] | None = None
        self._oldest: dict[int, tuple[int, int]] = {}
        self._broken: dict[str, str] = {}

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Have every task that the server's services begin meanwhile watched: one that breaks does its work no more."""
        before = asyncio.all_tasks()
        yield
        for task in asyncio.all_tasks() - before:
            if _is_of_service(task):
                task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            name = task.get_name()
            self._broken[name] = f"it broke with {type(error).__name__}"
            _log.error("the task %r of the server broke", name, exc_info=error)

    async def checks(self, *, is_closing: bool) -> Sequence[Check]:
        """Everything that was looked at.

        Args:
            is_closing: the server is about to end, and should be sent nothing more.
        """
        store = await self._store_problem()
        return [
            Check("server", "it is about to end" if is_closing else None),
            Check("engine", self._engine_problem()),
            Check("executions", self._execution_problem(), is_grave=False),
            Check("store", store),
            *([] if store is not None else [Check("inbox", await self._inbox_problem())]),
            *(
                Check(_name_of(each), each.problem(), getattr(each, "grave", True))
                for each in self._services()
                if isinstance(each, Watched)
            ),
            *(Check(name, problem) for name, problem in self._broken.items()),
        ]

    def _engine_problem(self) -> str | None:
        if self._engine.failure is not None:
            return f"it has stopped ({self._engine.failure.code})"
        return None if self._engine.shards else "it owns no shard"

    def _execution_problem(self) -> str | None:
        unusable = self._engine.unusable
        return (
            f"{len(unusable)} do not go on here, for their definitions cannot be run; see the log" if unusable else None
        )

    async def _store_problem(self) -> str | None:
        """Whether it can be written, found out by writing it."""
        if self._store.outage is not None:
            return "it cannot be reached"
        now = self._clock.now()
        if self._written is not None and now - self._written[0] < FRESH:
            return self._written[1]
        problem = None
        try:
            async with asyncio.timeout(PATIENCE):
                await self._store.write([Write(kind=KIND, key=self._node, body=b"{}")], now)
        except TimeoutError:
            problem = f"it was not written within {PATIENCE:g} seconds"
        except StepwellError as error:
            _log.warning("the store cannot be written: %s", error)
            problem = f"it cannot be written ({error.code})"
        self._written = (now, problem)
        return problem

    async def _inbox_problem(self) -> str | None:
        """Whether somebody deals with what comes in: whether the oldest item is another one than a while ago."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self._stuck_inboxes()
        except TimeoutError:
            return f"it was not read within {PATIENCE:g} seconds"
        except StepwellError as error:
            return f"it cannot be read ({error.code})"

    async def _stuck_inboxes(self) -> str | None:
        now = self._clock.now()
        stuck = []
        shards = list(self._engine.shards)
        items = await self._store.inboxes(dict.fromkeys(shards, 0), _LOOKED_AT)
        unusable = self._engine.unusable
        first = {
            item.shard: item.id
            for item in reversed(items)
            if item.kind not in _WAITING and item.execution not in unusable
        }
        for shard in shards:
            oldest = first.get(shard, 0)
            known, since = self._oldest.get(shard, (0, now))
            if oldest != known:
                since = now
            self._oldest[shard] = (oldest, since)
            if oldest and now - since >= STUCK_AFTER:
                stuck.append(shard)
        return f"nothing is taken from it (shards {', '.join(map(str, stuck))})" if stuck else None


def _is_of_service(task: asyncio.Task[Any]) -> bool:
    """Whether it is one of ours that goes on in the background, and not of the engine, which watches its own."""
    code = getattr(task.get_coro(), "cr_code", None)
    return code is not None and Path(code.co_filename).parent == Path(__file__).parent


def _name_of(service: Any) -> str:
    return type(service).__name__
