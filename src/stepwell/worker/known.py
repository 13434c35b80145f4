"""The workers that a node has heard of, and what they are at for other nodes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, SECOND
from stepwell.worker.jobs import Place, labels_of

WORKER_KEPT: Final = 10 * MINUTE
"""How long a worker that is not heard of is listed."""
HEARD_LATELY: Final = 45 * SECOND
"""A worker that lives is heard of more often."""
LEFT_KEPT: Final = 5 * MINUTE
"""So long it is known of a job that another engine has it, for the worker that is at it."""
GREETED_FOR: Final = 25 * SECOND
"""How long what a worker said of its free places is believed; it says so every ten seconds."""


class WorkerState(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a worker. Instants in microseconds."""

    name: str
    queues: Sequence[str]
    running: int
    last_seen_at: int
    labels: Mapping[str, str] = {}


class _Greeting(msgspec.Struct, frozen=True):
    """When a worker greeted, and how many attempts more it could do; None when it did not say."""

    at: int
    free: int | None


class KnownWorkers:
    """Those that were heard of within the last ten minutes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._workers: dict[str, WorkerState] = {}
        self._greetings: dict[str, _Greeting] = {}

    def __contains__(self, worker: str) -> bool:
        return worker in self._workers

    def note(self, worker: str, queues: Sequence[str] | None = None, labels: Mapping[str, str] | None = None) -> bool:
        """A worker was heard of; whether it was not known. What is None is as it was known before."""
        known = self._workers.get(worker)
        self._workers[worker] = msgspec.structs.replace(
            known or WorkerState(name=worker, queues=(), running=0, last_seen_at=0),
            queues=queues if queues is not None else known.queues if known is not None else (),
            labels=labels if labels is not None else known.labels if known is not None else {},
            last_seen_at=self._clock.now(),
        )
        return known is None

    def greet(self, worker: str, free: int | None) -> None:
        """A worker that does not wait here for work says that it is there."""
        self._greetings[worker] = _Greeting(self._clock.now(), free)

    def forget(self) -> None:
        """Forget those that were not heard of for long."""
        since = self._clock.now() - WORKER_KEPT
        self._workers = {name: each for name, each in self._workers.items() if each.last_seen_at >= since}
        self._greetings = {name: each for name, each in self._greetings.items() if name in self._workers}

    def states(self, running: Mapping[str | None, int]) -> list[WorkerState]:
        """All of them, in order of name.

        Args:
            running: how many attempts each has, by name.
        """
        self.forget()
        return [
            msgspec.structs.replace(each, running=running.get(name, 0)) for name, each in sorted(self._workers.items())
        ]

    def able(self, place: Place) -> int:
        """How many were heard of lately that serve the queue and have the labels."""
        queue, labels = place
        since = self._clock.now() - HEARD_LATELY
        return sum(
            each.last_seen_at >= since and queue in each.queues and set(labels_of(each.labels)).issuperset(labels)
            for each in self._workers.values()
        )

    def idle(self, running: Mapping[str | None, int]) -> Counter[str]:
        """How many of those that greet have a free place, by queue. Who does not say is free with nothing to do."""
        since, found = self._clock.now() - GREETED_FOR, Counter[str]()
        for name, greeting in self._greetings.items():
            free = greeting.free if greeting.free is not None else int(not running.get(name, 0))
            if greeting.at >= since and free > 0 and name in self._workers:
                found.update(set(self._workers[name].queues))
        return found


class Left:
    """Jobs that workers were at when other engines took them over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since: dict[str, int] = {}  # in the order in which that was

    def __contains__(self, id_: str) -> bool:
        return id_ in self._since

    def note(self, id_: str) -> None:
        """Know it for some minutes."""
        now = self._clock.now()
        self._since.pop(id_, None)
        self._since[id_] = now
        while (oldest := next(iter(self._since))) and self._since[oldest] <= now - LEFT_KEPT:
            del self._since[oldest]
