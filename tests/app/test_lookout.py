"""Looking at what others may have changed: when the store tells of it, and otherwise every few seconds."""

from __future__ import annotations

from collections.abc import Callable, Collection

import pytest

from stepwell.app.lookout import LOOK_EVERY, LOOK_SELDOM, Lookout
from stepwell.base.errors import StoreError
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock


class Telling(MemoryStore):
    """A store that tells of changes."""

    def __init__(self) -> None:
        super().__init__()
        self.callbacks: list[Callable[[], None]] = []

    def listen_to_documents(self, kinds: Collection[str], callback: Callable[[], None]) -> bool:
        assert list(kinds) == ["policy"]
        self.callbacks.append(callback)
        return True


class Looks:
    """Counts looks; a look fails when it is told to."""

    def __init__(self) -> None:
        self.count = 0
        self.fails = False

    async def __call__(self) -> None:
        self.count += 1
        if self.fails:
            raise StoreError("gone")


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_000)


async def test_where_the_store_tells_nothing_one_looks_every_few_seconds(clock: VirtualClock) -> None:
    look = Looks()
    lookout = Lookout(look, MemoryStore(), "policy", clock)
    await lookout.open()
    assert look.count == 1
    await clock.advance(LOOK_EVERY - 1)
    assert look.count == 1
    for count in (2, 3):
        await clock.advance(LOOK_EVERY)
        assert look.count == count
    await lookout.close()
    await clock.advance(LOOK_SELDOM)
    assert look.count == 3


async def test_where_the_store_tells_of_changes_one_looks_then_and_otherwise_seldom(clock: VirtualClock) -> None:
    look, store = Looks(), Telling()
    lookout = Lookout(look, store, "policy", clock)
    await lookout.open()
    await clock.advance(LOOK_SELDOM - 1)
    assert look.count == 1
    store.callbacks[0]()
    await clock.settle()
    assert look.count == 2
    await clock.advance(LOOK_SELDOM)
    assert look.count == 3
    await lookout.close()
    store.callbacks[0]()
    await clock.settle()
    assert look.count == 3


async def test_a_store_that_cannot_be_read_is_looked_at_again_soon(clock: VirtualClock) -> None:
    look, store = Looks(), Telling()
    lookout = Lookout(look, store, "policy", clock)
    await lookout.open()
    look.fails = True
    store.callbacks[0]()
    await clock.settle()
    look.fails = False
    await clock.advance(LOOK_EVERY)
    assert look.count == 3
    await lookout.close()
