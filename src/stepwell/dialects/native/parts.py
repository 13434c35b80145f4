"""What the parts of a native document are made of."""

from __future__ import annotations

from typing import Any

from stepwell.base.durations import format_duration


def given(**parts: Any) -> dict[str, Any]:
    """The parts that say something."""
    return {key: part for key, part in parts.items() if part is not None and part != {} and part != [] and part != ""}


def duration(micros: int | None) -> str | None:
    """A duration as people write it."""
    return None if micros is None else format_duration(micros)
