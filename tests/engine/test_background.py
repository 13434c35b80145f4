"""What is done every so often, while the store is slow or away."""

from __future__ import annotations

import asyncio

from stepwell.engine.background import FORGET_EVERY, Background, Upkeep
from stepwell.engine.ownership import RENEW_EVERY
from stepwell.store.memory.store import MemoryStore
from tests.virtual_clock import VirtualClock


class FarStore(MemoryStore):
    """Forgets nothing until it is back."""

    def __init__(self) -> None:
        super().__init__()
        self.back = asyncio.Event()
        self.asked = 0

    async def forget_events(self, now: int) -> int:
        self.asked += 1
        await self.back.wait()
        return 0


async def test_what_is_done_every_so_often_does_not_pile_up_during_an_outage() -> None:
    clock, store, renewals = VirtualClock(), FarStore(), 0
    background = Background(lambda error: None)

    async def renew() -> None:
        nonlocal renewals
        renewals += 1
        await store.back.wait()

    upkeep = Upkeep(store, renew, clock, background)
    upkeep.open()
    await clock.advance(3 * FORGET_EVERY)
    assert (renewals, store.asked) == (1, 1)
    store.back.set()
    await clock.advance(RENEW_EVERY)
    assert renewals == 2, "and goes on when it is back"
    await clock.advance(FORGET_EVERY)
    assert store.asked == 2
    upkeep.close()
    await background.close()
