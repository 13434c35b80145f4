"""YAML as programs write it, read quickly and without places.

Most of the time of reading YAML is spent on places that nobody asks for. Large documents are made by programs, one key
or one entry to a line; those are read here. Whatever else a document holds (brackets, anchors, tags, texts over several
lines), and everything that is wrong, is left to `yaml_tree`, whose rules and messages are the only ones.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from stepwell.definition.scalars import WORDS, BadNumber, plain_scalar
from stepwell.definition.tree import WEIGHT, is_moderate

_LINE: Final = re.compile(
    r"""(?P<indent>\ *+)(?P<dashes>(?:(?=-\ )-\ ++)*+)
    (?:(?P<key>[A-Za-z_][A-Za-z0-9_.-]{0,99}):(?:\ ++|$))?
    (?:'(?P<single>[ -&(-~]*+)'
    |"(?P<double>[ !#-\[\]-~]*+)"
    |(?P<plain>-?[A-Za-z0-9_/](?:[!-"$-9;-~]|(?=:[!-~]):|(?=\ ++[!-"$-~])\ ++)*+))?
    \ *+""",
    re.VERBOSE,
)
"""A line: entries of lists, then a key, a value, or a key and its value; in ASCII. Nothing that was matched is given
back, so a line takes time in proportion to its length, whatever stands in it. Every round of a repetition looks ahead
before it takes anything: before 3.11.5, Python kept what a round that failed had taken (CPython issue 106052)."""

_COMMENT: Final = re.compile(r" *+(?:#[ -~]*+)?")
_DASH: Final = re.compile("-")


class _Line(NamedTuple):
    """What a line says.

    Attributes:
        column: where its first dash, or else its key, stands.
        inner: behind dashes, where the others and then its key or value stand.
        key: its key; None for a value alone.
        value: `...` when the line ends behind its key, and when it says nothing.
    """

    column: int
    inner: tuple[int, ...] = ()
    key: str | None = None
    value: Any = ...


_NOTHING: Final = _Line(-1)


class _Exotic(Exception):
    """The document holds something that is not read here."""


def quick_yaml(text: str) -> Any:
    """The value of a document; `...` when something in it is not read here."""
    if not text.isascii():
        return ...
    try:
        value = _Reader().read(text)
    except (_Exotic, BadNumber):
        return ...
    return value if is_moderate(value, weight=len(text) // WEIGHT + text.count("\n")) else ...  # keys count too


class _Reader:
    """Reads lines from the first to the last. `_open` holds the lists and mappings around the next one, by column."""

    def __init__(self) -> None:
        self._open: list[tuple[int, Any]] = []
        self._root: Any = None
        self._awaits: tuple[int, dict[str, Any], str] | None = None  # a key whose value may stand in the next line

    def read(self, text: str) -> Any:
        """The value of the whole document."""
        known: dict[str, _Line] = {"": _NOTHING}  # most lines of a large document stand there many times
        column, mapping = self._here()
        for written in text.split("\n"):
            line = known.get(written)
            if line is None:
                line = known[written] = _line(written)
            at, inner, key, value = line
            if at == column and not inner and value is not ... and key not in mapping:
                mapping[key] = value
            elif line is not _NOTHING:
                self._take(line)
                column, mapping = self._here()
        if self._root is None:
            raise _Exotic
        return self._root

    def _here(self) -> tuple[int, Any]:
        """The column of the innermost mapping, and the mapping, if what stands in that column next is a key of it."""
        if self._awaits is None and self._open and self._open[-1][1].__class__ is dict:
            return self._open[-1]
        return -2, None

    def _take(self, line: _Line) -> None:
        column, inner, key, value = line
        is_first = True
        for following in inner:
            self._list_at(column, is_first=is_first)
            column, is_first = following, False
        if key is not None:
            self._set(column, self._mapping_at(column, is_first=is_first), key, value)
        else:
            self._open[-1][1].append(value)

    def _list_at(self, column: int, *, is_first: bool) -> None:
        """See to it that the list whose entries stand in this column is the innermost one that is open."""
        if not is_first or self._begins(column, even_at=True):
            self._begin(column, [])
        elif self._open[-1][1].__class__ is not list:
            raise _Exotic

    def _mapping_at(self, column: int, *, is_first: bool) -> dict[str, Any]:
        """The same for the mapping whose keys stand there."""
        if not is_first or self._begins(column, even_at=False):
            self._begin(column, {})
        elif self._open[-1][1].__class__ is list:  # a list stands in the column of the key that it belongs to
            self._open.pop()
            if not self._open or self._open[-1][0] != column:
                raise _Exotic
        found = self._open[-1][1]
        if found.__class__ is not dict:
            raise _Exotic
        mapping: dict[str, Any] = found
        return mapping

    def _begins(self, column: int, *, even_at: bool) -> bool:
        """Whether something new begins in this column; if not, what is open there is the innermost now."""
        if self._awaits is not None:
            at, mapping, key = self._awaits
            if column > at or (even_at and column == at):
                return True
            mapping[key] = None
            self._awaits = None
        elif not self._open and self._root is None and column == 0:
            return True
        while self._open and self._open[-1][0] > column:
            self._open.pop()
        if not self._open or self._open[-1][0] != column:
            raise _Exotic
        return False

    def _begin(self, column: int, value: Any) -> None:
        if self._awaits is not None:
            _, mapping, key = self._awaits
            mapping[key] = value
            self._awaits = None
        elif self._open:
            self._open[-1][1].append(value)
        else:
            self._root = value
        self._open.append((column, value))

    def _set(self, column: int, mapping: dict[str, Any], key: str, value: Any) -> None:
        if key in mapping:
            raise _Exotic
        if value is ...:
            self._awaits = column, mapping, key
            mapping[key] = None
        else:
            mapping[key] = value


def _line(written: str) -> _Line:
    """What a line says.

    Raises:
        _Exotic: that is not read here.
    """
    found = _LINE.fullmatch(written)
    if found is None:
        if _COMMENT.fullmatch(written):
            return _NOTHING
        raise _Exotic
    indent, dashes, key, single, double, plain = found.groups()
    text = single if single is not None else double
    if key in WORDS or (key is None and text is None and plain is None):
        raise _Exotic
    value = ... if text is plain is None else text if plain is None else plain_scalar(plain)
    if key is None and not dashes:
        raise _Exotic
    column = len(indent)
    if not dashes:
        return _Line(column, (), key, value)
    columns = [column + dash.start() for dash in _DASH.finditer(dashes)]
    return _Line(column, (*columns[1:], column + len(dashes)), key, value)
