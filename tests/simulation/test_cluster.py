"""Seeds in which nodes share shards, come, go, die, freeze and are cut off, and everything that must hold does.

`python -m tests.simulation --cluster` tries any number of them.
"""

from __future__ import annotations

import pytest

from tests.simulation.campaign import simulate
from tests.simulation.cluster import ClusterWorld
from tests.simulation.mutation import Mutation, mutated
from tests.simulation.trial import try_seed

SEEDS = 240
CHUNK = 40


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_everything_that_must_hold_does_in_a_cluster(first: int) -> None:
    violations = simulate(range(first, first + CHUNK), ClusterWorld).violations
    assert not violations, f"seed {violations[0][0]}: {violations[0][1]}"


def test_a_seed_is_the_same_cluster_every_time() -> None:
    first = [try_seed(seed, ClusterWorld).digest for seed in range(10)]
    assert [try_seed(seed, ClusterWorld).digest for seed in range(10)] == first


MUTATIONS = [
    Mutation(
        "what was lost is kept in memory",
        "stepwell.engine.loop",
        "        for hot in self._of(shards):\n            self._forget(hot)\n",
        "",
    ),
    Mutation(
        "nobody takes up what was interrupted in a shard that comes",
        "stepwell.engine.moving",
        "                await self._loop.recover(shard)\n",
        "",
    ),
    Mutation(
        "shards are not handed over",
        "stepwell.engine.sharing",
        "    if surplus > 0:\n",
        "    if surplus > 0 and not me:\n",
    ),
    Mutation(
        "shards whose lease has run out are nobody's for ever",
        "stepwell.engine.sharing",
        "if each.released or in_touch_for >= SETTLED_AFTER]",
        "if each.released]",
    ),
]


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_a_deliberate_bug_is_found(mutation: Mutation) -> None:
    with mutated(mutation):
        assert any(try_seed(seed, ClusterWorld).violation is not None for seed in range(SEEDS))
