"""Services that are added, changed and removed while engines run, beside those of the configuration.

They are documents, so that they outlast the process; every engine on the store looks at them every few seconds.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
from pydantic import ValidationError

from stepwell.app.configuration import Configuration, ServiceSection
from stepwell.app.lookout import Lookout
from stepwell.app.services import service_of, services_of
from stepwell.base.clock import Clock
from stepwell.base.errors import ConfigurationError, Conflict, NotFound, UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.base.suggest import hint_for
from stepwell.definition.shapes import NAME
from stepwell.ports.ledger import Document, Ledger, Write
from stepwell.services.registry import ServiceTable

KIND: Final = "service"


class ServiceSettings:
    """The services of a server: seen and changed."""

    def __init__(self, table: ServiceTable, ledger: Ledger, configuration: Configuration, clock: Clock) -> None:
        self._table = table
        self._ledger = ledger
        self._configured = services_of(configuration)
        self._clock = clock
        self.lookout = Lookout(self._look, ledger, KIND, clock)
        self._set: dict[str, Document] = {}

    def list(self) -> list[dict[str, Any]]:
        """Every service, in order of name, with its instances when it has several; without credentials."""
        return [self.one(name) for name in sorted(self._table.names())]

    def one(self, name: str) -> dict[str, Any]:
        """One service.

        Raises:
            NotFound: code `unknown-service`.
        """
        service = self._table.get(name)
        instances = [
            {
                "url": each.url,
                "running": each.running,
                "calls": each.calls,
                "failures": each.failures,
                "left_out_until": to_rfc3339(each.left_out_until) if each.left_out_until is not None else None,
            }
            for each in self._table.instances(name)
        ]
        return {
            "name": name,
            "url": service.url,
            "srv": service.srv,
            "balance": service.balance,
            "configured": name not in self._set,
            "instances": instances,
        }

    async def put(self, name: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Add a service, or change one that was added so.

        Args:
            values: as under `services` of the configuration. Credentials only as `{{ secrets.NAME }}`.

        Raises:
            UsageError: (code `invalid-service`) it is none. Conflict: (code `configured`) the configuration has one of
                that name.
        """
        _section(name, values)
        self._check_free(name)
        await self._ledger.write(
            [Write(kind=KIND, key=name, body=msgspec.json.encode(dict(values)))], self._clock.now()
        )
        await self._look()
        return self.one(name)

    async def remove(self, name: str) -> None:
        """Remove a service that was added so. Steps that call it fail from now on.

        Raises:
            NotFound: code `unknown-service`. Conflict: (code `configured`) the configuration has it.
        """
        self._check_free(name)
        await self._look()
        if name not in self._set:
            message, hint = f"no service {name!r} was added", hint_for(name, self._set)
            raise NotFound(message, code="unknown-service", hint=hint)
        await self._ledger.write([Write(kind=KIND, key=name, body=None)], self._clock.now())
        await self._look()

    def _check_free(self, name: str) -> None:
        if name in self._configured:
            message = f"the service {name!r} stands in the configuration"
            raise Conflict(message, code="configured", hint="change it there, and start the server again")

    async def _look(self) -> None:
        found: dict[str, Document] = {}
        after = ""
        while page := await self._ledger.documents(KIND, after=after):
            found.update((document.key, document) for document in page if document.key not in self._configured)
            after = page[-1].key
        for name in self._set.keys() - found.keys():
            self._table.remove(name)
        for name, document in found.items():
            if self._set.get(name) != document:
                self._table.put(service_of(name, _section(name, msgspec.json.decode(document.body))))
        self._set = found


@asynccontextmanager
async def open_service_settings(
    table: ServiceTable, ledger: Ledger, configuration: Configuration, clock: Clock
) -> AsyncIterator[ServiceSettings]:
    """The services of a server, while it runs."""
    settings = ServiceSettings(table, ledger, configuration, clock)
    await settings.lookout.open()
    try:
        yield settings
    finally:
        await settings.lookout.close()


def _section(name: str, values: Mapping[str, Any]) -> ServiceSection:
    if not NAME.fullmatch(name):
        message = f"{name!r} is no name of a service: letters, digits, '_' and '-', beginning with a letter or '_'"
        raise UsageError(message, code="invalid-service")
    if values.get("circuit_breaker") is not None or values.get("bulkhead") is not None:
        message = f"the service {name!r}: circuit_breaker and bulkhead can only be given in the configuration"
        raise UsageError(message, code="invalid-service", hint="a step may name policies of its own")
    try:
        section = ServiceSection.model_validate(values)
        service_of(name, section)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc'])) or 'it'}: {each['msg']}" for each in error.errors())
        raise UsageError(f"the service {name!r} is wrong: {problems}", code="invalid-service") from None
    except ConfigurationError as error:
        raise UsageError(f"the service {name!r} is wrong: {error.message}", code="invalid-service") from None
    for key in ("ca_file", "client_cert", "client_key"):
        if getattr(section, key) is not None:
            message = f"the service {name!r}: {key} names a file of the server's machine: only the configuration may"
            raise UsageError(message, code="invalid-service")
    return section
