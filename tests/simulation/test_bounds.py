"""What would run for ever is ended, and is a violation like any other."""

from __future__ import annotations

import pytest

from tests.simulation.bounds import Halt, in_time
from tests.simulation.invariants import Violation
from tests.simulation.loop import new_loop
from tests.simulation.mutation import Mutation, mutated
from tests.simulation.trial import Outcome, try_seed

SEEDS = 60


def _first(mutation: Mutation) -> Outcome:
    """The first seed with a violation while the bug is in."""
    with mutated(mutation):
        return next(outcome for outcome in map(try_seed, range(SEEDS)) if outcome.violation is not None)


RUNAWAYS = {
    "events": Mutation(
        "an execution that failed completes",
        "stepwell.decider.ending",
        "    elif state.failure is not None:",
        "    elif state.failure is not None and not state.steps:",
    ),
    "commands": Mutation(
        "what begins is commanded again and again",
        "stepwell.decider.subworkflow",
        "    turn.command(StartChild(",
        "    while True:\n        turn.command(StartChild(",
    ),
    "turns": Mutation(
        "an execution is decided on again and again",
        "stepwell.engine.loop",
        "            decision = decide(hot.run, came_in, now)\n",
        "            while True:\n                decision = decide(hot.run, came_in, now)\n",
    ),
}


@pytest.mark.parametrize("what", RUNAWAYS)
def test_what_runs_for_ever_is_ended(what: str) -> None:
    violation = _first(RUNAWAYS[what]).violation
    assert violation is not None
    assert violation.invariant == "nothing_runs_for_ever"
    assert what in violation.message


def test_callbacks_without_end_are_ended() -> None:
    loop = new_loop()

    def again() -> None:
        loop.call_soon(again)

    loop.call_soon(again)
    with pytest.raises(Violation, match="callbacks at one instant"):
        loop.drain()


def test_a_loop_in_which_nothing_is_counted_is_ended_by_the_time_that_it_takes() -> None:
    noted: list[Violation] = []

    def endless() -> None:
        with in_time(noted.append, 0.02):
            while True:
                pass

    with pytest.raises(Halt):
        endless()
    assert noted[0].invariant == "nothing_runs_for_ever"


def test_in_time_nothing_is_ended() -> None:
    noted: list[Violation] = []
    with in_time(noted.append, 60):
        pass
    assert noted == []
