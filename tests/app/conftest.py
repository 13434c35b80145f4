"""What the tests of this folder stand on."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from stepwell.store.memory.store import MemoryStore
from tests.app.scheduling import memory_store


@pytest.fixture
async def store() -> AsyncIterator[MemoryStore]:
    """An open store in memory, with nothing in it."""
    async with memory_store() as opened:
        yield opened
