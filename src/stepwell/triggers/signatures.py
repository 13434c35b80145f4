"""Whether a webhook comes from whom it says: signatures over the body as it was received.

    github              X-Hub-Signature-256: sha256=HEX                        over the body
    stripe              Stripe-Signature: t=SECONDS,v1=HEX                      over `SECONDS.BODY`
    slack               X-Slack-Signature: v0=HEX, X-Slack-Request-Timestamp    over `v0:SECONDS:BODY`
    standard-webhooks   webhook-id, webhook-timestamp, webhook-signature        over `ID.SECONDS.BODY`
    hmac                whatever the settings say
    token               a header that holds the secret itself

Secrets and signatures are compared in constant time. Nothing here reads a clock or the body's content.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, assert_never, get_args

import msgspec

from stepwell.base.durations import MINUTE, SECOND, format_duration, parse_duration
from stepwell.base.errors import StepwellError, UsageError
from stepwell.triggers.standard_webhooks import ID, SIGNATURE, TIMESTAMP, secret_bytes, signed_content

Scheme = Literal["github", "stripe", "slack", "standard-webhooks", "hmac", "token"]
Algorithm = Literal["sha256", "sha1", "sha512"]
Encoding = Literal["hex", "base64"]

SCHEMES: Final[tuple[str, ...]] = get_args(Scheme)
TOLERANCE: Final = 5 * MINUTE
"""How far the time in a signature may be from now, unless the settings say otherwise."""

_KEYS: Final[Mapping[str, frozenset[str]]] = {
    "github": frozenset(),
    "stripe": frozenset({"tolerance"}),
    "slack": frozenset({"tolerance"}),
    "standard-webhooks": frozenset({"tolerance"}),
    "hmac": frozenset(
        {"header", "algorithm", "encoding", "prefix", "timestamp_header", "signed", "tolerance", "id_header"}
    ),
    "token": frozenset({"header", "id_header"}),
}
_COMMON: Final = frozenset({"scheme", "secret"})
_HEADER: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}", re.ASCII)
_PLACES: Final = re.compile(r"\{(timestamp|body)\}")
_ID_HEADERS: Final[Mapping[str, str]] = {"github": "x-github-delivery", "standard-webhooks": ID}
_IDS_IN_BODY: Final[Mapping[str, str]] = {"stripe": "id", "slack": "event_id"}


class BadVerification(UsageError):
    """Settings of a verification that cannot be one. `field` is the one that is wrong."""

    code = "bad-verification"

    def __init__(self, message: str, field: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.field = field


class BadSignature(StepwellError):
    """A request that does not prove that it comes from whom it says.

    Its code is `signature-missing`, `bad-signature` or `stale-timestamp`.
    """

    code = "bad-signature"
    exit_status = 2


class Verification(msgspec.Struct, frozen=True, kw_only=True):
    """How a sender is verified.

    Attributes:
        header: that with the signature, or the token. This and the following are read for `hmac` and `token` only.
        prefix: what stands before the signature in its header, such as `sha256=`.
        timestamp_header: that with the time of signing, in seconds since the Unix epoch; None for none.
        signed: what is signed: a text with `{body}`, and `{timestamp}` where there is one.
        tolerance: how far the time of signing may be from now, in microseconds.
        id_header: that with the id of the delivery, under which a second one is known.
    """

    scheme: Scheme
    header: str = ""
    algorithm: Algorithm = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    timestamp_header: str | None = None
    signed: str = "{body}"
    tolerance: int = TOLERANCE
    id_header: str | None = None

    @property
    def id_in_body(self) -> str | None:
        """The key of the body under which the delivery's id stands, for senders that put it there."""
        return _IDS_IN_BODY.get(self.scheme)


class Verified(NamedTuple):
    """A request that was verified. `delivery` tells a second sending of it from another one; None when nothing does."""

    delivery: str | None


def verification_of(settings: Mapping[str, Any]) -> Verification:
    """The verification that the settings of a trigger say; `secret` is not looked at.

    Raises:
        BadVerification: naming the setting that is wrong.
    """
    scheme = settings.get("scheme")
    if scheme not in SCHEMES:
        message = f"there is no scheme {scheme!r}" if scheme is not None else "`scheme` is missing"
        raise BadVerification(message, "scheme", f"expected one of {', '.join(SCHEMES)}")
    for key in settings:
        if key not in _KEYS[scheme] | _COMMON:
            expected = ", ".join(sorted(_KEYS[scheme] | _COMMON))
            raise BadVerification(f"{scheme} has no setting {key!r}", key, f"expected some of {expected}")
    made = Verification(
        scheme=scheme,
        header=_header(settings, "header", is_needed=scheme in ("hmac", "token")) or "",
        algorithm=_one_of(settings, "algorithm", get_args(Algorithm)),
        encoding=_one_of(settings, "encoding", get_args(Encoding)),
        prefix=_text(settings, "prefix"),
        timestamp_header=_header(settings, "timestamp_header"),
        signed=_text(settings, "signed") or _default_signed(settings),
        tolerance=_tolerance(settings),
        id_header=_header(settings, "id_header") or _ID_HEADERS.get(scheme),
    )
    _check_signed(made)
    return made


def verify(
    verification: Verification, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: int
) -> Verified:
    """Check who sent a request.

    Args:
        secrets: those of which one signed it; several while one takes another's place.
        headers: with names in lower case.
        body: as it was received.
        now: in microseconds since the Unix epoch.

    Raises:
        BadSignature: it is not signed, not with one of these secrets, or too long ago.
    """
    match verification.scheme:
        case "github":
            _check(headers, "x-hub-signature-256", "sha256=", secrets, body)
            content = None
        case "stripe":
            content = _verify_stripe(secrets, headers, body, now, verification.tolerance)
        case "slack":
            seconds = _timestamp(headers, "x-slack-request-timestamp", now, verification.tolerance)
            content = b"v0:%s:%s" % (seconds.encode(), body)
            _check(headers, "x-slack-signature", "v0=", secrets, content)
        case "standard-webhooks":
            content = _verify_standard(secrets, headers, body, now, verification.tolerance)
        case "hmac":
            content = _verify_hmac(verification, secrets, headers, body, now)
        case "token":
            _check_token(_needed(headers, verification.header), secrets)
            content = None
        case _:
            assert_never(verification.scheme)
    return Verified(_delivery(verification, headers, content))


def _verify_stripe(secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: int, tolerance: int) -> bytes:
    parts = [part.strip().partition("=") for part in _needed(headers, "stripe-signature").split(",")]
    seconds = next((value for key, _, value in parts if key == "t"), "")
    _check_time(seconds, "the time in stripe-signature", now, tolerance)
    content = b"%s.%s" % (seconds.encode(), body)
    given = [value for key, _, value in parts if key == "v1"]
    _check_any(given, secrets, content, "stripe-signature")
    return content


def _verify_standard(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: int, tolerance: int
) -> bytes:
    id_ = _needed(headers, ID)
    seconds = _timestamp(headers, TIMESTAMP, now, tolerance)
    content = signed_content(id_, seconds, body)
    given = [value.removeprefix("v1,") for value in _needed(headers, SIGNATURE).split() if value.startswith("v1,")]
    expected = [base64.b64encode(_digest(secret_bytes(secret), content, "sha256")) for secret in secrets]
    if not _is_one_of(given, expected):
        raise _bad(SIGNATURE)
    return content


def _verify_hmac(
    verification: Verification, secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: int
) -> bytes | None:
    seconds = ""
    if verification.timestamp_header is not None:
        seconds = _timestamp(headers, verification.timestamp_header, now, verification.tolerance)
    content = b"".join(_filled(verification.signed, seconds.encode(), body))
    _check(
        headers,
        verification.header,
        verification.prefix,
        secrets,
        content,
        verification.algorithm,
        verification.encoding,
    )
    return content if seconds else None


def _filled(signed: str, seconds: bytes, body: bytes) -> Iterator[bytes]:
    """What is signed, in parts: the body may hold braces itself."""
    for part in re.split(r"(\{timestamp\}|\{body\})", signed):
        yield {"{timestamp}": seconds, "{body}": body}.get(part, part.encode())


def _delivery(verification: Verification, headers: Mapping[str, str], content: bytes | None) -> str | None:
    """The id of the delivery: as its header says; otherwise what was signed, when a time is in it: sent again later, it
    would have been signed anew."""
    named = headers.get(verification.id_header.lower(), "") if verification.id_header is not None else ""
    if named:
        return named
    return hashlib.sha256(content).hexdigest() if content is not None else None


def _check(
    headers: Mapping[str, str],
    name: str,
    prefix: str,
    secrets: Sequence[str],
    content: bytes,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
) -> None:
    given = _needed(headers, name)
    if not given.startswith(prefix):
        raise _bad(name)
    _check_any([given.removeprefix(prefix)], secrets, content, name, algorithm, encoding)


def _check_any(
    given: Sequence[str],
    secrets: Sequence[str],
    content: bytes,
    name: str,
    algorithm: Algorithm = "sha256",
    encoding: Encoding = "hex",
) -> None:
    digests = [_digest(secret.encode(), content, algorithm) for secret in secrets]
    if encoding == "hex":
        expected, given = [digest.hex().encode() for digest in digests], [each.lower() for each in given]
    else:
        expected = [base64.b64encode(digest) for digest in digests]
    if not _is_one_of(given, expected):
        raise _bad(name)


def _check_token(given: str, secrets: Sequence[str]) -> None:
    if not _is_one_of([given], [secret.encode() for secret in secrets]):
        raise BadSignature("the token is not the one that was agreed on")


def _is_one_of(given: Sequence[str], expected: Sequence[bytes]) -> bool:
    """Whether one is among the others; all are compared, each in constant time."""
    found = False
    for each in given[:10]:
        encoded = each.encode(errors="surrogateescape")
        for wanted in expected:
            found |= hmac.compare_digest(encoded, wanted)
    return found


def _digest(secret: bytes, content: bytes, algorithm: Algorithm) -> bytes:
    return hmac.digest(secret, content, algorithm)


def _needed(headers: Mapping[str, str], name: str) -> str:
    value = headers.get(name.lower(), "")
    if not value:
        raise BadSignature(f"the header {name} is missing", code="signature-missing")
    return value


def _timestamp(headers: Mapping[str, str], name: str, now: int, tolerance: int) -> str:
    seconds = _needed(headers, name)
    _check_time(seconds, name, now, tolerance)
    return seconds


def _check_time(seconds: str, where: str, now: int, tolerance: int) -> None:
    if not re.fullmatch(r"[0-9]{1,12}", seconds, re.ASCII):
        raise BadSignature(f"{where} is not a time in seconds since 1970", code="stale-timestamp")
    if abs(int(seconds) * SECOND - now) > tolerance + SECOND:
        raise BadSignature(f"{where} is more than {format_duration(tolerance)} from now", code="stale-timestamp")


def _bad(name: str) -> BadSignature:
    return BadSignature(f"the signature in {name} is not right for this body and the secret that was agreed on")


# Settings


def _header(settings: Mapping[str, Any], key: str, *, is_needed: bool = False) -> str | None:
    name = settings.get(key)
    if name is None and not is_needed:
        return None
    if not isinstance(name, str) or not _HEADER.fullmatch(name):
        message = f"`{key}` is missing" if name is None else f"{name!r} is not the name of a header"
        raise BadVerification(message, key, "such as X-Signature")
    return name


def _text(settings: Mapping[str, Any], key: str) -> str:
    text = settings.get(key, "")
    if not isinstance(text, str):
        raise BadVerification(f"`{key}` is a text, saw {text!r}", key)
    return text


def _one_of(settings: Mapping[str, Any], key: str, allowed: tuple[Any, ...]) -> Any:
    value = settings.get(key, allowed[0])
    if value not in allowed:
        raise BadVerification(f"{value!r} is no {key}", key, f"expected one of {', '.join(allowed)}")
    return value


def _tolerance(settings: Mapping[str, Any]) -> int:
    try:
        return parse_duration(settings.get("tolerance", TOLERANCE // SECOND))
    except ValueError as error:
        raise BadVerification(str(error), "tolerance") from None


def _default_signed(settings: Mapping[str, Any]) -> str:
    return "{timestamp}.{body}" if settings.get("timestamp_header") is not None else "{body}"


def _check_signed(made: Verification) -> None:
    places = _PLACES.findall(made.signed)
    if "body" not in places:
        raise BadVerification("`signed` does not contain {body}", "signed")
    if ("timestamp" in places) != (made.timestamp_header is not None):
        raise BadVerification("{timestamp} in `signed`, and `timestamp_header`, go together", "signed")


def secret_problem(verification: Verification, secret: str) -> str | None:
    """Why a secret cannot be used with the scheme, or None."""
    if verification.scheme != "standard-webhooks":
        return None if secret else "it is empty"
    try:
        secret_bytes(secret)
    except (ValueError, binascii.Error):
        return "it is not a secret of Standard Webhooks: whsec_ and base64"
    return None
