"""What goes wrong, and when: a schedule made from a seed."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Final, Protocol

import msgspec

from tests.chaos.cluster import Member


class Database(Protocol):
    """A server that can be ended and started."""

    def stop(self) -> None:
        """In good order."""

    def kill(self) -> None:
        """At once."""

    def start(self) -> None:
        """Again."""


class Pace(msgspec.Struct, frozen=True, kw_only=True):
    """How often what happens: seconds between the end of one and the beginning of the next, from and to.

    Attributes:
        most: of each kind; None for as many as there is time for.
    """

    database: tuple[float, float] = (5, 20)
    nodes: tuple[float, float] = (6, 20)
    workers: tuple[float, float] = (4, 12)
    frozen: tuple[float, float] = (1, 25)
    most: int | None = None


FULL: Final = Pace()
ENDED_FOR: Final = 1.0
"""Seconds after which a process that has ended by itself is started again, as whoever runs it would."""


class Faults:
    """Has things go wrong until it is told to stop; then everything is up again.

    Attributes:
        done: how often what was done.
        last_words: of processes that ended by themselves.
    """

    def __init__(
        self, seed: int, pace: Pace, database: Database | None, nodes: Sequence[Member], workers: Sequence[Member]
    ) -> None:
        self._seed = seed
        self._pace = pace
        self._database = database
        self._nodes = nodes
        self._workers = workers
        self._over = asyncio.Event()
        self._down: list[Member] = []
        self.done: Counter[str] = Counter()
        self.last_words: list[str] = []

    async def run(self) -> None:
        """Until `stop`."""
        kinds: list[tuple[tuple[float, float], Callable[[Random], Awaitable[None]]]] = [
            (self._pace.nodes, self._harm_a_node),
            ((ENDED_FOR, ENDED_FOR), self._start_again),
        ]
        if self._database is not None:
            kinds.append((self._pace.database, self._restart_database))
        if self._workers:
            kinds.append((self._pace.workers, self._kill_a_worker))
        chances = (Random(f"{self._seed}/{number}") for number in range(len(kinds)))
        await asyncio.gather(*(self._repeat(*kind, chance) for kind, chance in zip(kinds, chances, strict=True)))

    def stop(self) -> None:
        """No more of it; what is under way is put right."""
        self._over.set()

    async def _repeat(
        self, pause: tuple[float, float], fault: Callable[[Random], Awaitable[None]], chance: Random
    ) -> None:
        most = self._pace.most if fault != self._start_again else None
        for _ in itertools.count() if most is None else range(most):
            if await self._passes(chance.uniform(*pause)):
                return
            await fault(chance)

    async def _passes(self, seconds: float) -> bool:
        """Whether it was over before so much time had passed."""
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            return False
        return True

    async def _restart_database(self, chance: Random) -> None:
        assert self._database is not None
        how = chance.choice(("stopped", "killed"))
        self.done[f"database {how}"] += 1
        await asyncio.to_thread(self._database.stop if how == "stopped" else self._database.kill)
        await self._passes(chance.uniform(0.1, 3))
        await asyncio.to_thread(self._database.start)

    async def _harm_a_node(self, chance: Random) -> None:
        node = chance.choice(self._nodes)
        if chance.random() < 0.5:
            self.done["nodes killed"] += 1
            self._down.append(node)
            await asyncio.to_thread(node.kill)
            await self._passes(chance.uniform(0.2, 5))
            node.start()
            self._down.remove(node)
        else:
            self.done["nodes frozen"] += 1
            node.freeze()
            await self._passes(chance.uniform(*self._pace.frozen))
            node.thaw()

    async def _start_again(self, chance: Random) -> None:
        for member in (*self._nodes, *self._workers):
            if not member.lives and member not in self._down:
                self.done["ended by themselves"] += 1
                self.last_words.append(f"{member.name}: {member.last_words()}")
                member.start()

    async def _kill_a_worker(self, chance: Random) -> None:
        self.done["workers killed"] += 1
        worker = chance.choice(self._workers)
        self._down.append(worker)
        await asyncio.to_thread(worker.kill)
        worker.start()
        self._down.remove(worker)
