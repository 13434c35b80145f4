"""What starts executions, and tells of them, beside the engine of a server: schedules, webhooks and subscriptions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from stepwell.app.configuration import Configuration
from stepwell.app.delivering import Deliverer
from stepwell.app.lifecycle import Bell
from stepwell.app.network import guard_of
from stepwell.app.outgoing import sender
from stepwell.app.reading import Reading
from stepwell.app.schedule_firing import ScheduleFiring
from stepwell.app.schedule_runner import LOOK_EVERY, ScheduleRunner
from stepwell.app.schedules import Schedules
from stepwell.app.session import Session
from stepwell.app.subscriptions import Subscriptions
from stepwell.base.clock import Clock
from stepwell.store.factory import is_in_memory
from stepwell.tasks.client import HttpClient


@asynccontextmanager
async def open_schedules(session: Session, clock: Clock, configuration: Configuration) -> AsyncIterator[Schedules]:
    """The schedules, which fire as long as this lasts."""
    store, triggering = session.store, session.triggering
    firing = ScheduleFiring(store, session.codec, triggering.triggers, triggering.firings, session.definitions.stored)
    look_every = LOOK_EVERY if is_shared(configuration) else None
    async with ScheduleRunner(store, triggering.triggers, firing, clock, look_every) as runner:
        yield Schedules(store, session.codec, firing, runner.look, runner.problem)


@asynccontextmanager
async def open_subscriptions(
    session: Session, clock: Clock, configuration: Configuration, reading: Reading, bell: Bell, node: str
) -> AsyncIterator[Subscriptions]:
    """The subscriptions, which are told of what happens as long as this lasts."""
    client = HttpClient(guard_of(configuration))
    deliverer = Deliverer(
        session.store, session.codec, reading, sender(client), bell, clock, node, looks=is_shared(configuration)
    )
    try:
        async with deliverer:
            yield Subscriptions(session.store, session.codec, deliverer.look)
    finally:
        await client.close()


def is_shared(configuration: Configuration) -> bool:
    """Whether other processes may use the store too."""
    return not is_in_memory(configuration.state_store.url)
