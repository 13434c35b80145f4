"""Tokens of an issuer (JWT): who calls, by what they say, once their signature is checked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn

import jwt

from stepwell.app.access import ROLES, Caller, Role, Unauthenticated
from stepwell.app.security_sections import Jwt
from stepwell.app.signing_keys import KeySource, SigningKey
from stepwell.base.clock import Clock
from stepwell.base.durations import SECOND
from stepwell.base.namespaces import is_namespace

LONGEST: Final = 8 * 1024
"""Of a token, in characters."""
LONGEST_NAME: Final = 200

_DEFAULT_ALGORITHMS: Final = ("RS256", "ES256", "EdDSA")
_UNDECODED: Final[Mapping[str, Any]] = {
    "require": ["exp", "iss", "aud"],
    "verify_exp": False,  # by our own clock
    "verify_nbf": False,
    "verify_iat": False,
}


class Tokens:
    """Checks the tokens of one issuer."""

    def __init__(self, section: Jwt, source: KeySource, clock: Clock) -> None:
        self._section = section
        self._source = source
        self._clock = clock
        usual = ("HS256",) if section.secret is not None else _DEFAULT_ALGORITHMS
        self._algorithms: frozenset[str] = frozenset(section.algorithms or usual)
        self._audience = [section.audience] if isinstance(section.audience, str) else list(section.audience)

    async def authenticate(self, text: str) -> Caller:
        """Who the token is of.

        Raises:
            Unauthenticated: (code `invalid-token`, `token-expired`) it is not good.
            KeysUnavailable: there is nothing to check it with.
        """
        header = _header_of(text)
        algorithm = header.get("alg")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            _refuse(f"it is signed with {algorithm!r:.40}, which is not accepted")
        key = self._key_for(header.get("kid"), algorithm, await self._keys(header.get("kid")))
        claims = self._claims_of(text, key, algorithm)
        self._check_times(claims)
        return self._caller(claims)

    async def _keys(self, key_id: Any) -> Sequence[SigningKey]:
        if key_id is not None and not isinstance(key_id, str):
            _refuse("its kid is not text")
        return await self._source.keys(wanted=key_id)

    def _key_for(self, key_id: str | None, algorithm: str, keys: Sequence[SigningKey]) -> SigningKey:
        """The key that it must be signed with: the one it names, or the only one that there is.

        Raises:
            Unauthenticated: there is none, or several.
        """
        fitting = [key for key in keys if algorithm in key.algorithms and key_id in (None, key.id)]
        if self._section.secret is not None:
            fitting = list(keys)  # there is one, and it has no name
        if len(fitting) != 1:
            _refuse(
                "it is not signed with a key of the issuer" if key_id is not None or not fitting else "it has no kid"
            )
        return fitting[0]

    def _claims_of(self, text: str, key: SigningKey, algorithm: str) -> Mapping[str, Any]:
        try:
            claims: dict[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=[algorithm],
                audience=self._audience,
                issuer=self._section.issuer,
                options=dict(_UNDECODED),  # type: ignore[arg-type]
            )
        except jwt.InvalidAudienceError:
            _refuse("it is for somebody else (aud)")
        except jwt.InvalidIssuerError:
            _refuse("it is of another issuer (iss)")
        except jwt.MissingRequiredClaimError as error:
            _refuse(f"it says nothing about {error.claim}")
        except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
            _refuse("its signature is not right, or it is not a token")
        return claims

    def _check_times(self, claims: Mapping[str, Any]) -> None:
        now, leeway = self._clock.now(), self._section.leeway
        if _instant(claims, "exp") + leeway <= now:
            raise Unauthenticated("the token has expired", code="token-expired", hint="ask the issuer for a new one")
        for claim in ("nbf", "iat"):
            if claim in claims and _instant(claims, claim) - leeway > now:
                _refuse(f"it is not good yet ({claim})")

    def _caller(self, claims: Mapping[str, Any]) -> Caller:
        section = self._section
        name = _at(claims, section.claims.name)
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME or not name.isprintable():
            _refuse(f"its claim {section.claims.name!r} is not a name")
        subject = claims.get("sub")
        return Caller(
            name=name,
            role=self._role(_at(claims, section.claims.role)),
            namespaces=self._namespaces(_at(claims, section.claims.namespaces)),
            proof="token",
            id=subject[:LONGEST_NAME] if isinstance(subject, str) else name,
        )

    def _role(self, claimed: Any) -> Role:
        """The highest role that the claim gives."""
        roles = [role for role in map(self._named, _texts(claimed)) if role is not None]
        if roles:
            return max(roles, key=ROLES.index)
        if self._section.role is None:
            _refuse(f"its claim {self._section.claims.role!r} gives no role here")
        return self._section.role

    def _named(self, name: str) -> Role | None:
        given = self._section.roles.get(name)
        if given is not None or self._section.roles:
            return given
        return next((role for role in ROLES if role == name), None)

    def _namespaces(self, claimed: Any) -> frozenset[str] | None:
        """Those that it names, `*` for all; else those of the configuration."""
        names = set(_texts(claimed)) if claimed is not None else set(self._section.namespaces)
        if "*" in names:
            return None
        return frozenset(filter(is_namespace, names))


def _header_of(text: str) -> Mapping[str, Any]:
    if len(text) > LONGEST:
        _refuse(f"it is longer than {LONGEST} characters")
    try:
        header: dict[str, Any] = jwt.get_unverified_header(text)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        _refuse("it is not a token")
    if "crit" in header or header.get("b64") is False:
        _refuse("it asks for extensions that are not known here")
    return header


def _instant(claims: Mapping[str, Any], claim: str) -> int:
    """The claim as microseconds."""
    seconds = claims[claim]
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e12:
        _refuse(f"its {claim} is not a time")
    return int(seconds * SECOND)


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """The value of a claim; a dot leads into an object, unless there is a claim of just that name."""
    if path in claims:
        return claims[path]
    found: Any = claims
    for part in path.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _texts(claimed: Any) -> Iterator[str]:
    """The texts of a claim: one, several with spaces between them, or a list."""
    if isinstance(claimed, str):
        yield from claimed.split()
    elif isinstance(claimed, list):
        yield from (each for each in claimed if isinstance(each, str))


def _refuse(reason: str) -> NoReturn:
    raise Unauthenticated(f"the token is refused: {reason}", code="invalid-token")
