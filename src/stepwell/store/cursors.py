"""Cursors of lists: where the next part begins, as text."""

from __future__ import annotations

import re
from typing import Final

from stepwell.base.errors import UsageError
from stepwell.ports.listings import DeadLetterQuery, ExecutionQuery

START: Final = (2**63 - 1, 2**63 - 1)
"""Before everything, in a list that shows the newest first."""
LAST: Final = 2**63 - 1
"""Behind every number, in a list that shows the highest first."""
_NUMBER: Final = re.compile(r"[0-9]{1,18}", re.ASCII)
_CURSOR: Final = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})")


def cursor_of(created_at: int, key: int) -> str:
    """The cursor behind the execution with this key."""
    return f"{created_at}.{key}"


def place_of(query: ExecutionQuery) -> tuple[int, int]:
    """(created_at, key) of the execution behind which the list goes on.

    Raises:
        UsageError: the cursor is none, or the limit is not positive.
    """
    check_limit(query.limit, "executions")
    if query.cursor is None:
        return START
    match = _CURSOR.fullmatch(query.cursor)
    if match is None:
        raise _no_cursor(query.cursor)
    return int(match[1]), int(match[2])


def number_of(query: DeadLetterQuery) -> int:
    """The number of the dead letter behind which the list goes on; as a cursor it is its own text.

    Raises:
        UsageError: the cursor is none, or the limit is not positive.
    """
    check_limit(query.limit, "dead letters")
    if query.cursor is None:
        return LAST
    if not _NUMBER.fullmatch(query.cursor):
        raise _no_cursor(query.cursor)
    return int(query.cursor)


def wait_cursor_of(key: int, step: str) -> str:
    """The cursor behind the wait of this step of the execution with this key."""
    return f"{key}.{step}"


def wait_place_of(limit: int, cursor: str | None) -> tuple[int, str]:
    """(key, step) of the wait behind which the list goes on.

    Raises:
        UsageError: the cursor is none, or the limit is not positive.
    """
    check_limit(limit, "waits")
    if cursor is None:
        return 0, ""
    key, dot, step = cursor.partition(".")
    if not (dot and _NUMBER.fullmatch(key)):
        raise _no_cursor(cursor)
    return int(key), step


def check_limit(limit: int, what: str) -> None:
    """Raises: UsageError: the limit is not positive."""
    if limit < 1:
        raise UsageError(f"a list of {limit} {what} cannot be given; the limit is 1 or more")


def _no_cursor(text: str) -> UsageError:
    return UsageError(
        f"{text!r} is not a cursor",
        code="invalid-cursor",
        hint="take the one that the list before this one returned as `next`",
    )
