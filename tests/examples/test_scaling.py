"""The simulation of clusters: what must hold in it, and that the page shows what it gives."""

from __future__ import annotations

import pytest

from benchmarks.scaling.page import EXPONENTS, PAGE, SECONDS, hot, keys, lines_of, put, storm
from benchmarks.scaling.scenarios import SCENARIOS, SIZES, run
from benchmarks.scaling.skew import keyed, spread
from stepwell.base.durations import SECOND
from stepwell.engine.ownership import TAKEN_OVER_WITHIN

SMALL = SIZES[0]
DYING = [name for name in SCENARIOS if "die" in name]
REPLACED = next(name for name in SCENARIOS if "replaced" in name)
AWAY = next(name for name in SCENARIOS if "away" in name)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_page_shows_what_the_simulation_of_ten_nodes_gives(scenario: str) -> None:
    row = lines_of(storm(SMALL, scenario), is_heading=False)
    assert row in PAGE.read_text("utf-8"), f"{row}\nis not in the page: run `make scaling`"


def test_the_page_shows_what_skewed_work_gives_on_ten_nodes() -> None:
    text = PAGE.read_text("utf-8")
    rows = [list(hot([SMALL]))[-1], list(keys({10: SECONDS[10]}))[-1]]
    for row in rows:
        assert len(row) == len(EXPONENTS) + 1
        assert lines_of(row, is_heading=False) in text, f"{row}\nis not in the page: run `make scaling`"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_shard_is_worked_on_again_and_shares_are_fair(scenario: str, seed: int) -> None:
    outcome = run(SMALL, scenario, seed)
    assert outcome.all_back is not None
    assert outcome.most - outcome.fewest <= 1


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("scenario", DYING)
def test_shards_of_the_dead_are_taken_over_in_time(scenario: str, seed: int) -> None:
    loading = 2.0
    outcome = run(SMALL, scenario, seed)
    assert outcome.all_back is not None
    assert 0 < outcome.all_back < TAKEN_OVER_WITHIN / SECOND + loading


@pytest.mark.parametrize("seed", range(5))
def test_an_outage_of_the_database_moves_no_shard(seed: int) -> None:
    assert run(SMALL, AWAY, seed).moved == 0


def test_a_replacement_moves_few_shards_and_waits_for_no_lease() -> None:
    outcome = run(SMALL, REPLACED, 1)
    assert outcome.moved < SMALL.shards / 2
    assert outcome.caught_up == 0


def test_a_seed_is_the_same_simulation_again() -> None:
    assert run(SMALL, DYING[0], 3) == run(SMALL, DYING[0], 3)
    assert run(SMALL, DYING[0], 3) != run(SMALL, DYING[0], 4)


def test_uneven_executions_make_uneven_nodes() -> None:
    even, uneven = spread(10, 64, 10_000, 0, 1), spread(10, 64, 10_000, 1, 1)
    assert even.node < 1.3 < uneven.node < uneven.shard


def test_a_key_that_comes_too_often_is_not_simulated() -> None:
    found = keyed(100, 1.0, 1, 1)
    assert found.busy > 1
    assert found.p50_ms is None


def test_a_table_is_put_into_its_place() -> None:
    text = "a\n<!-- x: made by `make scaling` -->\nold\n<!-- end -->\nb\n"
    assert put(text, "x", "new") == "a\n<!-- x: made by `make scaling` -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(ValueError, match="no place"):
        put(text, "y", "new")
