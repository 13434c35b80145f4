"""What uneven work does: executions that do much more than others, and keys that come much more often."""

from __future__ import annotations

import itertools
import statistics
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Final

import msgspec

from benchmarks.scaling.agenda import Agenda
from stepwell.base.durations import MILLISECOND, SECOND

KEYS: Final = 10_000
EVENTS_PER_NODE: Final = 200
"""A second, on average."""
PUBLISHING: Final = 2_500
"""Microseconds that a transaction takes that publishes an event, and holds the lock of its key."""
HOPELESS: Final = 1.0
"""A hottest key that would be busy for more than this part of the time is not simulated: its line only grows."""


class Spread(msgspec.Struct, frozen=True):
    """The busiest shard and the busiest node, as multiples of the average one: medians."""

    shard: float
    node: float


def spread(nodes: int, shards: int, executions: int, exponent: float, seed: int, rounds: int = 15) -> Spread:
    """Executions, of which the n-th does 1/n^exponent of the work of the first, are put into shards at random."""
    chance = Random(seed)
    weights = [number**-exponent for number in range(1, executions + 1)]
    found = [_busiest(nodes, shards, weights, chance) for _ in range(rounds)]
    return Spread(statistics.median(each[0] for each in found), statistics.median(each[1] for each in found))


def _busiest(nodes: int, shards: int, weights: Sequence[float], chance: Random) -> tuple[float, float]:
    of_shards, of_nodes = [0.0] * shards, [0.0] * nodes
    for weight in weights:
        of_shards[int(chance.random() * shards)] += weight
    for shard, weight in enumerate(of_shards):
        of_nodes[shard % nodes] += weight
    total = sum(weights)
    return max(of_shards) * shards / total, max(of_nodes) * nodes / total


class Keyed(msgspec.Struct, frozen=True, kw_only=True):
    """What publishing events with keys took.

    Attributes:
        busy: the part of the time for which the lock of the hottest key is held, or would have to be.
        p50_ms, p99_ms: from an event's coming to its commit; None when the line of the hottest key only grows.
    """

    busy: float
    p50_ms: float | None
    p99_ms: float | None


def keyed(nodes: int, exponent: float, seed: int, seconds: float) -> Keyed:
    """Events whose keys are skewed so come to nodes that each publish one after the other; of one key only one
    transaction goes on at a time, wherever."""
    weights = list(itertools.accumulate(number**-exponent for number in range(1, KEYS + 1)))
    rate = nodes * EVENTS_PER_NODE
    busy = rate * PUBLISHING / SECOND / weights[-1]
    if busy >= HOPELESS:
        return Keyed(busy=busy, p50_ms=None, p99_ms=None)
    agenda, chance = Agenda(), Random(seed)
    publishers = _Publishers(agenda, nodes)
    keys = range(KEYS)

    def come() -> None:
        agenda.after(chance.expovariate(rate) * SECOND, come)
        publishers.come(int(chance.random() * nodes), chance.choices(keys, cum_weights=weights)[0])

    come()
    agenda.run(int(seconds * SECOND))
    took = sorted(publishers.took)
    return Keyed(busy=busy, p50_ms=_at(took, 50), p99_ms=_at(took, 99))


def _at(values: Sequence[int], percent: int) -> float:
    return values[len(values) * percent // 100] / MILLISECOND


class _Publishers:
    """Nodes with one connection each for publishing, and the locks of keys."""

    def __init__(self, agenda: Agenda, nodes: int) -> None:
        self._agenda = agenda
        self._lines: list[deque[tuple[int, int]]] = [deque() for _ in range(nodes)]
        self._is_busy = [False] * nodes
        self._held: dict[int, deque[Callable[[], None]]] = {}
        self.took: list[int] = []

    def come(self, node: int, key: int) -> None:
        """An event to publish."""
        self._lines[node].append((key, self._agenda.now))
        if not self._is_busy[node]:
            self._next(node)

    def _next(self, node: int) -> None:
        line = self._lines[node]
        self._is_busy[node] = bool(line)
        if not line:
            return
        key, came = line.popleft()
        if key in self._held:
            self._held[key].append(partial(self._publish, node, key, came))
        else:
            self._held[key] = deque()
            self._publish(node, key, came)

    def _publish(self, node: int, key: int, came: int) -> None:
        self._agenda.after(PUBLISHING, partial(self._published, node, key, came))

    def _published(self, node: int, key: int, came: int) -> None:
        self.took.append(self._agenda.now - came)
        if self._held[key]:
            self._held[key].popleft()()
        else:
            del self._held[key]
        self._next(node)
