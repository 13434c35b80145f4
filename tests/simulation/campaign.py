"""Simulating many seeds, on several processors."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context

from tests.simulation.invariants import Violation
from tests.simulation.ledger import ALL_MOVES, Move
from tests.simulation.trial import Outcome, try_seed
from tests.simulation.world import World

CHUNK = 50


@dataclass(slots=True)
class Summary:
    """What came of many seeds."""

    seeds: int = 0
    violations: list[tuple[int, Violation]] = field(default_factory=list)
    moves: Counter[Move] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """One more seed."""
        self.seeds += 1
        if outcome.violation is not None:
            self.violations.append((outcome.seed, outcome.violation))
        self.moves += outcome.moves
        self.used += outcome.used
        self.counts += outcome.counts

    def merge(self, other: Summary) -> None:
        """The seeds of another summary too."""
        self.seeds += other.seeds
        self.violations += other.violations
        self.moves += other.moves
        self.used += other.used
        self.counts += other.counts

    def never_walked(self) -> list[Move]:
        """The legal moves that were never made."""
        return sorted(ALL_MOVES - set(self.moves))


def simulate(seeds: Iterable[int], world_of: type[World] = World) -> Summary:
    """Simulate these seeds here; see `try_scenario`."""
    summary, began = Summary(), time.monotonic()
    for seed in seeds:
        summary.add(try_seed(seed, world_of))
    summary.seconds = time.monotonic() - began
    return summary


def be_quiet() -> None:
    """What engines log under faults is of no interest."""
    logging.disable(logging.CRITICAL)


def simulate_in_parallel(first: int, count: int, processes: int, world_of: type[World] = World) -> Iterator[Summary]:
    """Simulate `count` seeds from `first` on; a summary for every chunk as it is done."""
    chunks = [range(start, min(start + CHUNK, first + count)) for start in range(first, first + count, CHUNK)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=be_quiet) as pool:
        yield from pool.map(partial(simulate, world_of=world_of), chunks)
