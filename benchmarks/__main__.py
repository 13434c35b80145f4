"""`make bench`: run the workloads, print a table, write the figures, and name every bar that is missed.

Each workload runs on a real SQLite file, through the same door as the command line, with the steps done by the worker.
What raw SQLite does is measured in turn with it, on the same file system, so that whatever else happens on the machine
falls on both; figures are medians.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import apsw
from rich.console import Console
from rich.table import Table

from benchmarks import chains, checking, crash, fan_out, latency, server, throughput, waiting
from benchmarks.against import FIGURES, compare
from benchmarks.figures import BARS, BARS_ON_POSTGRES, Bar, Workload, missed, read_bars, shown, write_results
from benchmarks.postgres.layouts import LAYOUTS

WORKLOADS: Final[Mapping[str, Callable[[Path, bool], Workload]]] = {
    "W1": throughput.measure,
    "W2": fan_out.measure,
    "W3": latency.measure,
    "W4": chains.measure,
    "W5": crash.measure,
    "W6": waiting.measure,
    "W7": checking.measure,
    "W8": server.measure,
}
"""Each is given a folder for its files, and whether to be quick: a tiny run that shows that everything works."""


def main() -> int:
    """Run, print, write; returns the exit status: 1 when a bar is missed."""
    options = arguments()
    if options.against is not None:
        return compare(options.against.resolve(), options.only or FIGURES, options.rounds, options.folder)
    if options.postgres:
        from benchmarks.postgres.workloads import WORKLOADS as ON_POSTGRES

        done = [run(ON_POSTGRES[name], name, options.quick, options.folder) for name in _chosen(options, ON_POSTGRES)]
    else:
        done = [run(WORKLOADS[name], name, options.quick, options.folder) for name in options.only or WORKLOADS]
    bars = {} if options.quick else read_bars(BARS_ON_POSTGRES if options.postgres else BARS)
    write_results(options.output, about(options.quick), done, bars)
    print_table(done, bars)
    problems = missed(done, bars)
    for problem in problems:
        print(f"missed: {problem}", file=sys.stderr)
    return 1 if problems else 0


def arguments() -> argparse.Namespace:
    """What to run, and where to write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="tiny sizes, no bars")
    parser.add_argument("--postgres", action="store_true", help="W1 to W6 on PostgreSQL instead")
    parser.add_argument("--layout", action="append", choices=LAYOUTS, help="of those on PostgreSQL; may be repeated")
    parser.add_argument("--against", type=Path, metavar="FOLDER", help="compare with another checkout instead")
    parser.add_argument("--rounds", type=int, default=3, help="of a comparison; default: %(default)s")
    parser.add_argument("--only", action="append", choices=WORKLOADS, help="one workload; may be repeated")
    parser.add_argument("--output", type=Path, default=Path("bench-results.json"), help="default: %(default)s")
    parser.add_argument(
        "--folder", type=Path, default=Path("build/bench"), help="on the disk to measure; default: %(default)s"
    )
    return parser.parse_args()


def _chosen(options: argparse.Namespace, names: Iterable[str]) -> list[str]:
    """The names of the workloads and layouts that are asked for."""
    found = [name for name in names if not options.only or name.split()[0] in options.only]
    return [name for name in found if not options.layout or name.partition(" ")[2] in options.layout]


def run(measure: Callable[[Path, bool], Workload], name: str, quick: bool, folder: Path) -> Workload:
    """Run one workload in a folder of its own, which is deleted then."""
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        workload = measure(Path(own), quick)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return workload


def about(quick: bool) -> dict[str, Any]:
    """The machine, as far as it matters."""
    return {
        "quick": quick,
        "python": platform.python_version(),
        "sqlite": apsw.sqlite_lib_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
    }


def print_table(workloads: list[Workload], bars: Mapping[str, Bar]) -> None:
    """Every figure, with its bar where it has one."""
    table = Table("workload", "figure", "value", "bar")
    for work in workloads:
        label = f"{work.name} {work.title}"
        for name, figure in work.figures.items():
            bar = bars.get(f"{work.name}.{name}")
            verdict = "" if bar is None else f"{bar} {'met' if bar.is_met(figure) else 'MISSED'}"
            table.add_row(label, name.replace("_", " "), shown(figure), verdict)
            label = ""
        table.add_section()
    Console(width=None if sys.stdout.isatty() else 120).print(table)


if __name__ == "__main__":
    sys.exit(main())
