"""What is derived instead of drawn: digests, and randomness that a replay finds again."""

from __future__ import annotations

import hashlib


def digest(content: bytes) -> str:
    """The SHA-256 of `content`, in hexadecimal: the identity of a definition or an input."""
    return hashlib.sha256(content).hexdigest()


def derived_bytes(seed: bytes, *parts: str | int, size: int = 16) -> bytes:
    """`size` (at most 64) bytes that depend on every part and on nothing else.

    Every random choice inside an execution (a `uuid()`, a salt, the jitter of a retry) is drawn this way from the seed
    recorded when it was created, so that a replay or a recovery sees the same value.
    """
    key = "\x00".join(str(part) for part in parts).encode()
    return hashlib.blake2b(key, key=seed[:64], digest_size=size).digest()
