"""`make chaos`: three nodes, their workers and their database, while everything goes wrong that can."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from tests.chaos.documents import FULL, Amount
from tests.chaos.run import Setting, run


def main() -> int:
    """Run, and print the figures; 1 when something is not as it must be."""
    options = arguments()
    part = options.part
    amount = Amount(*(max(1, int(each * part)) for each in (FULL.plain, FULL.waiting, FULL.placed, FULL.unwanted)))
    folder = Path(tempfile.mkdtemp(prefix="stepwell-chaos-"))
    setting = Setting(
        seed=options.seed,
        amount=amount,
        nodes=options.nodes,
        workers=options.workers,
        spread=options.spread * part,
        store=options.store,
        has_nats=not options.without_nats,
        patience=options.patience,
    )
    outcome = asyncio.run(run(setting, folder, lambda line: print(line, flush=True)))
    for name, figure in outcome.figures.items():
        print(f"{name:<24} {figure:,.1f}".removesuffix(".0"))
    for problem in outcome.problems[:50]:
        print(f"WRONG: {problem}", file=sys.stderr)
    if outcome.problems:
        print(f"{len(outcome.problems)} problems; what the processes said is in {folder}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    print("nothing lost, nothing twice, nothing stuck")
    return 0


def arguments() -> argparse.Namespace:
    """What to do."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the faults; default: %(default)s")
    parser.add_argument("--part", type=float, default=1.0, help="of 5,000 executions and 5,000 events")
    parser.add_argument("--nodes", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--workers", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--spread", type=float, default=120, help="seconds over which all is asked for")
    parser.add_argument("--patience", type=float, default=120, help="seconds after the last fault")
    parser.add_argument("--store", choices=("postgresql", "sqlite"), default="postgresql")
    parser.add_argument("--without-nats", action="store_true", help="workers fetch over HTTP")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
