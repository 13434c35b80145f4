"""The PostgreSQL store's statements, by name."""

from __future__ import annotations

import functools
import re
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


_OPTIONAL: Final = re.compile(r"^(.*?) *--\? (\w+)$")
_VALUE: Final = re.compile(r"\{(\w+)\}")


def chosen(name: str, values: Mapping[str, Any], at_most: int) -> tuple[str, Sequence[Any]]:
    """A statement that gives `at_most` rows, or some more, and its parameters.

    Connections plan a statement once, whatever its parameters. So what is not asked for is left out of its text, and
    how much is wanted stands in it, in few different sizes.

    Args:
        values: by name; those of None are not asked for.
    """
    asked = frozenset(key for key, value in values.items() if value is not None)
    text, names = _chosen(name, asked, 1 << (at_most - 1).bit_length())
    return text, [values[key] for key in names]


@functools.cache
def _chosen(name: str, asked: frozenset[str], size: int) -> tuple[str, Sequence[str]]:
    """The text, and the names of its parameters."""
    lines = []
    for line in SQL[name].splitlines():
        optional = _OPTIONAL.match(line)
        if optional is None or optional[2] in asked:
            lines.append(optional[1] if optional is not None else line)
    names: list[str] = []

    def numbered(value: re.Match[str]) -> str:
        if value[1] not in names:
            names.append(value[1])
        return f"${names.index(value[1]) + 1}"

    return _VALUE.sub(numbered, "\n".join([*lines, f"LIMIT {size}"])), names
