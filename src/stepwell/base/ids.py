"""Ids that must be unguessable and unique."""

from __future__ import annotations

import uuid


def execution_id(random: bytes) -> str:
    """An execution id (UUID version 4, lower case with hyphens) of 16 random bytes."""
    return str(uuid.UUID(bytes=random, version=4))
