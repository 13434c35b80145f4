"""The PostgreSQL store's statements, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from stepwell.store.statements import load_statements

SQL: Final[Mapping[str, str]] = load_statements("postgres")


def columns(rows: Sequence[Sequence[Any]]) -> Sequence[Sequence[Any]]:
    """What `unnest` makes these rows of, of which there is at least one: an array for each column."""
    return list(zip(*rows, strict=True))


def count_of(tag: str) -> int:
    """How many rows a command changed, by what it answered: `DELETE 5`."""
    return int(tag.rpartition(" ")[2])
