"""The services of the configuration, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stepwell.base.errors import NotFound
from stepwell.base.suggest import hint_for
from stepwell.ports.services import Service, ServiceRegistry


class StaticServices(ServiceRegistry):
    """Services that do not change while the engine runs."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = dict(services)

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
