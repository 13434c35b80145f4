"""Cursors of lists: where the next part begins, as text."""

from __future__ import annotations

import re
from typing import Final

from stepwell.base.errors import UsageError
from stepwell.ports import ExecutionQuery

START: Final = (2**63 - 1, 2**63 - 1)
"""Before everything, in a list that shows the newest first."""
_CURSOR: Final = re.compile(r"(-?[0-9]{1,18})\.([0-9]{1,18})")


def cursor_of(created_at: int, key: int) -> str:
    """The cursor behind the execution with this key."""
    return f"{created_at}.{key}"


def place_of(query: ExecutionQuery) -> tuple[int, int]:
    """(created_at, key) of the execution behind which the list goes on.

    Raises:
        UsageError: the cursor is none, or the limit is not positive.
    """
    if query.limit < 1:
        raise UsageError(f"a list of {query.limit} executions cannot be given; the limit is 1 or more")
    if query.cursor is None:
        return START
    match = _CURSOR.fullmatch(query.cursor)
    if match is None:
        raise UsageError(
            f"{query.cursor!r} is not a cursor",
            code="invalid-cursor",
            hint="take the one that the list before this one returned as `next`",
        )
    return int(match[1]), int(match[2])
