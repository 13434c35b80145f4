"""What `plan` says of a workflow: its order, its worst case, and what it leaves open."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stepwell.app.planning import StepFigures, WorkflowFigures, figures_document, figures_of
from stepwell.app.worst_case import Cost, with_places
from stepwell.base.spans import Source
from stepwell.definition.diagnostics import InvalidDefinition
from stepwell.definition.tree import MAX_DEPTH
from stepwell.dialects.loading import load_or_raise

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


def planned(*steps: dict[str, Any], services: dict[str, int] | None = None, **spec: Any) -> WorkflowFigures:
    """The figures of a workflow with these steps."""
    document = {
        "apiVersion": "workflow/v1",
        "kind": "Workflow",
        "metadata": {"name": "demo", "version": "1.0.0"},
        "spec": {"steps": list(steps), **spec},
    }
    return figures_of(load_or_raise(Source("w.json", json.dumps(document))), services)


def work(name: str, *after: str, timeout: str | None = "10s", **more: Any) -> dict[str, Any]:
    """A step that a worker does, of a known time."""
    step = {"name": name, "type": "python", "config": {"task": "work"}, **more}
    if timeout is not None:
        step["timeout"] = timeout
    return {**step, "depends_on": list(after)} if after else step


def inner(step: str, kind: str, /, *after: str, **config: Any) -> dict[str, Any]:
    """A step of that type, with these settings."""
    made = {"name": step, "type": kind, "config": config}
    return {**made, "depends_on": list(after)} if after else made


def step_of(figures: WorkflowFigures, name: str) -> StepFigures:
    return next(step for step in figures.steps if step.name == name)


def reasons(figures: WorkflowFigures) -> dict[str, str]:
    return {each.step: each.reason for each in figures.unbounded}


# Order


def test_steps_stand_in_the_first_batch_after_all_that_lead_to_them() -> None:
    figures = planned(work("a"), work("b", "a"), work("c", "a"), work("d", "b", "c"), work("e"))
    assert figures.batches == (("a", "e"), ("b", "c"), ("d",))
    assert {step.name: step.batch for step in figures.steps} == {"a": 1, "b": 2, "c": 2, "d": 3, "e": 1}


def test_a_join_is_named_where_several_edges_meet() -> None:
    figures = planned(
        work("a", next=[{"to": ["c"]}]),
        work("b", next=[{"to": ["c"]}]),
        work("c"),
        work("d", "a", "b"),
        work("e", "a", "b", join="any"),
        work("f", "a"),
    )
    joins = {step.name: (step.join, step.after) for step in figures.steps}
    assert joins["c"] == ("sync", ("a", "b"))
    assert joins["d"] == ("all", ("a", "b"))
    assert joins["e"] == ("any", ("a", "b"))
    assert joins["f"] == (None, ("a",))


def test_a_step_that_stands_in_for_another_comes_after_it() -> None:
    fallback = {"action": "fallback", "fallback": "cash"}
    figures = planned(work("card", on_failure=fallback), work("cash"))
    assert figures.batches == (("card",), ("cash",))
    assert figures.critical_path == ("card", "cash")
    assert figures.duration == 20 * SECOND


def test_a_milestone_comes_after_what_it_waits_for() -> None:
    figures = planned(work("a"), work("b", milestone={"after": ["a"]}))
    assert figures.batches == (("a",), ("b",))
    assert figures.duration == 20 * SECOND


# The critical path


def test_the_critical_path_is_the_chain_that_takes_longest() -> None:
    figures = planned(work("a"), work("b", "a"), work("c", "b"), work("long", timeout="1m"), work("end", "c", "long"))
    assert (figures.critical_path, figures.critical_path_by) == (("long", "end"), "duration")
    assert figures.duration == 70 * SECOND


def test_without_timeouts_the_critical_path_is_the_chain_with_most_steps() -> None:
    figures = planned(work("a"), work("b", "a"), work("c", "b"), work("x", timeout=None), work("end", "c", "x"))
    assert (figures.critical_path, figures.critical_path_by) == (("a", "b", "c", "end"), "steps")
    assert figures.duration is None


def test_of_chains_that_take_equally_long_the_one_with_most_steps_counts() -> None:
    figures = planned(inner("a", "noop"), inner("b", "noop", "a"), inner("c", "noop"))
    assert figures.critical_path == ("a", "b")


def test_the_critical_path_goes_through_the_longest_branch_inside_a_step() -> None:
    branches = {"condition": True, "then": [work("t1"), work("t2", "t1")], "else": [work("e1", timeout="1h")]}
    figures = planned(work("a"), inner("choose", "conditional", "a", **branches), work("z", "choose"))
    assert figures.critical_path == ("a", "choose", "e1", "z")


# Attempts


def test_attempts_multiply_over_tries_items_and_rounds() -> None:
    figures = planned(
        work("a", retry={"max_attempts": 3}),
        work("b", retry={"max_attempts": 2}, for_each={"items": [1, 2, 3, 4]}),
        work("c", repeat={"until": "{{ true }}", "max_iterations": 5}),
        inner("loop", "loop", count=10, steps=[work("d", retry={"max_attempts": 2})]),
    )
    assert {step.name: (step.runs, step.tries, step.attempts) for step in figures.steps} == {
        "a": (1, 3, 3), "b": (4, 2, 8), "c": (5, 1, 5), "loop": (1, 1, 0), "d": (10, 2, 20),
    }  # fmt: skip
    assert figures.attempts == 36


def test_batches_of_items_are_one_run_each() -> None:
    figures = planned(work("a", for_each={"items": [1, 2, 3, 4, 5], "batch_size": 2, "concurrency": 1}))
    assert (figures.attempts, figures.duration) == (3, 30 * SECOND)


def test_of_branches_only_the_one_with_most_attempts_counts() -> None:
    cases = [{"when": "{{ true }}", "steps": [work("a"), work("b")]}, {"when": "{{ false }}", "steps": [work("c")]}]
    figures = planned(inner("choose", "conditional", cases=cases, default=[work("d")]))
    assert figures.attempts == 2


def test_loops_inside_loops_multiply() -> None:
    deep = inner("inner", "loop", items=["x", "y", "z"], steps=[work("a")])
    figures = planned(inner("outer", "loop", **{"while": "{{ true }}", "max_iterations": 7}, steps=[deep]))
    assert step_of(figures, "a").attempts == figures.attempts == 21
    assert figures.duration == 210 * SECOND


def test_a_loop_with_a_condition_goes_round_a_hundred_times_unless_it_says_otherwise() -> None:
    figures = planned(inner("loop", "loop", until="{{ true }}", steps=[work("a")]))
    assert figures.attempts == 100


def test_visits_count_in_a_cycle() -> None:
    figures = planned(
        work("start", next=[{"to": ["check"]}]),
        work("check", max_visits=3, decision=[{"when": "{{ true }}", "next": "fix"}, {"default": "done"}]),
        work("fix", next=[{"to": ["check"]}]),
        work("done"),
    )
    assert {step.name: step.runs for step in figures.steps} == {"start": 1, "check": 3, "fix": 4, "done": 1}
    assert step_of(figures, "check").batch == 2


def test_visits_count_where_a_step_leads_to_itself() -> None:
    again = [{"when": "{{ result() == 'again' }}", "to": "again"}, {"to": "done"}]
    figures = planned(work("again", max_visits=3, next=again), work("done"))
    assert {step.name: step.runs for step in figures.steps} == {"again": 3, "done": 1}


def test_a_step_that_joins_each_is_due_for_every_edge() -> None:
    pushing = [work(name, next=[{"to": ["all"]}]) for name in ("a", "b", "c")]
    figures = planned(*pushing, work("all", join="each"))
    assert step_of(figures, "all").runs == 3


def test_attempts_have_no_bound_when_only_a_run_knows_the_items() -> None:
    schema = {"schema": {"properties": {"orders": {"type": "array"}}}}
    figures = planned(
        work("a"),
        work("b", for_each={"items": "{{ input.orders }}"}),
        inner("c", "loop", items="{{ input.orders }}", max_iterations=5, steps=[work("d")]),
        input=schema,
    )
    assert figures.attempts is None
    assert step_of(figures, "a").attempts == 1
    assert step_of(figures, "d").runs is None
    assert reasons(figures) == {
        "b": "only a run knows how many items it has", "c": "only a run knows how often it goes round",
    }  # fmt: skip


def test_items_without_work_take_no_time_however_many_there_are() -> None:
    step = inner("a", "noop") | {"for_each": {"items": "{{ input.orders }}"}}
    figures = planned(step, input={"schema": {"properties": {"orders": {}}}})
    assert (figures.duration, figures.attempts, figures.unbounded) == (0, 0, ())


def test_an_expression_that_depends_on_nothing_is_known() -> None:
    figures = planned(work("a", for_each={"items": "{{ [1, 2, 3] }}"}))
    assert figures.attempts == 3


def test_actions_say_how_often_a_step_is_tried() -> None:
    figures = planned(
        work("a", retry={"max_attempts": 5}, on_failure={"action": "retry", "max_attempts": 2}),
        work("b", on_timeout={"action": "retry", "max_attempts": 4}),
        work("c", on_failure={"action": "retry"}),
        inner("d", "wait_for_event", event_type="go"),
        config={"retry_policy": {"max_attempts": 3}},
    )
    assert {step.name: step.tries for step in figures.steps} == {"a": 2, "b": 4, "c": 3, "d": 1}


def test_a_fallback_with_a_body_is_one_more_attempt() -> None:
    body = {"type": "python", "config": {"task": "other"}, "timeout": "5s"}
    figures = planned(work("a", on_failure={"action": "fallback", "fallback": body}))
    assert (figures.attempts, figures.duration) == (2, 15 * SECOND)


# Time


def test_the_longest_way_adds_tries_pauses_delays_and_waits() -> None:
    retry = {"max_attempts": 3, "backoff": "constant", "initial_delay": "2s"}
    figures = planned(
        work("a", retry=retry),
        {"name": "b", "type": "wait", "config": {"for": "1m"}, "depends_on": "a", "delay": "5s"},
        {"name": "c", "type": "wait_for_event", "config": {"event_type": "go"}, "depends_on": "b"},
    )
    assert step_of(figures, "a").backoff == 4 * SECOND
    assert step_of(figures, "a").duration == 34 * SECOND
    assert figures.duration == 34 * SECOND + MINUTE + 5 * SECOND + HOUR


def test_an_edge_may_take_its_time() -> None:
    figures = planned(work("a", next=[{"to": ["b"], "delay": "30s"}]), work("b"))
    assert figures.duration == 50 * SECOND


def test_items_that_run_side_by_side_take_as_many_rounds_as_they_need() -> None:
    figures = planned(work("a", for_each={"items": [*range(7)], "concurrency": 3}))
    assert figures.duration == 30 * SECOND


def test_types_with_a_timeout_of_their_own_have_a_bound() -> None:
    figures = planned(
        {"name": "a", "type": "http", "config": {"url": "http://x"}},
        {"name": "b", "type": "service_call", "config": {"service": "s", "endpoint": "/"}, "depends_on": "a"},
        {"name": "c", "type": "service_call", "config": {"service": "t", "endpoint": "/"}, "depends_on": "b"},
        {"name": "d", "type": "shell", "config": {"command": "x", "timeout": "7s"}, "depends_on": "c"},
        {"name": "e", "type": "transform", "config": {"value": 1}, "depends_on": "d"},
        services={"s": 4 * SECOND},
    )
    assert [step.timeout for step in figures.steps] == [30 * SECOND, 4 * SECOND, 30 * SECOND, 7 * SECOND, 0]
    assert figures.duration == 71 * SECOND


def test_a_breaker_bounds_a_call() -> None:
    figures = planned(work("a", timeout=None, circuit_breaker={"call_timeout": "9s"}))
    assert figures.duration == 9 * SECOND


def test_a_bulkhead_and_a_lock_add_the_wait_that_they_allow() -> None:
    bulkhead = {"max_concurrent": 1, "max_queue_size": 5, "timeout": "3s"}
    figures = planned(work("a", bulkhead="calls", mutex={"key": "m", "timeout": "1m"}), config={
        "policies": {"calls": {"bulkhead": bulkhead}},
    })  # fmt: skip
    assert figures.duration == 13 * SECOND + MINUTE


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (work("x", timeout=None), "it has no timeout"),
        (inner("x", "http", url="http://x", timeout="{{ input.t }}"), "only a run knows its timeout"),
        (inner("x", "wait", until="2030-01-01T00:00:00Z"), "only a run knows how long it waits"),
        (inner("x", "wait_for_event", event_type="e", timeout="{{ input.t }}"), "only a run knows its timeout"),
        (inner("x", "approval", prompt="?"), "it waits for a person, and has no timeout"),
        (inner("x", "workflow", name="other"), "it waits for another workflow, and has no timeout"),
        (inner("x", "dynamic", task="make"), "only a run knows its steps"),
        (
            inner("x", "state_machine", initial="a", states={"a": {"final": True}}),
            "only a run knows which events come to it, and when",
        ),
    ],
    ids=lambda value: str(value["type"]) if isinstance(value, dict) else None,
)
def test_what_may_last_for_ever_is_named_with_the_reason(step: dict[str, Any], reason: str) -> None:
    figures = planned(step, work("y", "x"), input={"schema": {"properties": {"t": {}}}})
    assert (figures.duration, reasons(figures), figures.without_timeout) == (None, {"x": reason}, ("x",))


def test_a_timeout_bounds_what_stands_inside_it() -> None:
    group = {"name": "g", "type": "parallel_group", "timeout": "1m", "config": {"steps": [work("a", timeout=None)]}}
    figures = planned(group)
    assert (figures.duration, figures.without_timeout) == (MINUTE, ())


def test_a_sub_workflow_that_is_not_waited_for_takes_no_time() -> None:
    assert planned(inner("x", "workflow", name="other", wait=False)).duration == 0


def test_the_timeout_of_the_workflow_bounds_its_work_but_not_its_waits() -> None:
    waits = [{"name": "b", "type": "wait", "config": {"for": "1h"}, "depends_on": "a"}]
    figures = planned(work("a", timeout=None), *waits, config={"timeout": "10m"})
    assert (figures.duration, figures.ended_by) == (HOUR + 10 * MINUTE, "timeout")
    assert figures.without_timeout == ("a",)


def test_the_deadline_bounds_everything() -> None:
    figures = planned(inner("x", "approval", prompt="?"), config={"timeout": "10m", "deadline": "7d"})
    assert (figures.duration, figures.ended_by) == (7 * 24 * HOUR, "deadline")


def test_with_few_places_steps_wait_for_each_other() -> None:
    steps = [work(name) for name in "abcd"]
    assert planned(*steps).duration == 10 * SECOND
    assert planned(*steps, config={"max_parallel_steps": 2}).duration == 25 * SECOND
    assert planned(*steps, config={"max_parallel_steps": 1}).duration == 40 * SECOND


def _makespan(durations: list[int], before: dict[int, list[int]], places: int) -> int:
    """How long a greedy order really takes, in the order of the steps."""
    ends: dict[int, int] = {}
    running: list[int] = []
    now = 0
    while len(ends) < len(durations):
        due = [
            step
            for step in range(len(durations))
            if step not in ends and all(ends.get(other, math.inf) <= now for other in before[step])
        ]
        for step in due[: places - len(running)]:
            ends[step] = now + durations[step]
            running.append(step)
        now = min((ends[step] for step in running), default=now)
        running = [step for step in running if ends[step] > now]
    return max(ends.values(), default=0)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_order_of_steps_takes_longer_than_the_worst_case(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 8))
    durations = data.draw(st.lists(st.integers(1, 9), min_size=count, max_size=count))
    before = {n: data.draw(st.lists(st.integers(0, n - 1), unique=True, max_size=n)) if n else [] for n in range(count)}
    places = data.draw(st.integers(1, 4))
    steps = [work(f"s{n}", *(f"s{m}" for m in before[n]), timeout=f"{durations[n]}s") for n in range(count)]
    figures = planned(*steps, config={"max_parallel_steps": places})
    assert figures.duration is not None
    longest = planned(*steps).duration
    assert longest is not None
    assert longest <= figures.duration
    assert _makespan(durations, before, places) * SECOND <= figures.duration


def test_waits_take_no_place() -> None:
    assert with_places(Cost(span=10, parked=10, load=0), 1) == 10
    assert with_places(Cost(span=10, parked=4, load=6), 1) == 10


# What is left open


@pytest.mark.parametrize(
    ("type_", "config", "changes"),
    [
        ("service_call", {"service": "s", "endpoint": "/"}, False),
        ("service_call", {"service": "s", "endpoint": "/", "method": "PUT"}, True),
        ("service_call", {"service": "s", "endpoint": "/", "method": "{{ input.m }}"}, True),
        ("http", {"url": "http://x", "method": "HEAD"}, False),
        ("http", {"url": "http://x", "method": "DELETE"}, True),
        ("shell", {"command": "x"}, True),
        ("sql", {"connection": "c", "query": "SELECT 1"}, True),
        ("file", {"op": "read", "path": "x"}, False),
        ("file", {"op": "write", "path": "x", "content": ""}, True),
        ("notify", {"message": "x"}, True),
        ("emit_event", {"type": "x"}, True),
        ("python", {"task": "x"}, True),
        ("ai", {"prompt": "x"}, True),
        ("a_task_of_mine", {}, True),
        ("transform", {"value": 1}, False),
        ("noop", {}, False),
        ("wait", {"for": "1s"}, False),
    ],
)
def test_a_step_that_changes_something_outside_is_to_be_undone(type_: str, config: Any, changes: bool) -> None:
    figures = planned(inner("x", type_, **config), input={"schema": {"properties": {"m": {}}}})
    assert figures.without_compensation == (("x",) if changes else ())


def test_a_step_is_undone_by_its_own_body_or_by_a_compensation_step_that_reads_it() -> None:
    undo = {"type": "python", "config": {"task": "undo"}, "timeout": "1s"}
    figures = planned(
        work("a", compensate=undo),
        work("b"),
        work("c"),
        work("d"),
        compensation={
            "steps": [
                work("undo_b", config={"task": "undo", "args": {"id": "{{ steps.b.output }}"}}),
                work("undo_c", when="steps.c.completed"),
            ]
        },
    )
    assert figures.without_compensation == ("d",)
    assert (figures.compensation_attempts, figures.compensation_duration) == (3, 21 * SECOND)
    assert [step.name for step in figures.compensation] == ["undo_b", "undo_c"]


def test_what_undoes_a_group_undoes_what_is_in_it() -> None:
    group = inner("g", "parallel_group", steps=[work("a"), work("b")])
    figures = planned({**group, "compensate": {"type": "python", "config": {"task": "undo"}}})
    assert figures.without_compensation == ()


def test_compensation_side_by_side_takes_as_long_as_its_longest_step() -> None:
    undoing = {"strategy": "parallel", "steps": [work("u"), work("v", timeout="1m")]}
    assert planned(work("a"), compensation=undoing).compensation_duration == MINUTE
    assert planned(work("a"), compensation={**undoing, "timeout": "30s"}).compensation_duration == 30 * SECOND


# Nesting


def test_nested_steps_know_where_they_stand() -> None:
    branches = {"condition": True, "then": [work("a"), work("b", "a")], "else": [work("c")]}
    figures = planned(inner("choose", "conditional", **branches))
    assert {step.name: (step.parent, step.block, step.batch) for step in figures.steps} == {
        "choose": (None, None, 1), "a": ("choose", "then", 1), "b": ("choose", "then", 2), "c": ("choose", "else", 1),
    }  # fmt: skip


def test_the_deepest_nesting_that_a_document_allows_is_planned() -> None:
    deepest = (MAX_DEPTH - 2) // 3  # a level is a list of steps, a step and its settings; around it are two more
    step = work("inmost")
    for level in range(1, deepest):
        step = inner(f"g{level}", "parallel_group", steps=[step])
    figures = planned(step)
    assert (len(figures.steps), figures.attempts, figures.duration) == (deepest, 1, 10 * SECOND)
    with pytest.raises(InvalidDefinition, match="too-deep"):
        planned(inner("outmost", "parallel_group", steps=[step]))


def test_the_document_says_null_where_nothing_bounds_a_figure() -> None:
    document = figures_document(planned(work("a", timeout=None), work("b", "a", retry={"max_attempts": 2})))
    assert json.loads(json.dumps(document)) == document
    assert (document["worst_case_ms"], document["worst_case_attempts"], document["ended_by"]) == (None, 3, None)
    assert document["unbounded"] == [{"step": "a", "reason": "it has no timeout", "duration": True, "attempts": False}]
    assert (document["steps"][1]["timeout_ms"], document["steps"][1]["max_backoff_ms"]) == (10_000, 1_000)


def test_where_branches_are_separate_what_follows_a_split_runs_as_often_as_that() -> None:
    figures = planned(
        work("a", next=[{"to": "s"}]),
        work("b", next=[{"to": "s"}]),
        work("s", next=[{"to": ["x", "y"]}]),
        work("x", next=[{"to": "end"}]),
        work("y", next=[{"to": "end"}]),
        work("end", join="all"),
        config={"branches": "separate"},
    )
    assert {step.name: step.runs for step in figures.steps} == {"a": 1, "b": 1, "s": 2, "x": 2, "y": 2, "end": 2}
    assert step_of(figures, "s").join == "each"
