"""Order, cycles and ways through a graph of steps, against plain definitions of them."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.definition.graph import StepGraph, batches, critical_path, cycles, inbound_counts, not_upstream
from stepwell.definition.model import Dependency, Edge, Step
from tests.definition.documents import codes
from tests.definition.documents import steps as written


def step(name: str, *after: str, to: tuple[str, ...] = (), max_visits: int | None = None) -> Step:
    edges = (Edge(to=to),) if to else ()
    return Step(
        name=name, depends_on=tuple(Dependency(step=each) for each in after), edges=edges, max_visits=max_visits
    )


def cycles_of(steps: list[Step]) -> list[tuple[str, ...]]:
    return cycles(StepGraph(steps))


def apart(steps: list[Step], pairs: list[tuple[str, str]]) -> set[tuple[str, str]]:
    return not_upstream(StepGraph(steps), pairs)


DIAMOND = [step("a"), step("b", "a"), step("c", "a"), step("d", "b", "c"), step("alone")]


def test_batches_put_each_step_after_all_that_lead_to_it() -> None:
    assert batches(DIAMOND) == [("a", "alone"), ("b", "c"), ("d",)]


def test_pushed_edges_count_like_pulled_ones() -> None:
    assert batches([step("b"), step("a", to=("b", "c")), step("c", "b")]) == [("a",), ("b",), ("c",)]


def test_the_critical_path_is_a_longest_way() -> None:
    assert critical_path([*DIAMOND, step("e", "d"), step("f", "a")]) == ("a", "b", "d", "e")
    assert critical_path([]) == ()
    assert critical_path([step("a")]) == ("a",)


def test_names_that_no_step_has_are_passed_over() -> None:
    assert batches([step("a", "nobody", to=("nowhere",))]) == [("a",)]


def test_a_shortest_cycle_of_each_tangle_is_named() -> None:
    tangled = [step("a", "c"), step("b", "a"), step("c", "b", "a"), step("x", "y"), step("y", "x"), step("z", "c")]
    assert cycles_of(tangled) == [("a", "c", "a"), ("x", "y", "x")]


def test_a_cycle_is_allowed_when_one_of_its_steps_has_max_visits() -> None:
    assert cycles_of([step("a", "b"), step("b", "a", max_visits=3)]) == []
    assert cycles_of([step("a", "b", "c"), step("b", "a", max_visits=3), step("c", "a")]) == [("a", "c", "a")]


def test_a_step_that_leads_to_itself_is_no_cycle_here() -> None:
    assert cycles_of([step("a", "a")]) == []


def test_a_step_may_lead_to_itself_when_it_says_how_often_it_runs() -> None:
    again = "- {name: again, type: noop, next: [{when: 'input.n > 1', to: again}]%s}"
    assert codes(written(again % ", max_visits: 3")) == []
    assert codes(written(again % "")) == ["self-dependency"]
    assert codes(written("- {name: once, type: noop, max_visits: 3}")) == ["no-effect"]


def test_steps_that_run_in_circles_are_a_tangle() -> None:
    steps = [step("a", "b", "start", max_visits=2), step("b", "a"), step("start"), step("c", "b"), step("d", "d")]
    assert StepGraph(steps).tangles == [[0, 1]]
    assert StepGraph(DIAMOND).tangles == []


def test_inbound_edges_are_counted() -> None:
    assert inbound_counts([step("a", to=("b",)), step("b", "a", "c"), step("c", to=("b", "x"))]) == {
        "a": 0,
        "b": 4 - 0,
        "c": 0,
    }


def test_a_chain_of_many_steps_needs_no_recursion() -> None:
    chain = [step(f"s{number}", *([f"s{number - 1}"] if number else [])) for number in range(20_000)]
    assert len(batches(chain)) == len(critical_path(chain)) == 20_000
    assert apart(chain, [("s19999", "s0"), ("s0", "s19999"), ("s10", "s3")]) == {("s0", "s19999")}
    ring = [step("s0", "s19999"), *chain[1:]]
    assert len(cycles_of(ring)[0]) == 20_001


NAMES = "abcdefg"
GRAPHS = st.dictionaries(st.sampled_from(NAMES), st.sets(st.sampled_from(NAMES), max_size=3), min_size=1).map(
    lambda graph: [step(name, *sorted(after), max_visits=2 if name in "ag" else None) for name, after in graph.items()]
)


def reachable(steps: list[Step]) -> set[tuple[str, str]]:
    """(earlier, later) for every way, by brute force."""
    names = {each.name for each in steps}
    ways = {(before.step, each.name) for each in steps for before in each.depends_on if before.step in names}
    while True:
        more = ways | {(a, d) for a, b in ways for c, d in ways if b == c}
        if more == ways:
            return ways
        ways = more


@given(GRAPHS)
@settings(max_examples=200, deadline=None)
def test_not_upstream_is_what_no_way_leads_to(steps: list[Step]) -> None:
    ways = reachable(steps)
    pairs = [(later.name, earlier.name) for later in steps for earlier in steps if later is not earlier]
    assert apart(steps, pairs) == {(later, earlier) for later, earlier in pairs if (earlier, later) not in ways}


@given(GRAPHS)
@settings(max_examples=200, deadline=None)
def test_there_is_a_cycle_exactly_when_a_step_without_max_visits_comes_back_without_one(steps: list[Step]) -> None:
    free = [each for each in steps if each.max_visits is None]
    names = {each.name for each in free}
    trimmed = [
        step(each.name, *(d.step for d in each.depends_on if d.step in names and d.step != each.name)) for each in free
    ]
    on_a_cycle = {a for a, b in reachable(trimmed) if a == b}
    found = cycles_of(steps)
    assert bool(found) == bool(on_a_cycle)
    by_name = {each.name: each for each in steps}
    for cycle in found:
        assert cycle[0] == cycle[-1]
        assert len(set(cycle)) == len(cycle) - 1
        for before, after in pairwise(cycle):
            assert before in {each.step for each in by_name[after].depends_on}


@given(GRAPHS)
@settings(max_examples=200, deadline=None)
def test_batches_hold_every_step_once_and_respect_every_edge_outside_cycles(steps: list[Step]) -> None:
    layers = batches(steps)
    assert sorted(name for layer in layers for name in layer) == sorted(each.name for each in steps)
    level = {name: number for number, layer in enumerate(layers) for name in layer}
    ways = reachable(steps)
    for earlier, later in ways:
        if (later, earlier) not in ways:
            assert level[earlier] < level[later]
    path = critical_path(steps)
    assert len(path) == len(layers)
    assert all((before, after) in ways for before, after in pairwise(path))
