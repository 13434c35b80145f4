"""Who calls a server: by an API key, by a token, or nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stepwell.app.access import ANONYMOUS, Caller, Unauthenticated
from stepwell.app.audit import Audit, Refusals
from stepwell.app.key_tokens import looks_like_key
from stepwell.app.keys import ApiKeys
from stepwell.app.secret_values import configured_secret
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.errors import ConfigurationError
from stepwell.ports.ledger import Ledger
from stepwell.ports.services import SecretSource

if TYPE_CHECKING:
    from stepwell.app.configuration import Configuration
    from stepwell.app.security_sections import Jwt
    from stepwell.app.signing_keys import KeySource
    from stepwell.app.tokens import Tokens

LOOKED_AGAIN_AFTER: Final = SECOND
"""A server that asks nobody who he is sees a first API key, made by another process, after at most so long."""

_NO_PROOF: Final = "say who calls: `Authorization: Bearer TOKEN`, with an API key or a token of the issuer"


class Security:
    """Who calls one server.

    Attributes:
        keys: the API keys.
        audit: the audit log.
        refusals: notes in it what did not prove who called.
    """

    def __init__(self, ledger: Ledger, clock: Clock, tokens: Tokens | None) -> None:
        self.keys = ApiKeys(ledger, clock)
        self.audit = Audit(ledger)
        self.refusals = Refusals(self.audit)
        self._clock = clock
        self._tokens = tokens
        self._is_closed = tokens is not None
        self._looked_at: int | None = None

    async def is_open(self) -> bool:
        """Whether nobody is asked who he is: no issuer is configured, and no API key was ever made."""
        if self._is_closed:
            return False
        now = self._clock.now()
        if self._looked_at is None or now - self._looked_at >= LOOKED_AGAIN_AFTER:
            self._is_closed = await self.keys.exist()
            self._looked_at = now
        return not self._is_closed

    def close_now(self) -> None:
        """An API key was made here: from now on everybody is asked."""
        self._is_closed = True

    async def caller(self, credentials: str | None) -> Caller | None:
        """Who calls.

        Args:
            credentials: what was sent: an API key or a token; None for nothing.

        Returns:
            None when that is not known, and the server asks for it.

        Raises:
            Unauthenticated: what was sent is not good. KeysUnavailable: it cannot be checked.
        """
        if credentials is None:
            return ANONYMOUS if await self.is_open() else None
        if looks_like_key(credentials):
            return await self.keys.authenticate(credentials)
        if self._tokens is not None:
            return await self._tokens.authenticate(credentials)
        raise Unauthenticated("this is not an API key, and no issuer of tokens is configured", code="invalid-token")


def no_proof() -> Unauthenticated:
    """The error for a caller who said nothing."""
    return Unauthenticated("the server asks who calls", hint=_NO_PROOF)


@asynccontextmanager
async def open_security(
    configuration: Configuration, ledger: Ledger, clock: Clock, secrets: SecretSource
) -> AsyncIterator[Security]:
    """The security of a server, which notes what is left to note when it closes.

    Raises:
        ConfigurationError: what is configured cannot be used.
    """
    section = configuration.security.jwt
    security = Security(ledger, clock, tokens_of(section, clock, secrets) if section is not None else None)
    try:
        yield security
    finally:
        await security.audit.close()


def tokens_of(section: Jwt, clock: Clock, secrets: SecretSource) -> Tokens:
    """What checks the tokens of the configured issuer.

    Raises:
        ConfigurationError: the secret or the file of keys cannot be used.
    """
    from stepwell.app.tokens import Tokens

    return Tokens(section, _source_of(section, clock, secrets), clock)


def _source_of(section: Jwt, clock: Clock, secrets: SecretSource) -> KeySource:
    from stepwell.app.signing_keys import FetchedKeys, FixedKeys, file_keys, secret_key

    if section.secret is not None:
        return FixedKeys([secret_key(configured_secret(section.secret, "security.jwt.secret", secrets))])
    if section.jwks_file is not None:
        return FixedKeys(file_keys(Path(section.jwks_file)))
    return FetchedKeys(section.issuer, section.jwks_url, clock)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


async def check_binding(configuration: Configuration, ledger: Ledger, host: str, *, insecure: bool) -> str | None:
    """Look whether a server may listen there before it does.

    Returns:
        A warning for whoever starts it, or None.

    Raises:
        ConfigurationError: (code `open-server`) everybody could do everything with it.
    """
    if configuration.security.jwt is not None or await _has_keys(ledger):
        return None
    if is_loopback(host):
        return (
            "open: no API key was made and no issuer is configured, so whoever reaches this machine may do everything"
        )
    if insecure:
        return f"INSECURE: whoever reaches {host} may do everything, for nobody is asked who he is"
    raise ConfigurationError(
        f"the server would listen on {host} and ask nobody who he is",
        code="open-server",
        hint="make an API key (`stepwell key create --role admin NAME`), configure security.jwt, or say --insecure",
    )


async def _has_keys(ledger: Ledger) -> bool:
    from stepwell.app.keys import KIND

    return bool(await ledger.documents(KIND, limit=1))


def problem_headers(error: Unauthenticated) -> Mapping[str, Any]:
    """What the answer to a request must say that was refused so (RFC 6750)."""
    if error.code == "unauthenticated":
        return {"WWW-Authenticate": 'Bearer realm="stepwell"'}
    return {"WWW-Authenticate": f'Bearer realm="stepwell", error="invalid_token", error_description="{error.code}"'}
