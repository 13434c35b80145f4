"""Tokens of an issuer: what is accepted, and everything that is not."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.app.access import Caller, Unauthenticated
from stepwell.app.configuration import configuration_from
from stepwell.app.security import tokens_of
from stepwell.app.security_sections import Jwt
from stepwell.app.signing_keys import LOOK_AGAIN_AFTER, KeysUnavailable, keys_of
from stepwell.app.tokens import Tokens
from stepwell.base.durations import HOUR, SECOND
from stepwell.base.errors import ConfigurationError
from stepwell.services.secrets import EnvironmentSecrets
from tests.tasks.servers import Server
from tests.virtual_clock import START, VirtualClock

ISSUER, AUDIENCE = "https://issuer.example.com", "stepwell"
NOW = START // SECOND
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER = rsa.generate_private_key(public_exponent=65537, key_size=2048)
CURVE = ec.generate_private_key(ec.SECP256R1())
EDWARDS = Ed25519PrivateKey.generate()
SHARED = "s" * 32
SECRETS = EnvironmentSecrets({"STEPWELL_SECRET_JWT": SHARED, "STEPWELL_SECRET_SHORT": "hunter2"})


def jwk(key: Any, algorithm: str, **more: Any) -> dict[str, Any]:
    kind = {"RS256": jwt.algorithms.RSAAlgorithm, "ES256": jwt.algorithms.ECAlgorithm}
    made = kind.get(algorithm, jwt.algorithms.OKPAlgorithm).to_jwk(key.public_key())  # type: ignore[attr-defined]
    return {**json.loads(made), **more}


def signed(key: Any = RSA, algorithm: str = "RS256", kid: str | None = "r1", **claims: Any) -> str:
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 60, "role": "developer", **claims}
    kept = {name: value for name, value in given.items() if value is not None}
    return jwt.encode(kept, key, algorithm, headers={"kid": kid} if kid is not None else None)


def part(content: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=").decode()


def section(**values: Any) -> Jwt:
    given = {"issuer": ISSUER, "audience": AUDIENCE, **values}
    found = configuration_from({"security": {"jwt": given}}).security.jwt
    assert found is not None
    return found


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    file = tmp_path / "jwks.json"
    given = [jwk(RSA, "RS256", kid="r1"), jwk(CURVE, "ES256", kid="e1"), jwk(EDWARDS, "EdDSA", kid="d1")]
    file.write_text(json.dumps({"keys": given}))
    return file


@pytest.fixture
def tokens(keys: Path, clock: VirtualClock) -> Tokens:
    return tokens_of(section(jwks_file=str(keys)), clock, SECRETS)


async def refused(tokens: Tokens, text: str) -> Unauthenticated:
    with pytest.raises(Unauthenticated) as raised:
        await tokens.authenticate(text)
    return raised.value


@pytest.mark.parametrize(
    ("key", "algorithm", "kid"), [(RSA, "RS256", "r1"), (CURVE, "ES256", "e1"), (EDWARDS, "EdDSA", "d1")]
)
async def test_a_token_proves_who_calls(tokens: Tokens, key: Any, algorithm: str, kid: str) -> None:
    caller = await tokens.authenticate(signed(key, algorithm, kid))
    assert caller == Caller(name="ada", role="developer", namespaces=frozenset({"default"}), proof="token", id="ada")


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - 31}, "has expired"),
        ({"exp": None}, "says nothing about exp"),
        ({"exp": "soon"}, "exp is not a time"),
        ({"exp": 1e300}, "exp is not a time"),
        ({"exp": True}, "exp is not a time"),
        ({"nbf": NOW + 31}, "not good yet (nbf)"),
        ({"iat": NOW + 31}, "not good yet (iat)"),
        ({"iss": "https://elsewhere.example.com"}, "another issuer"),
        ({"iss": None}, "says nothing about iss"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": "somebody"}, "somebody else"),
        ({"aud": None}, "says nothing about aud"),
        ({"role": None}, "gives no role"),
        ({"role": "root"}, "gives no role"),
        ({"role": {"admin": True}}, "gives no role"),
        ({"sub": None}, "is not a name"),
        ({"sub": ""}, "is not a name"),
        ({"sub": "a\nb"}, "is not a name"),
        ({"sub": "x" * 300}, "is not a name"),
    ],
)
async def test_what_it_says_must_be_right(tokens: Tokens, claims: dict[str, Any], reason: str) -> None:
    error = await refused(tokens, _signed_anyhow(claims))
    assert reason in error.message
    assert error.code == ("token-expired" if "expired" in reason else "invalid-token")


def _signed_anyhow(claims: dict[str, Any]) -> str:
    """Also what the library would not encode."""
    given = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 60, "role": "developer", **claims}
    kept = {name: value for name, value in given.items() if value is not None}
    return jwt.PyJWS().encode(json.dumps(kept).encode(), RSA, "RS256", headers={"kid": "r1", "typ": "JWT"})


async def test_within_the_leeway_clocks_may_differ(tokens: Tokens) -> None:
    await tokens.authenticate(signed(exp=NOW - 29))
    await tokens.authenticate(signed(nbf=NOW + 29))


async def test_a_token_of_another_key_is_refused(tokens: Tokens) -> None:
    assert "signature" in (await refused(tokens, signed(OTHER))).message
    assert "not signed with a key of the issuer" in (await refused(tokens, signed(OTHER, kid="x"))).message


async def test_a_token_without_a_signature_is_refused(tokens: Tokens) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 60, "role": "admin"}
    for algorithm in ("none", "None", "NONE", "", None):
        text = f"{part({'alg': algorithm, 'typ': 'JWT', 'kid': 'r1'})}.{part(claims)}."
        assert (await refused(tokens, text)).code == "invalid-token"


async def test_the_public_key_is_no_shared_secret(tokens: Tokens) -> None:
    """Algorithm confusion: everybody has the public key, and could sign with it as if it were a secret."""
    public = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    signing = f"{part({'alg': 'HS256', 'kid': 'r1'})}.{part({'iss': ISSUER, 'aud': AUDIENCE, 'exp': NOW + 60})}"
    signature = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    made = base64.urlsafe_b64encode(__import__("hmac").digest(public, signing.encode(), signature.hash_alg)).rstrip(
        b"="
    )
    assert "HS256" in (await refused(tokens, f"{signing}.{made.decode()}")).message


async def test_a_key_of_one_kind_is_not_used_for_another(tokens: Tokens) -> None:
    assert (await refused(tokens, signed(CURVE, "ES256", "r1"))).code == "invalid-token"


async def test_a_key_in_the_token_itself_is_not_used(tokens: Tokens) -> None:
    text = jwt.encode(
        {"iss": ISSUER, "aud": AUDIENCE, "sub": "eve", "exp": NOW + 60, "role": "admin"},
        OTHER,
        "RS256",
        headers={"kid": "r1", "jwk": jwk(OTHER, "RS256"), "jku": "https://eve.example.com/keys"},
    )
    assert (await refused(tokens, text)).code == "invalid-token"


async def test_unknown_extensions_are_refused(tokens: Tokens) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "exp": NOW + 60, "role": "admin"}
    text = jwt.encode(claims, RSA, "RS256", headers={"kid": "r1", "crit": ["x"], "x": 1})
    assert (await refused(tokens, text)).code == "invalid-token"


async def test_without_a_kid_only_the_one_key_that_fits_can_be_meant(tokens: Tokens, clock: VirtualClock) -> None:
    await tokens.authenticate(signed(kid=None))
    tokens._source._keys = keys_of({"keys": [jwk(RSA, "RS256"), jwk(OTHER, "RS256")]}, "x")  # type: ignore[attr-defined]
    assert "kid" in (await refused(tokens, signed(kid=None))).message


async def test_an_oversize_token_is_not_looked_at(tokens: Tokens) -> None:
    assert "longer than" in (await refused(tokens, signed(more="x" * 9_000))).message


@settings(max_examples=300, deadline=None)
@given(
    st.one_of(st.text(max_size=200), st.from_regex(r"[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}\.[A-Za-z0-9_-]{0,60}"))
)
async def test_no_text_is_taken_for_a_token(text: str) -> None:
    tokens = tokens_of(section(secret="{{ secrets.JWT }}"), VirtualClock(), SECRETS)
    assert (await refused(tokens, text)).code == "invalid-token"


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
)


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "zip", "jwk"]), _JSON),
    st.dictionaries(st.sampled_from(["iss", "aud", "exp", "nbf", "iat", "sub", "role", "namespaces"]), _JSON) | _JSON,
    st.booleans(),
)
async def test_whatever_stands_in_a_token_it_is_refused_and_nothing_breaks(
    header: dict[str, Any], claims: Any, is_signed: bool
) -> None:
    tokens = tokens_of(section(secret="{{ secrets.JWT }}"), VirtualClock(), SECRETS)
    text = f"{part({'alg': 'HS256', **header})}.{part(claims)}.AAAA"
    if is_signed:
        text = jwt.PyJWS().encode(json.dumps(claims).encode(), SHARED, "HS256")
    with pytest.raises(Unauthenticated):
        await tokens.authenticate(text)


async def test_with_a_shared_secret_only_it_counts(clock: VirtualClock) -> None:
    tokens = tokens_of(section(secret="{{ secrets.JWT }}"), clock, SECRETS)
    assert (await tokens.authenticate(signed(SHARED, "HS256", None))).name == "ada"
    assert "signature" in (await refused(tokens, signed("t" * 32, "HS256", None))).message
    assert "RS256" in (await refused(tokens, signed())).message


@pytest.mark.parametrize(
    ("values", "claims", "role", "namespaces"),
    [
        ({}, {"role": ["viewer", "admin", "x"]}, "admin", {"default"}),
        ({}, {"namespaces": "payments billing"}, "developer", {"payments", "billing"}),
        ({}, {"namespaces": ["payments", "a.b", 7]}, "developer", {"payments"}),
        ({}, {"namespaces": []}, "developer", set()),
        ({}, {"namespaces": "*"}, "developer", None),
        ({"namespaces": ["*"]}, {}, "developer", None),
        ({"role": "viewer"}, {"role": None}, "viewer", {"default"}),
        ({"role": "viewer"}, {"role": "developer"}, "developer", {"default"}),
        ({"roles": {"ops": "operator"}}, {"role": "ops"}, "operator", {"default"}),
        ({"claims": {"role": "realm.roles"}}, {"realm": {"roles": ["operator"]}}, "operator", {"default"}),
        ({"claims": {"role": "https://x.example/role"}}, {"https://x.example/role": "admin"}, "admin", {"default"}),
    ],
)
async def test_what_a_token_gives(
    clock: VirtualClock, values: dict[str, Any], claims: dict[str, Any], role: str, namespaces: set[str] | None
) -> None:
    tokens = tokens_of(section(secret="{{ secrets.JWT }}", **values), clock, SECRETS)
    caller = await tokens.authenticate(signed(SHARED, "HS256", None, **claims))
    assert (caller.role, caller.namespaces) == (role, namespaces)


async def test_with_names_of_groups_the_names_of_roles_give_nothing(clock: VirtualClock) -> None:
    tokens = tokens_of(section(secret="{{ secrets.JWT }}", roles={"ops": "operator"}), clock, SECRETS)
    assert "gives no role" in (await refused(tokens, signed(SHARED, "HS256", None, role="admin"))).message


@pytest.mark.parametrize(
    "values",
    [
        {"issuer": "http://issuer.example.com"},
        {"jwks_url": "http://issuer.example.com/keys"},
        {"secret": "{{ secrets.JWT }}", "jwks_file": "x"},
        {"secret": "{{ secrets.JWT }}", "algorithms": ["RS256"]},
        {"jwks_file": "x", "algorithms": ["HS256"]},
        {"jwks_file": "x", "algorithms": ["none"]},
        {"jwks_file": "x", "audience": []},
        {"jwks_file": "x", "leewai": "1s"},
    ],
)
def test_a_configuration_that_is_not_safe_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        section(**values)


@pytest.mark.parametrize(
    "secret", ["plain text", "{{ secrets.MISSING }}", "{{ secrets.SHORT }}", "{{ input.x }}", "{{"]
)
def test_a_secret_that_is_none_is_refused(secret: str, clock: VirtualClock) -> None:
    with pytest.raises(ConfigurationError) as raised:
        tokens_of(section(secret=secret), clock, SECRETS)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}'])
def test_a_file_without_a_public_key_is_refused(tmp_path: Path, content: str, clock: VirtualClock) -> None:
    file = tmp_path / "keys.json"
    file.write_text(content)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        tokens_of(section(jwks_file=str(file)), clock, SECRETS)


def test_keys_that_are_not_for_signatures_are_left_out() -> None:
    found = keys_of({"keys": [jwk(RSA, "RS256", kid="a", use="enc"), jwk(RSA, "RS256", kid="b", use="sig"), 7]}, "x")
    assert [key.id for key in found] == ["b"]


class Issuer:
    """An issuer of tokens on loopback."""

    def __init__(self) -> None:
        self.keys: list[dict[str, Any]] = [jwk(RSA, "RS256", kid="r1")]
        self.named: str | None = None
        self.status = 200
        self.server = Server(self.answer)

    @property
    def url(self) -> str:
        return self.server.url

    async def answer(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/.well-known/openid-configuration":
            return web.json_response({"issuer": self.named or self.url, "jwks_uri": f"{self.url}/keys"})
        return web.json_response({"keys": self.keys}, status=self.status)

    def fetched(self, path: str = "/keys") -> int:
        return sum(seen.path == path for seen in self.server.seen)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    made = Issuer()
    await made.server.start()
    yield made
    await made.server.stop()


async def test_the_issuer_says_where_its_keys_are_and_they_are_kept(issuer: Issuer, clock: VirtualClock) -> None:
    tokens = tokens_of(section(issuer=issuer.url), clock, SECRETS)
    for _ in range(5):
        assert (await tokens.authenticate(signed(iss=issuer.url))).name == "ada"
    assert issuer.fetched() == 1


async def test_a_new_key_is_found_and_unknown_ones_do_not_make_it_look_again_and_again(
    issuer: Issuer, clock: VirtualClock
) -> None:
    tokens = tokens_of(section(issuer=issuer.url, jwks_url=f"{issuer.url}/keys"), clock, SECRETS)
    await tokens.authenticate(signed(iss=issuer.url))
    issuer.keys.append(jwk(OTHER, "RS256", kid="r2"))
    for number in range(20):
        await refused(tokens, signed(OTHER, kid=f"x{number}", iss=issuer.url))
    assert issuer.fetched() == 1
    clock.set(clock.now() + LOOK_AGAIN_AFTER)
    await tokens.authenticate(signed(OTHER, kid="r2", iss=issuer.url, exp=NOW + 600))
    assert issuer.fetched() == 2


async def test_a_key_that_was_taken_back_is_refused_after_an_hour(issuer: Issuer, clock: VirtualClock) -> None:
    tokens = tokens_of(section(issuer=issuer.url), clock, SECRETS)
    text = signed(iss=issuer.url, exp=NOW + 7_200)
    await tokens.authenticate(text)
    issuer.keys[:] = [jwk(OTHER, "RS256", kid="r2")]
    clock.set(clock.now() + HOUR)
    assert "not signed with a key" in (await refused(tokens, text)).message


async def test_while_the_issuer_is_away_known_keys_stay_good(issuer: Issuer, clock: VirtualClock) -> None:
    tokens = tokens_of(section(issuer=issuer.url), clock, SECRETS)
    text = signed(iss=issuer.url, exp=NOW + 7_200)
    await tokens.authenticate(text)
    issuer.status = 500
    clock.set(clock.now() + HOUR)
    assert (await tokens.authenticate(text)).name == "ada"


async def test_without_keys_nobody_is_let_in_and_it_is_said_why(issuer: Issuer, clock: VirtualClock) -> None:
    issuer.status = 500
    tokens = tokens_of(section(issuer=issuer.url), clock, SECRETS)
    for _ in range(3):
        with pytest.raises(KeysUnavailable):
            await tokens.authenticate(signed(iss=issuer.url))
    assert issuer.fetched() == 1


async def test_the_discovery_of_another_issuer_is_not_believed(issuer: Issuer, clock: VirtualClock) -> None:
    issuer.named = "https://elsewhere.example.com"
    tokens = tokens_of(section(issuer=issuer.url), clock, SECRETS)
    with pytest.raises(KeysUnavailable):
        await tokens.authenticate(signed(iss=issuer.url))
    assert issuer.fetched() == 0


async def test_whoever_comes_while_the_keys_are_fetched_for_the_first_time_waits_for_them(
    issuer: Issuer, clock: VirtualClock
) -> None:
    tokens = tokens_of(section(issuer=issuer.url), clock, SECRETS)
    callers = await asyncio.gather(*(tokens.authenticate(signed(iss=issuer.url)) for _ in range(5)))
    assert {caller.name for caller in callers} == {"ada"}
    assert issuer.fetched() == 1
