"""A chain of hashes over entries that only grow: whoever changes, drops or reorders one is found out."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

ORIGIN: Final = bytes(32)
"""What stands before the first entry."""


def link(before: bytes, kind: str, subject: str, at: int, body: str) -> bytes:
    """The hash (SHA-256) of an entry, given that of the entry before it, or `ORIGIN`.

    Every part is preceded by its length, so that no two entries are written alike.
    """
    hashed = sha256(before)
    for part in (kind.encode(), subject.encode(), str(at).encode(), body.encode()):
        hashed.update(len(part).to_bytes(8, "big"))
        hashed.update(part)
    return hashed.digest()
