"""A small storm. The large one is `make chaos`."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.documents import Amount
from tests.chaos.faults import Pace
from tests.chaos.run import Setting, run

QUICK = Pace(database=(1, 2), nodes=(2, 3), workers=(1, 2), frozen=(0.5, 2), most=1)


async def test_nothing_is_lost_twice_or_stuck_while_everything_goes_wrong(tmp_path: Path) -> None:
    amount = Amount(plain=20, waiting=10, placed=20, unwanted=20)
    setting = Setting(seed=1, amount=amount, spread=5, nodes=2, workers=1, pace=QUICK, has_nats=False, patience=120)
    outcome = await run(setting, tmp_path)
    assert not outcome.problems
    assert outcome.figures["executions"] == amount.executions
    assert outcome.figures["events"] == amount.events
    assert sum(figure for name, figure in outcome.figures.items() if name.startswith(("database", "nodes"))) >= 2
