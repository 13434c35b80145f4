"""Executions that somebody asks for who does not run them: what starts when an event comes, for one.

The request is an inbox item, so it is durable with whatever made it. It is consumed with the creation of the execution;
one whose start key was used before starts nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final

import msgspec

from stepwell.base.errors import Conflict, InvalidInput, StepwellError, StoreError
from stepwell.decider.create import Start
from stepwell.decider.plan import Plan
from stepwell.engine.committer import SHARD_LOST
from stepwell.engine.loaded import PlanSource
from stepwell.execution.codec import Codec
from stepwell.ports.records import ANYWHERE, DuplicateStart, InboxItem
from stepwell.ports.store import Store

REQUEST: Final = "start"

_log = logging.getLogger(__name__)


class StartRequest(msgspec.Struct, frozen=True, array_like=True):
    """What an inbox item of kind `start` holds.

    Attributes:
        execution: the id that the execution will have.
        digest: of a stored definition.
        start_key: at most one execution is ever started with it.
        trace: see `Start`.
    """

    execution: str
    digest: str
    input: Any
    start_key: str
    trace: str = ""


def item_of(request: StartRequest, codec: Codec, shard: int = ANYWHERE) -> InboxItem:
    """The request as an inbox item."""
    return InboxItem(shard=shard, kind=REQUEST, payload=codec.encode_value(request))


Begin = Callable[[Plan, Start, InboxItem], Awaitable[None]]
"""Creates an execution, and consumes the item with it; done when that is durable."""


class Requests:
    """Starts what is asked for.

    Args:
        begin: see `Begin`.
        consume: deletes an item that has no effect.
    """

    def __init__(
        self, store: Store, codec: Codec, plans: PlanSource, begin: Begin, consume: Callable[[InboxItem], None]
    ) -> None:
        self._store = store
        self._codec = codec
        self._plans = plans
        self._begin = begin
        self._consume = consume
        self._expected: dict[str, tuple[int, asyncio.Future[None]]] = {}

    def expect(self, requests: Sequence[StartRequest], shard: int) -> Sequence[asyncio.Future[None]]:
        """Futures that are done once the requests, put into the inbox of that shard, are dealt with."""
        loop = asyncio.get_running_loop()
        return [self._expected.setdefault(each.execution, (shard, loop.create_future()))[1] for each in requests]

    def forget(self, requests: Sequence[StartRequest]) -> None:
        """The requests were not stored."""
        for request in requests:
            self._dealt_with(request.execution)

    def fail(self, error: StepwellError) -> None:
        """The engine has stopped: nothing more is dealt with."""
        expected, self._expected = self._expected, {}
        for _, future in expected.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # retrieved here: nobody may be waiting any more

    def lose(self, shards: Collection[int]) -> None:
        """Others have these shards, and deal with what was put there."""
        for execution in [execution for execution, (shard, _) in self._expected.items() if shard in shards]:
            self._dealt_with(execution)

    async def take(self, item: InboxItem, seed: bytes, default_timeout: int | None) -> None:
        """Start what the item asks for.

        One that cannot be started here stays, for an engine that can: it may know more tasks.

        Raises:
            StoreError: the store cannot be read; the item stays.
        """
        request = msgspec.convert(self._codec.decode_value(item.payload), StartRequest)
        try:
            await self._start(request, item, seed, default_timeout)
        except (InvalidInput, Conflict) as error:
            if error.code == SHARD_LOST:
                return  # whoever has it now starts it
            _log.error("execution %s cannot be started: %s", request.execution, error)
            self._consume(item)
        except StoreError as error:
            if error.code != "unusable-definition":
                raise
            _log.warning("execution %s is not started here, and waits for another engine: %s", request.execution, error)
        finally:
            self._dealt_with(request.execution)

    async def _start(self, request: StartRequest, item: InboxItem, seed: bytes, default_timeout: int | None) -> None:
        if await self._store.find_start(request.start_key) is not None:
            self._consume(item)
            return
        plan = await self._plans(request.digest)
        start = Start(
            id=request.execution,
            input=request.input,
            seed=seed,
            start_key=request.start_key,
            default_timeout=default_timeout,
            trace=request.trace,
        )
        try:
            await self._begin(plan, start, item)
        except DuplicateStart:  # somebody else was quicker
            self._consume(item)

    def _dealt_with(self, execution: str) -> None:
        """Nobody has to wait for the request any more."""
        _, future = self._expected.pop(execution, (0, None))
        if future is not None and not future.done():
            future.set_result(None)
