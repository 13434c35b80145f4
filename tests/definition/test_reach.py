"""Steps that are said to be unable to run never do, however the others end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.definition.graph import StepGraph
from stepwell.definition.model import Dependency, DependencyOn, Edge, EdgeOn, FailureAction, Fallback, Join, Step
from stepwell.definition.reach import blocked_steps, join_of

NAMES = "abcde"
DEPENDENCY_ON: st.SearchStrategy[DependencyOn] = st.sampled_from(
    ["satisfied", "satisfied", "success", "failure", "timeout", "complete"]
)
EDGE_ON: st.SearchStrategy[EdgeOn] = st.sampled_from(["success", "success", "failure", "timeout", "complete"])
JOINS: st.SearchStrategy[Join | None] = st.sampled_from([None, None, None, "all", "sync", "any", 2, 3])
ACTIONS = st.sampled_from([None, None, FailureAction(action="continue"), FailureAction(action="skip"),
                           FailureAction(action="fallback", fallback=Fallback(value=1))])  # fmt: skip


@st.composite
def graphs(draw: st.DrawFn) -> list[Step]:
    """Up to five steps, whose edges lead from earlier to later ones; one of them may decide."""
    names = NAMES[: draw(st.integers(2, 5))]
    deciding = draw(st.sampled_from(names))
    made = []
    for number, name in enumerate(names):
        before, after = names[:number], names[number + 1 :]
        depends_on = tuple(
            Dependency(step=draw(st.sampled_from(before)), on=draw(DEPENDENCY_ON))
            for _ in range(draw(st.integers(0, min(2, len(before)))))
        )
        edges: tuple[Edge, ...] = ()
        if after:
            kind = 0 if name == deciding else None
            edges = tuple(
                Edge(to=(draw(st.sampled_from(after)),), on="success" if kind == 0 else draw(EDGE_ON), decision=kind)
                for _ in range(draw(st.integers(0, 3 if kind == 0 else 2)))
            )
        made.append(
            Step(
                name=name,
                type=draw(st.sampled_from(["noop", "noop", "noop", "fail"])),
                depends_on=depends_on,
                edges=edges,
                join=draw(JOINS),
                when=draw(st.sampled_from([None, None, "input.x"])),
                on_failure=draw(ACTIONS),
            )
        )
    return made


def endings(step: Step) -> list[str]:
    """The ways in which a step that is due can end."""
    replaced = step.on_failure is not None and step.on_failure.action == "fallback"
    found = ["completed"] if step.type != "fail" or replaced else []
    return [*found, "failed", "timeout", *(["skipped"] if step.when is not None else [])]


def is_taken(on: str, ending: str, source: Step, has_timeout_edge: bool) -> bool:
    match ending:
        case "completed":
            return on in ("satisfied", "success", "complete")
        case "skipped":
            return on in ("satisfied", "skipped")
        case "timeout" if has_timeout_edge and on in ("timeout", "failure"):
            return on == "timeout"
        case _:
            goes_on = source.on_failure is not None and source.on_failure.action in ("continue", "skip")
            return on in ("failure", "complete") or (on == "satisfied" and goes_on)


def runs(steps: list[Step], ends: dict[str, str], branch: int) -> set[str]:
    """The steps that run when each that does ends so, and the deciding one takes the branch of that number."""
    by_name = {step.name: step for step in steps}
    timed = {each.step for step in steps for each in step.depends_on if each.on == "timeout"}
    timed |= {step.name for step in steps if any(edge.on == "timeout" for edge in step.edges)}
    inbound: dict[str, list[bool]] = {step.name: [] for step in steps}
    ran: set[str] = set()
    for step in steps:  # in the order of the definition, which is that of the edges
        for each in step.depends_on:
            source = by_name[each.step]
            taken = each.step in ran and is_taken(each.on, ends[each.step], source, each.step in timed)
            inbound[step.name].append(taken)
        if is_due(step, inbound[step.name]):
            ran.add(step.name)
        for number, edge in enumerate(step.edges):
            chosen = edge.decision is None or number == branch
            taken = chosen and step.name in ran and is_taken(edge.on, ends[step.name], step, step.name in timed)
            for to in edge.to:
                inbound[to].append(taken)
    return ran


def is_due(step: Step, taken: list[bool]) -> bool:
    join = join_of(step)
    if not taken or join == "all":
        return all(taken)
    return sum(taken) >= (join if isinstance(join, int) else 1)


def worlds(steps: list[Step]) -> Iterator[tuple[dict[str, str], int]]:
    branches = max(sum(edge.decision is not None for edge in step.edges) for step in steps)
    for ends in product(*(endings(step) for step in steps)):
        for branch in range(max(1, branches)):
            yield dict(zip((step.name for step in steps), ends, strict=True)), branch


def said_blocked(steps: list[Step]) -> set[str]:
    found = blocked_steps(StepGraph(steps))
    return {name for each in found for name in (each.step.name, *each.behind)}


@given(graphs())
@settings(max_examples=150, deadline=None)
def test_what_is_said_never_to_run_never_runs(steps: list[Step]) -> None:
    blocked = said_blocked(steps)
    if blocked:
        for ends, branch in worlds(steps):
            assert not blocked & runs(steps, ends, branch), (ends, branch)


@given(graphs())
@settings(max_examples=100, deadline=None)
def test_where_every_edge_is_needed_all_that_never_runs_is_found(steps: list[Step]) -> None:
    strict = [msgspec.structs.replace(step, join="all") for step in steps]
    ran = set[str]().union(*(runs(strict, ends, branch) for ends, branch in worlds(strict)))
    assert said_blocked(strict) == {step.name for step in strict} - ran


def test_the_work_grows_no_faster_than_the_graph() -> None:
    chain = [
        Step(name=f"s{number}", edges=(
            Edge(to=(f"s{number + 1}",), decision=0), Edge(to=(f"t{number}",), decision=0),
        ))
        for number in range(5_000)
    ]  # fmt: skip
    ends = [Step(name=f"t{number}") for number in range(5_000)]
    last = [Step(name="s5000"), Step(name="z", depends_on=tuple(Dependency(step=each.name) for each in ends))]
    started = time.perf_counter()
    found = blocked_steps(StepGraph([*chain, *ends, *last]))
    assert [each.step.name for each in found] == ["z"]
    assert time.perf_counter() - started < 5
