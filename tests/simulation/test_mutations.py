"""Deliberate bugs are found: what the simulation says that it sees, it sees."""

from __future__ import annotations

import pytest

from stepwell.decider import joins
from tests.simulation.mutation import Mutation, Stale, mutated
from tests.simulation.mutations import MOST, MUTATIONS, hunt
from tests.simulation.shrink import fails, shrink
from tests.simulation.telling import told
from tests.simulation.trial import scenario_of, try_scenario


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_bug_is_found(mutation: Mutation) -> None:
    assert hunt(mutation) is not None, f"not found in {MOST:,} seeds"


def test_names_of_deliberate_bugs_are_unique() -> None:
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS)


def test_a_bug_that_was_put_in_is_taken_out_again() -> None:
    mutation = MUTATIONS[0]
    before = joins._verdict.__code__
    with mutated(mutation):
        assert joins._verdict.__code__ is not before
    assert joins._verdict.__code__ is before


def test_a_bug_whose_place_is_gone_is_named() -> None:
    gone = MUTATIONS[0]._replace(before="this stands nowhere")
    with pytest.raises(Stale, match="0 times"), mutated(gone):
        pass


def test_a_failing_scenario_is_made_small_and_told() -> None:
    mutation = next(each for each in MUTATIONS if each.name == "one attempt too many")
    found = hunt(mutation)
    assert found is not None
    assert found.violation is not None
    whole = scenario_of(found.seed)
    with mutated(mutation):
        small = shrink(whole, found.violation.invariant)
        assert fails(small, found.violation.invariant)
        text = told(small, found.violation)
    assert len(small.documents[0]["spec"]["steps"]) <= 2
    assert not small.faults
    assert not small.events
    assert f"make simulate SEED={found.seed}" in text
    assert "StepScheduled" in text
    assert try_scenario(small).violation is None
