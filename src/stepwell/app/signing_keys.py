"""The public keys of an issuer of tokens (JWKS, RFC 7517): read from a file, or fetched, kept, and fetched anew.

How often a key is fetched does not depend on what is sent to the server: a token with an unknown key makes it look
again, but not more often than `LOOK_AGAIN_AFTER`.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import aiohttp
import jwt

from stepwell.app.security_sections import SHARED
from stepwell.base.clock import Clock
from stepwell.base.durations import HOUR, MINUTE
from stepwell.base.errors import ConfigurationError, StepwellError

KEPT: Final = HOUR
"""Keys that are older are fetched anew; they stay good when that fails."""
LOOK_AGAIN_AFTER: Final = MINUTE
LARGEST: Final = 256 * 1024
"""The largest document that is read, in bytes."""
MOST_KEYS: Final = 100
_SECONDS: Final = 10.0

_ALGORITHMS: Final[Mapping[str, str]] = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}
_CURVES: Final[Mapping[str, str]] = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_log = logging.getLogger(__name__)


class KeysUnavailable(StepwellError):
    """The keys of the issuer cannot be had, so that no token can be checked."""

    code = "issuer-unavailable"
    exit_status = 4


class SigningKey(NamedTuple):
    """A key that tokens may be checked with.

    Attributes:
        id: its `kid`, or None.
        algorithms: those that it is for. A key of one kind is never used for another, whatever a token says.
        key: as PyJWT takes it.
    """

    id: str | None
    algorithms: frozenset[str]
    key: Any


class KeySource(Protocol):
    """Where keys come from."""

    async def keys(self, *, wanted: str | None = None) -> Sequence[SigningKey]:
        """The keys. When `wanted` is not among them they may be old: they are looked up again if that was not done just
        before.

        Raises:
            KeysUnavailable: there are none to be had.
        """
        ...


class FixedKeys(KeySource):
    """Keys that do not change while the server runs."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        self._keys = keys

    async def keys(self, *, wanted: str | None = None) -> Sequence[SigningKey]:
        return self._keys


class FetchedKeys(KeySource):
    """Keys that are fetched.

    Args:
        url: of the key set; None to ask the issuer for it.
    """

    def __init__(self, issuer: str, url: str | None, clock: Clock) -> None:
        self._issuer = issuer
        self._url = url
        self._clock = clock
        self._known: Sequence[SigningKey] = ()
        self._fetched_at: int | None = None
        self._tried_at: int | None = None
        self._lock = asyncio.Lock()

    async def keys(self, *, wanted: str | None = None) -> Sequence[SigningKey]:
        is_first = not self._known and self._lock.locked()  # somebody is fetching them for the first time
        if is_first or self._is_due(wanted):
            async with self._lock:
                if self._is_due(wanted):
                    await self._look()
        if not self._known:
            raise KeysUnavailable("the keys of the issuer of tokens cannot be had", hint="the server's log tells why")
        return self._known

    def _is_due(self, wanted: str | None) -> bool:
        now = self._clock.now()
        if self._tried_at is not None and now - self._tried_at < LOOK_AGAIN_AFTER:
            return False
        is_unknown = wanted is not None and all(key.id != wanted for key in self._known)
        return self._fetched_at is None or now - self._fetched_at >= KEPT or is_unknown

    async def _look(self) -> None:
        self._tried_at = self._clock.now()
        try:
            async with asyncio.timeout(_SECONDS), aiohttp.ClientSession(trust_env=False) as session:
                url = self._url or await self._discovered(session)
                found = keys_of(await _document(session, url), url)
        except (aiohttp.ClientError, OSError, ValueError, TimeoutError) as error:
            _log.warning("the keys of %s cannot be fetched: %s", self._issuer, str(error) or type(error).__name__)
            return
        self._known, self._fetched_at = found, self._clock.now()

    async def _discovered(self, session: aiohttp.ClientSession) -> str:
        """The URL of the key set, as OpenID Connect Discovery has it."""
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        said = await _document(session, url)
        if said.get("issuer") != self._issuer:
            raise ValueError(f"{url} is of another issuer: {said.get('issuer')!r:.200}")
        found = said.get("jwks_uri")
        if not isinstance(found, str) or not _is_safe(found, self._issuer):
            raise ValueError(f"{url} names no key set that may be fetched")
        return found


def keys_of(document: Mapping[str, Any], where: str) -> Sequence[SigningKey]:
    """The keys of a key set that can check signatures; those for something else, and those not known, are left out.

    Raises:
        ValueError: it is no key set, or there is no such key in it.
    """
    given = document.get("keys")
    if not isinstance(given, list) or len(given) > MOST_KEYS:
        raise ValueError(f"{where} is not a key set of at most {MOST_KEYS} keys")
    found = [key for each in given if isinstance(each, dict) and (key := _key_of(each)) is not None]
    if not found:
        raise ValueError(f"{where} holds no public key that signatures can be checked with")
    return found


def file_keys(path: Path) -> Sequence[SigningKey]:
    """The keys in a file.

    Raises:
        ConfigurationError: it cannot be read, or holds none.
    """
    try:
        document = json.loads(path.read_bytes()[: LARGEST + 1])
        return keys_of(document if isinstance(document, dict) else {}, str(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigurationError(f"security.jwt.jwks_file: {path} cannot be used: {reason}") from None


def secret_key(secret: str) -> SigningKey:
    """The key for tokens that are signed with a shared secret.

    Raises:
        ConfigurationError: the secret is too short to be one.
    """
    content = secret.encode()
    if len(content) < 32:
        message = "security.jwt.secret: a secret of at least 32 bytes is needed"
        raise ConfigurationError(message, hint="anything shorter can be found by trying")
    return SigningKey(None, SHARED, content)


def _key_of(given: Mapping[str, Any]) -> SigningKey | None:
    """A public key; None when it is something else."""
    if given.get("use", "sig") != "sig" or given.get("kty") not in _ALGORITHMS:
        return None  # a symmetric key in a public set is known to everybody
    try:
        loaded = jwt.PyJWK(dict(given), given.get("alg") or _usual(given))
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    named = given.get("alg")
    fitting = frozenset({str(named)}) if named else _fitting(given)
    return SigningKey(given.get("kid"), fitting - SHARED, loaded.key)


def _usual(given: Mapping[str, Any]) -> str:
    return _CURVES.get(str(given.get("crv")), _ALGORITHMS[str(given["kty"])])


def _fitting(given: Mapping[str, Any]) -> frozenset[str]:
    """What a key that does not say so is for."""
    if given["kty"] == "RSA":
        return frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
    return frozenset({_usual(given)})


def _is_safe(url: str, issuer: str) -> bool:
    """Whether the keys may be fetched from there: over TLS, unless the issuer itself is on this machine."""
    return url.startswith("https://") or (issuer.startswith("http://") and url.startswith("http://"))


async def _document(session: aiohttp.ClientSession, url: str) -> dict[str, Any]:
    """The JSON object at a URL. Redirects are not followed.

    Raises:
        ValueError: it is something else.
    """
    async with session.get(url, allow_redirects=False) as response:
        if response.status != 200:
            raise ValueError(f"{url} was answered with {response.status}")
        content = await response.content.read(LARGEST + 1)
        while content and len(content) <= LARGEST and (more := await response.content.read(LARGEST + 1)):
            content += more
    if len(content) > LARGEST:
        raise ValueError(f"{url} is larger than {LARGEST // 1024} KiB")
    found = json.loads(content)
    if not isinstance(found, dict):
        raise ValueError(f"{url} is not a JSON object")
    return found
