"""The local worker is a dispatcher."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.conformance.dispatcher import DispatcherConformance, DispatcherHarness, OpenHarness, Work
from tests.worker.harness import LocalHarness


class TestLocalWorker(DispatcherConformance):
    @pytest.fixture
    async def open_harness(self) -> AsyncIterator[OpenHarness]:
        opened: list[LocalHarness] = []

        async def open_one(work: Work) -> DispatcherHarness:
            opened.append(LocalHarness(work))
            return opened[-1]

        yield open_one
        for harness in opened:
            await harness.worker.close()
