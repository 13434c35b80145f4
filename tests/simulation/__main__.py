"""The simulation as a tool: `make simulate` (see CONTRIBUTING.md)."""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from pathlib import Path

from tests.simulation.campaign import Summary, be_quiet, simulate_in_parallel
from tests.simulation.cluster import ClusterWorld
from tests.simulation.mutations import MUTATIONS, hunt
from tests.simulation.shrink import shrink
from tests.simulation.telling import counted, saved, told
from tests.simulation.trial import scenario_of, try_scenario

SHOWN = 3
"""So many failing seeds are made small and shown; of further ones the number."""


def main() -> int:
    """Simulate as asked; the exit status is 1 when something that must hold did not."""
    asked = _arguments()
    gc.freeze()
    be_quiet()
    if asked.mutations:
        return _hunt_mutations(asked.seeds)
    if asked.cluster:
        return _simulate_cluster(asked.start, asked.seeds if asked.seed is None else 1, asked.processes, asked.seed)
    if asked.seed is not None:
        return _show(asked.seed, asked.save, shrinking=not asked.whole)
    return _simulate(asked.start, asked.seeds, asked.processes, asked.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description="Simulate random executions.")
    parser.add_argument("--seeds", type=int, default=2_000, help="how many")
    parser.add_argument("--from", type=int, default=0, dest="start", help="the first seed")
    parser.add_argument("--seed", type=int, help="this one alone; when it fails, it is made small and shown")
    parser.add_argument("--whole", action="store_true", help="with --seed: show it as it is")
    parser.add_argument(
        "--cluster", action="store_true", help="several nodes at once; a failing seed is not made small"
    )
    parser.add_argument("--save", type=Path, help="a folder for the documents of a failing seed")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mutations", action="store_true", help="put deliberate bugs in, one by one, and find them")
    return parser.parse_args()


def _simulate(first: int, count: int, processes: int, save: Path | None) -> int:
    whole, began = Summary(), time.monotonic()
    for summary in simulate_in_parallel(first, count, processes):
        whole.merge(summary)
        for seed, violation in summary.violations:
            print(f"seed {seed}: {violation}", flush=True)
    whole.seconds = time.monotonic() - began
    _print_summary(whole)
    for seed, _ in whole.violations[:SHOWN]:
        print()
        _show(seed, save, shrinking=True)
    return 1 if whole.violations else 0


def _simulate_cluster(first: int, count: int, processes: int, seed: int | None) -> int:
    whole, began = Summary(), time.monotonic()
    for summary in simulate_in_parallel(seed if seed is not None else first, count, processes, ClusterWorld):
        whole.merge(summary)
        for failed, violation in summary.violations:
            print(f"seed {failed}: {violation}", flush=True)
    whole.seconds = time.monotonic() - began
    _print_summary(whole)
    return 1 if whole.violations else 0


def _print_summary(summary: Summary) -> None:
    per_second = summary.seeds / summary.seconds if summary.seconds else 0
    print(f"{summary.seeds:,} seeds in {summary.seconds:.1f} s ({per_second:.0f}/s), ", end="")
    print(f"{len(summary.violations):,} violations")
    print(f"simulated: {counted(summary.counts)}")
    print(f"definitions: {counted(summary.used)}")
    never = ", ".join(f"{kind} {status} + {event}" for kind, status, event in summary.never_walked())
    print(f"legal moves never made: {never or 'none'}")


def _show(seed: int, save: Path | None, *, shrinking: bool) -> int:
    scenario = scenario_of(seed)
    violation = try_scenario(scenario).violation
    if violation is None:
        print(f"seed {seed}: everything holds")
        return 0
    if shrinking:
        scenario = shrink(scenario, violation.invariant)
        violation = try_scenario(scenario, thorough=True).violation or violation
    print(told(scenario, violation))
    for file in saved(scenario, save) if save is not None else ():
        print(f"saved {file}")
    return 1


def _hunt_mutations(most: int) -> int:
    missed = 0
    for mutation in MUTATIONS:
        began = time.monotonic()
        found = hunt(mutation, most)
        missed += found is None
        what = f"seed {found.seed}: {found.violation}" if found is not None else f"not found in {most:,} seeds"
        print(f"{mutation.name} ({time.monotonic() - began:.1f} s): {what[:200]}", flush=True)
    print(f"{len(MUTATIONS) - missed} of {len(MUTATIONS)} deliberate bugs found")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
