"""The services of the configuration, by name."""

from __future__ import annotations

from collections.abc import AsyncIterator, KeysView, Mapping
from contextlib import asynccontextmanager

import msgspec

from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import NotFound
from stepwell.base.suggest import hint_for
from stepwell.ports.services import Service, ServiceRegistry
from stepwell.services.discovery import Discovery, Resolve, resolve_srv
from stepwell.services.instances import Instances, InstanceState


class ServiceTable(ServiceRegistry):
    """Services by name; they may be added, changed and removed while the engine runs.

    Args:
        resolve: asks for SRV records.
    """

    def __init__(
        self, services: Mapping[str, Service], clock: Clock | None = None, resolve: Resolve = resolve_srv
    ) -> None:
        self._clock = clock or SystemClock()
        self._resolve = resolve
        self._services: dict[str, Service] = {}
        self._instances: dict[str, Instances] = {}
        self._discovered: dict[str, Discovery] = {}
        for service in services.values():
            self.put(service)

    def put(self, service: Service) -> None:
        """Add a service, or have it stand in the place of that with its name. Calls under way are not touched."""
        self.remove(service.name)
        name = service.name
        self._services[name] = service
        if service.urls or service.srv is not None:
            self._instances[name] = Instances(service.urls or (service.url,), service.balance, self._clock)
        if service.srv is not None:
            self._discovered[name] = Discovery(service, self._instances[name], self._clock, self._resolve)

    def remove(self, name: str) -> None:
        """Forget a service; nothing happens when it is not known."""
        for known in (self._services, self._instances, self._discovered):
            known.pop(name, None)

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

    def names(self) -> KeysView[str]:
        """The names, as they are at any moment."""
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
