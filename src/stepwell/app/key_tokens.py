"""The form of API keys: `stepwell_ID_SECRET`, whose last six characters are a checksum.

The checksum tells a mistyped key from a wrong one without asking the store, and lets scanners of source code recognise
a key that was left somewhere. It proves nothing.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import re
import secrets
import string
from typing import Final, NamedTuple

PREFIX: Final = "stepwell_"
ID_LENGTH: Final = 12
SECRET_LENGTH: Final = 32
"""Characters of 62 kinds: 190 bits, so that a plain digest of it cannot be tried out."""

_ID_LETTERS: Final = string.ascii_lowercase + string.digits
_LETTERS: Final = string.ascii_letters + string.digits
_CHECKSUM_LENGTH: Final = 6
_FORM: Final = re.compile(
    rf"{PREFIX}(?P<id>[a-z0-9]{{{ID_LENGTH}}})_(?P<secret>[A-Za-z0-9]{{{SECRET_LENGTH}}})"
    rf"(?P<checksum>[A-Za-z0-9]{{{_CHECKSUM_LENGTH}}})",
    re.ASCII,
)


class KeyToken(NamedTuple):
    """An API key as its owner has it."""

    id: str
    secret: str

    @property
    def text(self) -> str:
        """What is shown once, and sent with each request."""
        body = f"{PREFIX}{self.id}_{self.secret}"
        return body + _checksum(body)

    @property
    def digest(self) -> bytes:
        """What is kept of the secret: its SHA-256."""
        return hashlib.sha256(self.secret.encode()).digest()

    def proves(self, digest: bytes) -> bool:
        """Whether this is the secret of that digest; takes equally long whatever the answer."""
        return hmac.compare_digest(self.digest, digest)


def new_token() -> KeyToken:
    """A key that nobody has."""
    return KeyToken(_drawn(_ID_LETTERS, ID_LENGTH), _drawn(_LETTERS, SECRET_LENGTH))


def looks_like_key(text: str) -> bool:
    """Whether it is meant to be an API key, rightly written or not."""
    return text.startswith(PREFIX)


def read_token(text: str) -> KeyToken | None:
    """The key that is written so; None when it is mistyped or cut off."""
    match = _FORM.fullmatch(text)
    if match is None or not hmac.compare_digest(_checksum(text[:-_CHECKSUM_LENGTH]), match["checksum"]):
        return None
    return KeyToken(match["id"], match["secret"])


def _drawn(letters: str, length: int) -> str:
    return "".join(secrets.choice(letters) for _ in range(length))


def _checksum(body: str) -> str:
    number, written = binascii.crc32(body.encode()), ""
    while len(written) < _CHECKSUM_LENGTH:
        number, digit = divmod(number, len(_LETTERS))
        written += _LETTERS[digit]
    return written
