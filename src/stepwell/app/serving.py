"""What a server is made of: an engine on its store, and everything around it that runs as long as it does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final, TypeVar

from stepwell.app.approvals import Approvals
from stepwell.app.configuration import Configuration
from stepwell.app.dead_letters import DeadLetters
from stepwell.app.lifecycle import Bell
from stepwell.app.operating import Operators
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.registry import Registry
from stepwell.app.session import Announce, Session, open_session, owner_name
from stepwell.base.clock import Clock, SystemClock
from stepwell.ports.store import Store
from stepwell.ports.work import Observer

T = TypeVar("T")


class Parts:
    """The parts of an open server.

    Attributes:
        owner: unique text for this process.
        bell: says when something was committed here.
    """

    def __init__(
        self, configuration: Configuration, registries: Registries, session: Session, clock: Clock, bell: Bell
    ) -> None:
        self.configuration = configuration
        self.registries = registries
        self.session = session
        self.clock = clock
        self.bell = bell
        self.owner = owner_name()
        self.reading = Reading(session.store, session.codec, session.definitions)
        self.registry = Registry(session.store)
        self.operators = Operators(session.store, session.codec, session.definitions, clock, self.owner)
        self.approvals = Approvals(session.store, self.reading)
        self.dead_letters = DeadLetters(session.store)
        self._services: list[object] = []

    @property
    def store(self) -> Store:
        """Where everything is kept."""
        return self.session.store

    def service(self, kind: type[T]) -> T:
        """The service of this class, which `SERVICES` opened.

        Raises:
            LookupError: there is none.
        """
        for service in self._services:
            if isinstance(service, kind):
                return service
        raise LookupError(f"no {kind.__name__} is among the services of this server")

    def add(self, service: object) -> None:
        """Have `service` find it."""
        self._services.append(service)


Service = Callable[[Parts], AbstractAsyncContextManager[Any]]
"""Gives, for the parts of a server, what is entered when it opens and left when it closes. What entering gives is found
by its class: `parts.service(Schedules)`."""

SERVICES: Final[Sequence[Service]] = ()
"""In the order in which they are opened; closed in reverse."""


@asynccontextmanager
async def open_server(
    configuration: Configuration,
    registries: Registries,
    *,
    store: Store | None = None,
    services: Sequence[Service] = SERVICES,
    observers: Sequence[Observer] = (),
    announce: Announce = lambda message: None,
    clock: Clock | None = None,
) -> AsyncIterator[Parts]:
    """Everything that a server needs, running.

    Args:
        store: an open one, which stays open; None for the configured one.
        services: what runs beside the engine.
        observers: told what was committed.
        announce: told what the user should know.

    Raises:
        StoreError: the store cannot be used. ConfigurationError: something configured is wrong.
    """
    clock = clock or SystemClock()
    bell = Bell(*observers)
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            open_session(
                configuration,
                registries,
                store=store,
                take_over=True,
                observer=bell,
                announce=announce,
                clock=clock,
            )
        )
        parts = Parts(configuration, registries, session, clock, bell)
        for service in services:
            parts.add(await stack.enter_async_context(service(parts)))
        yield parts
