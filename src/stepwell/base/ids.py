"""Ids that must be unguessable and unique."""

from __future__ import annotations


def execution_id(random: bytes) -> str:
    """An execution id (UUID version 4 as in RFC 9562, lower case with hyphens) of 16 random bytes."""
    number = int.from_bytes(random[:16]) & _FREE | _VERSION_4
    digits = f"{number:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


_FREE = ~((0xF << 76) | (0x3 << 62))
_VERSION_4 = (0x4 << 76) | (0x2 << 62)
