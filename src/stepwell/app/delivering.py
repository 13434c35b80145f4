"""Has every active subscription delivered, by one process at a time; see `courier`."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Self

from stepwell.app.courier import AGAIN_AFTER, LOOK_FOR_OTHERS, Courier
from stepwell.app.lifecycle import Bell
from stepwell.app.outgoing import Send
from stepwell.app.reading import Reading
from stepwell.app.subscription_documents import DELIVERY, SUBSCRIPTION, read_subscription
from stepwell.base.clock import Clock
from stepwell.base.durations import DAY, MINUTE
from stepwell.base.errors import StepwellError
from stepwell.engine.alarm import Alarm
from stepwell.execution.codec import Codec
from stepwell.ports.ledger import Document
from stepwell.ports.store import Store

LOOK_SELDOM: Final = MINUTE
"""Between two looks at which subscriptions there are, where the store tells of that: in case that it could not."""
KEEP_LOG: Final = 30 * DAY

_log = logging.getLogger(__name__)


class Deliverer:
    """Delivers all active subscriptions of a store, as long as it is entered.

    Args:
        node: unique text for this process.
        looks: whether other processes use the store too, so that it has to be looked at now and then.
    """

    def __init__(
        self,
        store: Store,
        codec: Codec,
        reading: Reading,
        send: Send,
        bell: Bell,
        clock: Clock,
        node: str,
        *,
        looks: bool = True,
    ) -> None:
        self._store = store
        self._bell = bell
        self._clock = clock
        self._looks = looks
        self._codec = codec
        self._reading = reading
        self._send = send
        self._node = node
        self._look_for_others = LOOK_FOR_OTHERS
        self._couriers: dict[str, tuple[Courier, asyncio.Task[None]]] = {}
        self._changed = asyncio.Event()
        self._alarm = Alarm(clock, self._changed.set)
        self._forgets_at = 0
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        if self._looks and self._store.listen_to_documents([SUBSCRIPTION], self.look):
            self._look_for_others = LOOK_SELDOM
        self._changed.set()
        self._tasks = [asyncio.create_task(self._watch()), asyncio.create_task(self._listen())]
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._alarm.clear()
        couriers = list(self._couriers.values())
        tasks = [*self._tasks, *(task for _, task in couriers)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(courier.give_up() for courier, _ in couriers), return_exceptions=True)

    def look(self) -> None:
        """Look at once: a subscription was made or changed, or something is to be sent again."""
        self._changed.set()

    async def _listen(self) -> None:
        """Wake the couriers whenever something is committed here."""
        with self._bell.heard() as rung:
            while True:
                await rung.wait()
                rung.clear()
                for courier, _ in self._couriers.values():
                    courier.rung.set()

    async def _watch(self) -> None:
        """Have a courier for each active subscription."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            now = self._clock.now()
            try:
                await self._arrange(now)
            except StepwellError as error:
                _log.warning("subscriptions cannot be read at the moment: %s", error)
                self._alarm.set(now + AGAIN_AFTER)
            if self._looks:
                self._alarm.set(now + self._look_for_others)

    async def _arrange(self, now: int) -> None:
        active = {each.key for each in await _all(self._store) if read_subscription(each).active}
        for id_ in self._couriers.keys() - active:
            courier, task = self._couriers.pop(id_)
            courier.alarm.clear()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        for id_ in active:
            if id_ not in self._couriers:
                courier = self._new_courier(id_)
                self._couriers[id_] = courier, asyncio.create_task(courier.run(), name=f"stepwell deliveries {id_}")
            self._couriers[id_][0].look()
        if now >= self._forgets_at:
            await self._store.forget_journal(DELIVERY, now - KEEP_LOG)
            self._forgets_at = now + DAY

    def _new_courier(self, id_: str) -> Courier:
        return Courier(
            id_, self._store, self._codec, self._reading, self._send, self._clock, self._node, looks=self._looks
        )


async def _all(store: Store) -> list[Document]:
    found: list[Document] = []
    while page := await store.documents(SUBSCRIPTION, after=found[-1].key if found else ""):
        found += page
    return found
