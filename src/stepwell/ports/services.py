"""The contracts of services and secrets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Literal, Protocol, runtime_checkable

import msgspec


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service that steps may call, from the configuration.

    Attributes:
        url: the base; an endpoint is put behind it. Of a service with several instances, that of the one to call.
        urls: the bases of all its instances, when it has several.
        srv: the DNS name whose SRV records name the instances, or None; `url` says the scheme and the path then.
        balance: which instance is called: the one with the fewest calls at the moment, or each in turn.
        timeout: of one call, in microseconds.
        headers: sent with every call; may hold `SecretText` and `SecretRef`.
        auth: None, or one of `{"bearer": ...}`, `{"basic": {"username", "password"}}`,
            `{"header": {"name", "value"}}`; values may be secrets.
        verify: whether the server's certificate is checked; `ca_file` names further trusted authorities.
        rule_path: where validation rules are asked, with `{rule}` in it.
    """

    name: str
    url: str
    urls: tuple[str, ...] = ()
    srv: str | None = None
    balance: Literal["least_loaded", "round_robin"] = "least_loaded"
    timeout: int = 30_000_000
    headers: Mapping[str, Any] = {}
    auth: Mapping[str, Any] | None = None
    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    max_response_bytes: int = 8 * 1024 * 1024
    rule_path: str = "/validations/{rule}"


class ServiceRegistry(Protocol):
    """The services by name."""

    def get(self, name: str) -> Service:
        """Raises: NotFound (code `unknown-service`), naming the nearest known service."""
        ...

    def names(self) -> Iterable[str]: ...

    @asynccontextmanager
    async def calling(self, name: str) -> AsyncIterator[Service]:
        """The service with the URL of the instance to call, for the time of one call.

        A `TaskError` that leaves the block counts against the instance, when it says that the instance is not well.

        Raises:
            NotFound: (code `unknown-service`). TaskError: (type `connection_error`) its instances cannot be found.
        """
        yield self.get(name)  # one instance, always the same


class SecretSource(Protocol):
    """Where `secrets.NAME` is looked up, by the worker, just before the work."""

    def get(self, name: str) -> str:
        """Raises: NotFound (code `unknown-secret`), naming the key and never a value."""
        ...


@runtime_checkable
class SecretsByWorkflow(SecretSource, Protocol):
    """A source that does not give every workflow everything."""

    def of(self, workflow: str) -> SecretSource:
        """What the workflow of this name may look up. Whoever holds the source itself may look up everything."""
        ...


class Cipher(Protocol):
    """Encrypts what must not be readable in the store."""

    def encrypt(self, plain: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises: StoreError (code `wrong-key`) when the key is not the one it was encrypted with."""
        ...
