"""Cursors of lists that are put together here rather than in the store: opaque text that says where a list goes on."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from stepwell.base.errors import UsageError

T = TypeVar("T")

_encode = msgspec.json.Encoder().encode


def cursor_of(*place: str | int) -> str:
    """The cursor of a place."""
    return base64.urlsafe_b64encode(_encode(place)).decode().rstrip("=")


def place_in(cursor: str, *kinds: type[str] | type[int]) -> tuple[Any, ...]:
    """The place that a cursor says, which has parts of these kinds.

    Raises:
        UsageError: (code `invalid-cursor`) it is not one that a list returned.
    """
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        place = msgspec.json.decode(base64.b64decode(padded, b"-_", validate=True))
    except (binascii.Error, ValueError, msgspec.DecodeError, RecursionError):
        raise invalid_cursor(cursor) from None
    if not isinstance(place, list) or [type(part) for part in place] != list(kinds):
        raise invalid_cursor(cursor)
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in place):
        raise invalid_cursor(cursor)  # no store has such a number
    return tuple(place)


def invalid_cursor(cursor: str) -> UsageError:
    """What is raised for a cursor that is none."""
    return UsageError(
        f"{cursor[:100]!r} is not a cursor",
        code="invalid-cursor",
        hint="take the one that the list before this one returned as `next`",
    )


def page_of(items: Sequence[T], limit: int, shown: Callable[[T], Any], after: int = 0) -> dict[str, Any]:
    """A page of what is all in memory: `{"items": [...], "next": cursor or null}`; `after` so many items."""
    end = after + limit
    next_ = cursor_of(end) if end < len(items) else None
    return {"items": [shown(item) for item in items[after:end]], "next": next_}
