"""One statement for many rows.

Every step of a statement gives Python's interpreter lock up and has to win it back, which takes long while the event
loop is busy. So rows are written with as few statements as possible: `VALUES (?, ?), (?, ?), ...` in sizes that are
powers of two, each of which SQLite compiles once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import apsw

from stepwell.store.statements import load_statements

_LARGEST: Final = 256
_ROW: Final = re.compile(r"(?<=VALUES )\((?:\?, )*\?\)")

SQL: Final[Mapping[str, str]] = load_statements("sqlite")
"""The SQLite store's statements, by name."""


def select(
    connection: apsw.Connection, name: str, values: Sequence[Any] | Mapping[str, Any] = ()
) -> list[tuple[Any, ...]]:
    """All rows that the statement of this name gives."""
    return connection.execute(SQL[name], values).fetchall()


class RowStatement:
    """A statement with `VALUES (?, ...)` in it, to be run for any number of rows at once."""

    def __init__(self, name: str) -> None:
        self._text = SQL[name]
        row = _ROW.search(self._text)
        assert row is not None, f"the statement {name} has no VALUES (?, ...)"
        self._start, self._end = row.span()
        self._width = row.group().count("?")
        self._sizes: dict[int, str] = {}

    def run(self, connection: apsw.Connection, values: Sequence[Any]) -> int:
        """Run it for the rows whose values stand in `values` one after another; returns how many rows it changed."""
        left, position, changed = len(values) // self._width, 0, 0
        while left:
            size = min(_LARGEST, 1 << (left.bit_length() - 1))
            end = position + size * self._width
            connection.execute(self._for(size), values[position:end])
            changed += connection.changes()
            left, position = left - size, end
        return changed

    def _for(self, rows: int) -> str:
        text = self._sizes.get(rows)
        if text is None:
            row = "(" + ",".join("?" * self._width) + ")"
            text = self._text[: self._start] + ",".join([row] * rows) + self._text[self._end :]
            self._sizes[rows] = text
        return text
