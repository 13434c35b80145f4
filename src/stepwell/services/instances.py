"""The instances of one service: which to call, and which to leave alone for a while.

An instance that fails several times in a row is left out for a time that doubles while it goes on failing; when all are
left out, they are called all the same, for a call that may fail is better than one that must (outlier detection with a
panic threshold, as Envoy calls the two).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final, Literal

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, SECOND
from stepwell.ports.work import TaskError

FAILURES: Final = 3
"""So many failures in a row, and the instance is left out."""
LEFT_OUT_FOR: Final = 10 * SECOND
LEFT_OUT_AT_MOST: Final = 5 * MINUTE

Balance = Literal["least_loaded", "round_robin"]

_UNWELL: Final = frozenset({"connection_error", "timeout", "tls_error"})


class InstanceState(msgspec.Struct, frozen=True, kw_only=True):
    """What can be seen of an instance.

    Attributes:
        running: calls at the moment.
        calls, failures: since the engine was started; only failures that tell against the instance.
        left_out_until: an instant in microseconds, or None.
    """

    url: str
    running: int
    calls: int
    failures: int
    left_out_until: int | None


class _Instance:
    def __init__(self, url: str) -> None:
        self.url = url
        self.running = 0
        self.calls = 0
        self.failures = 0
        self.in_a_row = 0
        self.out_until: int | None = None

    def is_out(self, now: int) -> bool:
        return self.out_until is not None and now < self.out_until

    def note_failure(self, now: int) -> None:
        self.failures += 1
        self.in_a_row += 1
        if self.in_a_row >= FAILURES:
            times = self.in_a_row - FAILURES
            self.out_until = now + min(LEFT_OUT_FOR * 2 ** min(times, 10), LEFT_OUT_AT_MOST)

    def note_success(self) -> None:
        self.in_a_row = 0
        self.out_until = None


class Instances:
    """Balances calls over instances."""

    def __init__(self, urls: Sequence[str], balance: Balance, clock: Clock) -> None:
        self._balance = balance
        self._clock = clock
        self._turn = 0
        self._instances = {url: _Instance(url) for url in urls}

    def become(self, urls: Sequence[str]) -> None:
        """These are the instances now; what is known of those that stay is kept."""
        self._instances = {url: self._instances.get(url) or _Instance(url) for url in urls}

    @contextmanager
    def calling(self) -> Iterator[str]:
        """The URL of the instance to call, for the time of the call.

        Raises:
            TaskError: (type `connection_error`) there is no instance.
        """
        instance = self._chosen()
        instance.running += 1
        instance.calls += 1
        try:
            yield instance.url
        except TaskError as error:
            if _tells_against(error):
                instance.note_failure(self._clock.now())
            else:
                instance.note_success()
            raise
        else:
            instance.note_success()
        finally:
            instance.running -= 1

    def states(self) -> list[InstanceState]:
        """What can be seen of each."""
        now = self._clock.now()
        return [
            InstanceState(
                url=each.url,
                running=each.running,
                calls=each.calls,
                failures=each.failures,
                left_out_until=each.out_until if each.is_out(now) else None,
            )
            for each in self._instances.values()
        ]

    def _chosen(self) -> _Instance:
        everyone = list(self._instances.values())
        if not everyone:
            raise TaskError("connection_error", "the service has no instance at the moment", retryable=True)
        now = self._clock.now()
        well = [each for each in everyone if not each.is_out(now)] or everyone
        self._turn += 1
        if self._balance == "round_robin":
            return well[self._turn % len(well)]
        least = min(each.running for each in well)
        idle = [each for each in well if each.running == least]
        return idle[self._turn % len(idle)]


def _tells_against(error: TaskError) -> bool:
    """Whether the error says that the instance is not well, rather than that the call was wrong."""
    status = (error.details or {}).get("status")
    return error.type in _UNWELL or (error.type == "http_error" and isinstance(status, int) and status >= 500)
