"""Compare with another checkout: the same workloads on both, in turn, in one run.

    make bench BENCH_ARGS="--against ../older"

Each workload is run on this checkout and on the other one, one after the other, several times; what counts is the
median of the ratios, so that whatever else the machine does falls on both. The other checkout runs its own benchmarks
in this environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import median, shown

MOST: Final = 1.10
"""How many times as long as the other checkout anything may take."""

FIGURES: Final[Mapping[str, Mapping[str, bool]]] = {
    "W1": {"ratio_to_raw": True},
    "W2": {"seconds_for_10000": False},
    "W3": {"ratio_to_commit": False},
    "W4": {"microseconds_per_step_of_10000": False},
    "W5": {"seconds_until_all_complete": False},
    "W6": {"starts_per_second": True, "ms_to_wake_one_of_100000": False},
    "W7": {"seconds_to_validate": False, "seconds_to_plan": False},
}
"""What is compared, and whether more of it is better."""

Compared = Mapping[str, float]
"""Times as long as the other, by `WORKLOAD.FIGURE`."""


def compare(other: Path, names: Iterable[str], rounds: int, folder: Path) -> int:
    """Run and print; 1 when something takes longer than it may."""
    here = Path(__file__).resolve().parents[1]
    ratios = {name: ratio for each in names for name, ratio in _workload(each, here, other, rounds, folder).items()}
    table = Table("figure", "times as long", "bar")
    for name, ratio in ratios.items():
        table.add_row(name.replace("_", " "), shown(ratio), f"≤ {MOST} {'met' if ratio <= MOST else 'MISSED'}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 1 if any(ratio > MOST for ratio in ratios.values()) else 0


def _workload(name: str, here: Path, other: Path, rounds: int, folder: Path) -> Compared:
    first = _figures(name, here, folder), _figures(name, other, folder)
    if not first[1]:
        print(f"{name}: the other checkout does not measure it", file=sys.stderr, flush=True)
        return {}
    pairs = [first, *((_figures(name, here, folder), _figures(name, other, folder)) for _ in range(rounds - 1))]
    found: dict[str, float] = {}
    for figure, more_is_better in FIGURES[name].items():
        each = [
            theirs[figure] / ours[figure] if more_is_better else ours[figure] / theirs[figure] for ours, theirs in pairs
        ]
        found[f"{name}.{figure}"] = median(each)
        print(f"{name}.{figure}: {', '.join(shown(ratio) for ratio in each)}", file=sys.stderr, flush=True)
    return found


def _figures(name: str, checkout: Path, folder: Path) -> Mapping[str, float]:
    """What the benchmarks of a checkout measure; nothing when they have no such workload."""
    folder.mkdir(parents=True, exist_ok=True)
    results = folder.resolve() / "against.json"
    # Whether it meets its own bars is not asked here, so its exit status says nothing.
    subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "--only",
            name,
            "--output",
            str(results),
            "--folder",
            str(folder.resolve()),
        ],
        cwd=checkout,
        env={**os.environ, "PYTHONPATH": f"{checkout / 'src'}{os.pathsep}{checkout}"},
        capture_output=True,
        check=False,
    )
    if not results.exists():
        return {}
    figures: Mapping[str, float] = json.loads(results.read_text("utf-8"))["workloads"][name]["figures"]
    results.unlink()
    return figures
