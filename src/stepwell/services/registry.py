"""The services of the configuration, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager

import msgspec

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import NotFound
from stepwell.base.suggest import hint_for
from stepwell.ports.services import Service, ServiceRegistry
from stepwell.services.discovery import Discovery, Resolve, resolve_srv
from stepwell.services.instances import Instances, InstanceState


class StaticServices(ServiceRegistry):
    """Services that do not change while the engine runs; their instances may.

    Args:
        resolve: asks for SRV records.
    """

    def __init__(
        self, services: Mapping[str, Service], clock: Clock | None = None, resolve: Resolve = resolve_srv
    ) -> None:
        clock = clock or SystemClock()
        self._services = dict(services)
        self._instances = {
            name: Instances(service.urls or (service.url,), service.balance, clock)
            for name, service in services.items()
            if service.urls or service.srv is not None
        }
        self._discovered = {
            name: Discovery(service, self._instances[name], clock, resolve)
            for name, service in services.items()
            if service.srv is not None
        }

    def get(self, name: str) -> Service:
        """The service of this name.

        Raises:
            NotFound: (code `unknown-service`) with the nearest known name.
        """
        service = self._services.get(name)
        if service is None:
            raise NotFound(
                f"there is no service {name!r} in the configuration",
                code="unknown-service",
                hint=hint_for(name, self._services),
            )
        return service

    def names(self) -> Iterable[str]:
        return self._services.keys()

    @asynccontextmanager
    async def calling(self, name: str) -> AsyncIterator[Service]:
        service = self.get(name)
        if name in self._discovered:
            await self._discovered[name].look()
        if name not in self._instances:
            yield service
            return
        with self._instances[name].calling() as url:
            yield msgspec.structs.replace(service, url=url)

    def instances(self, name: str) -> list[InstanceState]:
        """What can be seen of the instances of a service; empty when it has only one.

        Raises:
            NotFound: (code `unknown-service`).
        """
        self.get(name)
        return self._instances[name].states() if name in self._instances else []
