"""Ending what waits for brokers."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from stepwell.app import broker_sources
from stepwell.app.broker_sources import ended


async def test_a_task_that_loses_its_cancellation_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_sources, "_TELL_AGAIN", 0.01)
    told = 0

    async def loses() -> None:
        nonlocal told
        while told < 3:
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            told += 1

    task = asyncio.create_task(loses())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await ended([task])
    assert (task.done(), told) == (True, 3)
