"""Tables and coloured text on a terminal, and the same without colours and without cutting anything in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Final, TextIO, cast

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from stepwell.cli.streams import PatientStream, is_terminal, speaks_unicode
from stepwell.cli.symbols import look_of, symbol_of

_UNBOUNDED: Final = 10_000
_GAP: Final = 2
_LEAST: Final = 12


def console_for(stream: TextIO) -> Console:
    """A console on the stream; one that is no terminal is as wide as it takes, so that nothing is cut."""
    terminal = is_terminal(stream)
    return Console(
        file=cast("TextIO", PatientStream(stream)),
        force_terminal=terminal,
        width=None if terminal else _UNBOUNDED,
        highlight=False,
        emoji=False,
        markup=False,
        legacy_windows=False,
        safe_box=True,
    )


def rendered(*parts: RenderableType) -> str:
    """The parts as text for standard output."""
    console = console_for(sys.stdout)
    with console.capture() as capture:
        for part in parts:
            console.print(part, soft_wrap=isinstance(part, (str, Text)))
    return "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def has_room(columns: int) -> bool:
    """Whether standard output is at least so wide; a pipe always is."""
    return console_for(sys.stdout).width >= columns


def table(
    *headings: str, rows: Iterable[Sequence[RenderableType]], fold: str | None = None, cut: str | None = None
) -> Table:
    """A table without lines. Its columns are as wide as what is in them, but for two.

    Args:
        fold: the heading of the column that is broken over lines where the terminal is too narrow.
        cut: the heading of the column that is cut off there.
    """
    kept = [tuple(row) for row in rows]
    made = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_header=any(headings))
    widths = [
        max((cell_len(str(row[position])) for row in kept), default=0) if heading != fold else 0
        for position, heading in enumerate(headings)
    ]
    widths = [max(width, cell_len(heading)) for width, heading in zip(widths, headings, strict=True)]
    for heading, width in zip(headings, widths, strict=True):
        if heading and heading == fold:
            made.add_column(heading, overflow="fold")
        elif heading and heading == cut:
            room = console_for(sys.stdout).width - (sum(widths) - width) - _GAP * len(headings)
            made.add_column(heading, no_wrap=True, overflow="ellipsis", width=min(width, max(room, _LEAST)))
        else:
            made.add_column(heading, no_wrap=True, min_width=width)
    for row in kept:
        made.add_row(*row)
    return made


def facts(pairs: Iterable[tuple[str, RenderableType]]) -> Table:
    """Names and what belongs to them, in two columns; what is empty is left out."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="bold", no_wrap=True)
    made.add_column(overflow="fold")
    for name, value in pairs:
        if value != "":
            made.add_row(name, value)
    return made


def status_text(status: str, *, stream: TextIO | None = None, word: bool = True) -> Text:
    """A status with its symbol and colour."""
    symbol = symbol_of(status, unicode=speaks_unicode(stream or sys.stdout))
    return Text(f"{symbol} {status}" if word else symbol, style=look_of(status).style)
