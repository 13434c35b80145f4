"""Where in a text something stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a source text. Lines and columns count from 1, columns in characters; the end is exclusive."""

    line: int
    column: int
    end_line: int
    end_column: int


@dataclass(frozen=True, slots=True)
class Source:
    """A text that is to be read.

    Attributes:
        name: what it is shown under: a file's path as the user gave it, or `<string>`.
        dialect: the name of the one it is written in; None when that is told from the text.
        lenient: keys that mean nothing are pointed out, and no more.
    """

    name: str
    text: str
    dialect: str | None = None
    lenient: bool = False
