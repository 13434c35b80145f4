"""What a workload comes to, and whether that meets the bars."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

BARS: Final = Path(__file__).with_name("bars.json")
BARS_ON_POSTGRES: Final = Path(__file__).with_name("bars-postgres.json")


class Workload(msgspec.Struct, kw_only=True):
    """One workload's figures.

    Attributes:
        name: such as `W1`.
        title: what was done.
        figures: by name; the unit is in the name where it is not a ratio or a count.
    """

    name: str
    title: str
    figures: dict[str, float]


class Bar(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a figure must reach."""

    at_least: float | None = None
    at_most: float | None = None
    below: float | None = None

    def is_met(self, figure: float) -> bool:
        """Whether the figure reaches it."""
        return (
            (self.at_least is None or figure >= self.at_least)
            and (self.at_most is None or figure <= self.at_most)
            and (self.below is None or figure < self.below)
        )

    def __str__(self) -> str:
        parts = {"≥": self.at_least, "≤": self.at_most, "<": self.below}
        return " and ".join(f"{sign} {shown(bound)}" for sign, bound in parts.items() if bound is not None)


def read_bars(file: Path = BARS) -> dict[str, Bar]:
    """The recorded bars by `WORKLOAD.FIGURE`."""
    return msgspec.json.decode(file.read_bytes(), type=dict[str, Bar])


def missed(workloads: Iterable[Workload], bars: Mapping[str, Bar]) -> list[str]:
    """A sentence for every bar that a figure does not reach, and for every one whose figure is missing."""
    measured = {f"{work.name}.{name}": figure for work in workloads for name, figure in work.figures.items()}
    ran = {name.partition(".")[0] for name in measured}
    return [
        f"{name}: {shown(measured[name]) if name in measured else 'not measured'}, must be {bar}"
        for name, bar in bars.items()
        if name.partition(".")[0] in ran and (name not in measured or not bar.is_met(measured[name]))
    ]


def median(values: Iterable[float]) -> float:
    """The middle value."""
    return statistics.median(values)


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of all are not above."""
    return sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]


def shown(figure: float) -> str:
    """A figure for people: three digits, or all of a large number."""
    if figure == int(figure) or abs(figure) >= 1_000:
        return f"{figure:,.0f}"
    return f"{figure:.3g}"


def write_results(file: Path, about: Mapping[str, Any], workloads: Sequence[Workload], bars: Mapping[str, Bar]) -> None:
    """Write everything as JSON."""
    results = {
        **about,
        "workloads": {work.name: {"title": work.title, "figures": work.figures} for work in workloads},
        "bars": {name: msgspec.to_builtins(bar) for name, bar in bars.items()},
        "missed": missed(workloads, bars),
    }
    file.write_text(json.dumps(results, indent=2) + "\n", "utf-8")
