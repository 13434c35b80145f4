"""One statement for many rows.

Every step of a statement gives Python's interpreter lock up and has to win it back. That takes long while the event
loop is busy, and stops the loop for as long as two threads take to wake up. So rows are written with as few statements
as possible: `VALUES (?, ?), (?, ?), ...` in sizes that are powers of two, each of which SQLite compiles once. What is
left of a size is filled with rows of NULL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw

from stepwell.store.statements import load_statements

_LONGEST_TEXT: Final = 16_000
"""In characters: apsw keeps no longer statement compiled."""
_ROW: Final = re.compile(r"(?<=VALUES )\((?:\?, )*\?\)")
_PLAIN_INSERT: Final = re.compile(r"(INSERT [^)]*\)\s*)VALUES (\((?:\?, )*\?\))")

SQL: Final[Mapping[str, str]] = load_statements("sqlite")
"""The SQLite store's statements, by name."""


def select(
    connection: apsw.Connection, name: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """All rows that the statement of this name gives."""
    return connection.execute(SQL[name], values).fetchall()


class RowStatement:
    """A statement with `VALUES (?, ...)` in it, to be run for any number of rows at once.

    Rows of NULL must change nothing; an `INSERT ... VALUES` leaves them out. Other parameters come after the rows.

    Attributes:
        largest: the most rows that are written with one statement.
    """

    def __init__(self, name: str) -> None:
        self._text = _PLAIN_INSERT.sub(r"\1SELECT * FROM (VALUES \2) WHERE column1 IS NOT NULL", SQL[name])
        row = _ROW.search(self._text)
        assert row is not None, f"the statement {name} has no VALUES (?, ...)"
        self._start, self._end = row.span()
        self._width = row.group().count("?")
        self._row = "(" + ",".join("?" * self._width) + ")"
        most = (_LONGEST_TEXT - len(self._text)) // (len(self._row) + 1)
        self.largest = 1 << (most.bit_length() - 1)
        self._sizes: dict[int, str] = {}

    def run(self, connection: apsw.Connection, values: Sequence[Any], others: Sequence[Any] = ()) -> int:
        """Run it for the rows whose values stand in `values` one after another; returns how many rows it changed."""
        changed, at_once = 0, self.largest * self._width
        for position in range(0, len(values), at_once):
            part = values[position : position + at_once]
            size = 1 << (len(part) // self._width - 1).bit_length()
            missing = size * self._width - len(part)
            connection.execute(self._for(size), (*part, *(None,) * missing, *others))
            changed += connection.changes()
        return changed

    def _for(self, rows: int) -> str:
        text = self._sizes.get(rows)
        if text is None:
            text = self._text[: self._start] + ",".join([self._row] * rows) + self._text[self._end :]
            self._sizes[rows] = text
        return text
