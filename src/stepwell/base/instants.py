"""Instants: integer microseconds since the Unix epoch, UTC, and how people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_rfc3339(instant: int) -> str:
    """`2026-11-20T10:00:00.123456Z` (the fraction is left out when it is zero)."""
    return (_EPOCH + timedelta(microseconds=instant)).isoformat().replace("+00:00", "Z")


def from_rfc3339(text: str) -> int:
    """The instant written as `text`; a time without a zone is UTC.

    Raises:
        ValueError: when `text` is not an RFC 3339 or ISO 8601 time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // timedelta(microseconds=1)
