"""What a kind of finding is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding: an `error` keeps the definition from being used, a `warning` does not."""

    severity: Literal["error", "warning"]
    summary: str
    advice: str


def an_error(summary: str, advice: str) -> Code:
    """A kind that keeps the definition from being used."""
    return Code("error", summary, advice)


def a_warning(summary: str, advice: str) -> Code:
    """A kind that does not."""
    return Code("warning", summary, advice)
