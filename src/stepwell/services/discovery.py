"""Instances of services that are found by SRV records of the DNS (RFC 2782)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, SECOND
from stepwell.ports.services import Service
from stepwell.ports.work import TaskError
from stepwell.services.instances import Instances

SHORTEST: Final = 5 * SECOND
LONGEST: Final = 10 * MINUTE
"""Records are asked for again after their time to live, but neither earlier nor later than these."""


class SrvRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where an instance is. Of several, those with the lowest `priority` are called. `ttl` in seconds."""

    host: str
    port: int
    priority: int = 0
    ttl: int = 60


Resolve = Callable[[str], Awaitable[Sequence[SrvRecord]]]
"""Asks for the SRV records of a name. Raises TaskError (`connection_error`) when there is no answer."""


class Discovery:
    """Keeps the instances of a service up to date. When the DNS does not answer, those that are known stay."""

    def __init__(self, service: Service, instances: Instances, clock: Clock, resolve: Resolve) -> None:
        assert service.srv is not None, "it has a name to be found by"
        self._name = service.srv
        self._base = urlsplit(service.url)
        self._instances = instances
        self._clock = clock
        self._resolve = resolve
        self._valid_until: int | None = None
        self._asking = asyncio.Lock()
        instances.become(())

    async def look(self) -> None:
        """Ask again, if it is time.

        Raises:
            TaskError: (type `connection_error`, `missing_library`) no instance is known, and none can be found.
        """
        if self._is_valid():
            return
        async with self._asking:
            if not self._is_valid():  # unless somebody else has asked in the meantime
                await self._ask()

    def _is_valid(self) -> bool:
        return self._valid_until is not None and self._clock.now() < self._valid_until

    async def _ask(self) -> None:
        try:
            records = await self._resolve(self._name)
        except TaskError:
            if self._valid_until is None:
                raise
            self._valid_until = self._clock.now() + SHORTEST
            return
        best = min((each.priority for each in records), default=0)
        self._instances.become([self._url(each) for each in records if each.priority == best])
        shortest = min((each.ttl for each in records), default=0) * SECOND
        self._valid_until = self._clock.now() + min(max(shortest, SHORTEST), LONGEST)

    def _url(self, record: SrvRecord) -> str:
        host = record.host.rstrip(".")
        return urlunsplit((self._base.scheme, f"{host}:{record.port}", self._base.path, "", ""))


async def resolve_srv(name: str) -> Sequence[SrvRecord]:
    """Ask the DNS servers of this machine.

    Raises:
        TaskError: `connection_error` (there is no answer; may be tried again), `missing_library`.
    """
    try:
        from dns.asyncresolver import Resolver
        from dns.exception import DNSException
    except ImportError:
        message = "services that are found by SRV records need dnspython: pip install 'stepwell[dns]'"
        raise TaskError("missing_library", message) from None
    try:
        answer = await Resolver().resolve(name, "SRV")
    except DNSException as error:
        message = f"the SRV records of {name} cannot be had: {type(error).__name__}"
        raise TaskError("connection_error", message, retryable=True) from None
    assert answer.rrset is not None, "a record set was asked for"
    ttl = answer.rrset.ttl
    return [SrvRecord(host=str(each.target), port=each.port, priority=each.priority, ttl=ttl) for each in answer]
