"""How statuses look: a symbol and a colour, and ASCII where there is nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple


class Look(NamedTuple):
    """Of one status."""

    symbol: str
    ascii: str
    style: str


_LOOKS: Final = {
    "pending": Look("·", ".", "dim"),
    "running": Look("●", "*", "cyan"),
    "retrying": Look("↻", "r", "yellow"),
    "waiting": Look("◷", "w", "blue"),
    "paused": Look("‖", "=", "yellow"),
    "compensating": Look("↺", "<", "yellow"),
    "completed": Look("✓", "+", "green"),
    "failed": Look("✗", "x", "red"),
    "skipped": Look("○", "-", "dim"),
    "cancelled": Look("■", "!", "magenta"),
    "ok": Look("✓", "+", "green"),
    "warn": Look("!", "!", "yellow"),
    "fail": Look("✗", "x", "red"),
}


def look_of(status: str) -> Look:
    """The look of an execution's, a step's or a check's status."""
    return _LOOKS.get(status, _LOOKS["pending"])


def symbol_of(status: str, *, unicode: bool) -> str:
    """Its symbol."""
    look = look_of(status)
    return look.symbol if unicode else look.ascii
