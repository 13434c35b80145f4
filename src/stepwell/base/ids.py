"""Ids that must be unguessable and unique."""

from __future__ import annotations

import uuid


def new_execution_id() -> str:
    """A random execution id (UUID version 4, lower case with hyphens)."""
    return str(uuid.uuid4())
