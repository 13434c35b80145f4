"""The machine's clock."""

from __future__ import annotations

import asyncio
import time

import pytest

from stepwell.base.clock import SystemClock


def test_the_clock_tells_microseconds_and_never_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    told = iter([5_000_999, 3_000_000, 7_000_000])
    monkeypatch.setattr(time, "time_ns", lambda: next(told))
    clock = SystemClock()
    assert [clock.now() for _ in range(3)] == [5_000, 5_000, 7_000]


async def test_what_is_already_due_is_called_at_once() -> None:
    clock, called = SystemClock(), asyncio.Event()
    clock.call_at(clock.now() - 1_000_000, called.set)
    await asyncio.wait_for(called.wait(), 5)


async def test_a_call_can_be_withdrawn() -> None:
    clock, called = SystemClock(), asyncio.Event()
    withdrawn: list[int] = []
    clock.call_at(clock.now(), lambda: withdrawn.append(1)).cancel()
    clock.call_at(clock.now(), called.set)
    await asyncio.wait_for(called.wait(), 5)
    assert withdrawn == []
