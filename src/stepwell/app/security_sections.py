"""The `security` section of the configuration."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from stepwell.app.access import Role
from stepwell.app.sections import Duration, PositiveDuration, RateLimitSection
from stepwell.base.durations import MINUTE, SECOND

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256"]
"""How tokens are signed. `none` is not among them."""

SHARED: Final = frozenset({"HS256"})
"""Algorithms with one secret for signing and checking."""

_NAMES: Final = re.compile(r"[A-Za-z0-9_.:/*-]+", re.ASCII)
_HOST: Final = re.compile(r"[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]", re.ASCII)


def _checked_network(text: str) -> str:
    return str(ip_network(text, strict=False))


def _checked_origin(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or f"{parts.scheme}://{parts.netloc}" != text:
        raise ValueError("an origin is a scheme and a host, such as https://app.example.com, without a path")
    return text.lower()


def _checked_host(text: str) -> str:
    if not _HOST.fullmatch(text):
        raise ValueError("a host is a name or an address, without a port")
    return text.lower()


def _checked_pattern(text: str) -> str:
    if not _NAMES.fullmatch(text):
        raise ValueError("a name is made of letters, digits, and _ - . : /; '*' stands for any characters")
    return text


def _checked_issuer(text: str) -> str:
    parts = urlsplit(text)
    loopback = parts.hostname in ("localhost", "127.0.0.1", "::1")
    if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and loopback)):
        raise ValueError("an https URL is needed; http is for this machine itself only")
    return text


Network = Annotated[str, AfterValidator(_checked_network)]
"""Addresses, such as `10.0.0.0/8` or one address."""
Origin = Annotated[str, AfterValidator(_checked_origin)]
Host = Annotated[str, AfterValidator(_checked_host)]
Pattern = Annotated[str, AfterValidator(_checked_pattern)]
"""A name in which `*` stands for any characters."""
KeyUrl = Annotated[str, AfterValidator(_checked_issuer)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cors(_Section):
    """Which web pages of other origins may call the server. None may unless they are named."""

    origins: list[Origin] = []
    max_age: PositiveDuration = 10 * MINUTE


class RateLimits(_Section):
    """How much one caller, or where it is not known who calls one address, may ask for; the rest is answered with 429.

    So many are allowed at once, and from then on as many as `per` has room for. `failures` counts what did not prove
    who called; whoever has too many of them is not listened to for a while.
    """

    requests: RateLimitSection | None = RateLimitSection.model_construct(limit=20_000, per=10 * SECOND)
    failures: RateLimitSection = RateLimitSection.model_construct(limit=20, per=MINUTE)


class Claims(_Section):
    """Where in a token things stand; a dot leads into an object."""

    name: str = "sub"
    role: str = "role"
    namespaces: str = "namespaces"


class Jwt(_Section):
    """Tokens of an issuer (OpenID Connect, OAuth 2) that prove who calls.

    Exactly one of `jwks_url`, `jwks_file`, `secret` says what they are signed with; with none of them it is asked of
    the issuer (`ISSUER/.well-known/openid-configuration`). `secret` is `{{ secrets.NAME }}`.

    `roles` says which role a value of the claim gives, such as the name of a group; without it the value is a role's
    name. `role` is what a token without one gets. `namespaces` are those of a token that names none.
    """

    issuer: str
    audience: str | list[str]
    jwks_url: KeyUrl | None = None
    jwks_file: str | None = None
    secret: str | None = None
    algorithms: list[Algorithm] = Field(default=[], description="By default RS256, ES256 and EdDSA; HS256 of a secret.")
    leeway: Duration = 30 * SECOND
    claims: Claims = Claims()
    roles: dict[str, Role] = {}
    role: Role | None = None
    namespaces: list[Pattern] = ["default"]

    @model_validator(mode="after")
    def _fits(self) -> Jwt:
        if sum(each is not None for each in (self.jwks_url, self.jwks_file, self.secret)) > 1:
            raise ValueError("only one of jwks_url, jwks_file and secret can be what tokens are signed with")
        if self.secret is None and self.jwks_url is None and self.jwks_file is None:
            _checked_issuer(self.issuer)
        if any((algorithm in SHARED) != (self.secret is not None) for algorithm in self.algorithms):
            raise ValueError("HS256 goes with a secret, and all others with public keys")
        if not self.audience:
            raise ValueError("the audience names who the tokens are for: this server")
        return self


class Rule(_Section):
    """What definitions of some namespaces, registered by some roles, may or may not use.

    `namespaces` are all unless named; `roles` are all, too. In every list `*` stands for any characters.
    """

    namespaces: list[Pattern] = ["*"]
    roles: list[Role] = list(get_args(Role))
    steps: list[Pattern] = Field(default=[], description="Types of steps, such as shell.")
    tasks: list[Pattern] = Field(default=[], description="Registered functions.")
    services: list[Pattern] = []
    secrets: list[Pattern] = []
    channels: list[Pattern] = Field(default=[], description="Of notifications.")
    workflows: list[Pattern] = Field(default=[], description="Those of other namespaces, as sub-workflows.")
    events: list[Pattern] = Field(default=[], description="Types of events of other namespaces, to be emitted.")


class NetworkAccess(_Section):
    """Where steps, and webhooks that the server sends, may connect to.

    Link-local addresses and metadata services of clouds never; loopback and private networks with `allow_private`, or
    when `allow` names them. `deny` comes before everything.
    """

    allow_private: bool = True
    allow: list[Network] = []
    deny: list[Network] = []


class Security(_Section):
    """Who may do what.

    `hosts` are the names by which the server is called; on loopback those of the machine itself are known.
    `trusted_proxies` are addresses whose X-Forwarded-For is believed.
    """

    hosts: list[Host] = []
    trusted_proxies: list[Network] = []
    cors: Cors = Cors()
    rate_limits: RateLimits = RateLimits()
    max_body: int = Field(default=8 * 1024 * 1024, ge=1024, description="The largest body of a request, in bytes.")
    jwt: Jwt | None = None
    allow: list[Rule] = []
    deny: list[Rule] = []
    network: NetworkAccess = NetworkAccess()
