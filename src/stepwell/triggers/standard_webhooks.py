"""Webhooks that are signed as Standard Webhooks says (standardwebhooks.com).

Three headers: the id of the message, which stays the same when it is sent again; when this sending was signed; and the
signatures of `ID.SECONDS.BODY`, one for each secret, with a space between them.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from stepwell.base.durations import SECOND

ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"
PREFIX: Final = "whsec_"

SECRET_BYTES: Final = 32
LEAST_BYTES, MOST_BYTES = 24, 64


def new_secret(random: bytes) -> str:
    """A secret made of random bytes (`SECRET_BYTES` of them)."""
    return PREFIX + base64.b64encode(random).decode()


def secret_bytes(secret: str) -> bytes:
    """The key that a secret stands for.

    Raises:
        ValueError: it is not base64, or of another length than 24 to 64 bytes.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret is {PREFIX} and base64") from None
    if not LEAST_BYTES <= len(key) <= MOST_BYTES:
        raise ValueError(f"a secret has {LEAST_BYTES} to {MOST_BYTES} bytes, and this one {len(key)}")
    return key


def signed_content(id_: str, seconds: str, body: bytes) -> bytes:
    """What is signed."""
    return b"%s.%s.%s" % (id_.encode(), seconds.encode(), body)


def signed_headers(id_: str, body: bytes, secrets: Sequence[str], now: int) -> Mapping[str, str]:
    """The headers of a message.

    Args:
        secrets: those to sign with; several while one takes another's place.
        now: in microseconds since the Unix epoch.
    """
    seconds = str(now // SECOND)
    content = signed_content(id_, seconds, body)
    signatures = [base64.b64encode(hmac.digest(secret_bytes(each), content, "sha256")).decode() for each in secrets]
    return {ID: id_, TIMESTAMP: seconds, SIGNATURE: " ".join(f"v1,{each}" for each in signatures)}
