"""`parallel_group`: steps side by side, until all, one or some of them have completed."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from tests.decider.played import Played, details
from tests.decider.story import BOOM, FLAKY
from tests.decider.test_cost import counting


def group(says: str = "", more: str = "", steps: str = "", spec: str = "") -> str:
    """A workflow with a group of three steps (or `steps`) and a step behind it."""
    inside = steps or "[{name: a, type: work}, {name: b, type: work}, {name: c, type: work}]"
    return f"""
{spec}
steps:
- name: g
  type: parallel_group
  {more or "description: nothing more"}
  config: {{{says}{"," if says else ""} steps: {inside}}}
- {{name: z, type: noop, depends_on: g}}
output: {{values: {{out: "{{{{ steps.g.output }}}}"}}}}
"""


def test_all_steps_run_side_by_side_and_the_results_are_those_of_each_by_name() -> None:
    story = Played(group())
    assert story.running == ["a", "b", "c"]
    story.done("b", result=2).done("a", result=1)
    assert story.of("g") == "running"
    story.done("c", result=3)
    assert story.output == {"out": {"a": 1, "b": 2, "c": 3}}


def test_steps_of_a_group_may_depend_on_each_other() -> None:
    story = Played(group(steps="[{name: a, type: work}, {name: b, type: work, depends_on: a}]"))
    assert story.running == ["a"]
    assert story.done("a").running == ["b"]


def test_wait_for_any_completes_with_the_first_and_cancels_the_others() -> None:
    story = Played(group("wait_for: any"))
    story.done("b", result=2)
    assert story.output == {"out": {"b": 2}}
    assert story.of("a", "c") == ["cancelled", "cancelled"]
    assert sorted(story.stopped) == ["a", "c"]
    assert story.reason("a") == "enough of the group have completed"


def test_wait_for_a_number_completes_with_so_many() -> None:
    story = Played(group("wait_for: 2"))
    story.done("c", result=3)
    assert story.of("g") == "running"
    story.done("a", result=1)
    assert story.output == {"out": {"a": 1, "c": 3}}
    assert story.stopped == ["b"]


def test_of_two_that_complete_in_one_turn_the_first_counts() -> None:
    story = Played(
        group("wait_for: any", steps="[{name: a, type: noop}, {name: b, type: noop}, {name: c, type: work}]")
    )
    assert story.output == {"out": {"a": None}}
    assert story.ran == []


LOSERS = {
    "work": ("{name: x, type: work}", []),
    "an event": ("{name: x, type: wait_for_event, config: {event_type: e}}", []),
    "a timer": ("{name: x, type: wait, config: {for: 1h}}", []),
    "people": ("{name: x, type: approval, config: {prompt: well}}", []),
    "a delay": ("{name: x, type: work, delay: 1h}", []),
    "a lock": ("{name: x, type: work, mutex: taken}", []),
    "a held lock": ("{name: x, type: work, mutex: free}", []),
    "a retry": ("{name: x, type: work, retry: {max_attempts: 9, initial_delay: 1h}}", ["x"]),
    "a sub-workflow": ("{name: x, type: workflow, config: {name: child}}", []),
    "a loop": ("{name: x, type: loop, config: {count: 3, steps: [{name: deep, type: work}]}}", []),
    "items": ("{name: x, type: work, for_each: {items: [1, 2]}}", []),
    "a loop at rest": ("{name: x, type: loop, config: {count: 3, delay: 1h, steps: [{name: deep, type: noop}]}}", []),
    "a group": ("{name: x, type: parallel_group, config: {steps: [{name: deep, type: wait, config: {for: 1h}}]}}", []),
    "a machine": (
        ("{name: x, type: state_machine,"
        " config: {initial: s, states: {s: {transitions: [{event: e, to: t}]}, t: {final: true}}}}"),
        [],
    ),
    "a fallback": ("{name: x, type: work, on_failure: {action: fallback, fallback: {type: work}}}", ["x!"]),
    "a fallback step": (
        "{name: x, type: work, on_failure: {action: fallback, fallback: other}}, {name: other, type: work}", ["x!"],
    ),
    "a dynamic step that is asked": ("{name: x, type: dynamic, config: {task: make}}", []),
    "nothing yet": ("{name: y, type: work}, {name: x, type: work, depends_on: y}", []),
}  # fmt: skip


@pytest.mark.parametrize("loser", LOSERS)
@pytest.mark.parametrize("ending", ["another completes", "another fails", "the time is up", "the workflow fails"])
def test_whatever_a_loser_waits_for_is_withdrawn_with_it(loser: str, ending: str) -> None:
    text, before = LOSERS[loser]
    says = "wait_for: any, fail_fast: true"
    spec = "config: {deadline: 10s}" if ending == "the workflow fails" else ""
    more = "timeout: 10s" if ending == "the time is up" else ""
    story = Played(group(says, more, f"[{{name: a, type: work}}, {text}]", spec), locked=("taken",))
    for key in before:
        story.failed(key.rstrip("!"), BOOM if key.endswith("!") else FLAKY)
    if ending == "another completes":
        story.done("a", result=1)
        assert story.output == {"out": {"a": 1}}
    elif ending == "another fails":
        story.failed("a")
    else:
        story.time(10)
    assert story.status == ("completed" if ending == "another completes" else "failed")
    assert story.work == {}
    assert story.of("x") in ("cancelled", "pending")
    assert "running" not in story.statuses.values()
    assert "waiting" not in story.statuses.values()
    if loser == "a sub-workflow":
        assert [verb for _, verb in story.told] == ["cancel"]


def test_a_race_of_waits_is_won_by_the_first_event_and_the_other_waits_are_withdrawn() -> None:
    story = Played(
        group(
            "wait_for: any",
            steps="[{name: paid, type: wait_for_event, config: {event_type: paid}},"
            " {name: refused, type: wait_for_event, config: {event_type: refused}},"
            " {name: late, type: wait, config: {for: 1h}}]",
        )
    )
    story.event("refused", why="no money")
    assert story.output == {"out": {"refused": {"event_data": {"why": "no money"}}}}
    assert story.waits == {}
    assert story.of("paid", "late") == ["cancelled", "cancelled"]
    story.event("paid")
    assert set(story.state.consumed) == {"4:teste1"}


def test_a_race_of_waits_is_won_by_the_timer_when_no_event_came() -> None:
    story = Played(
        group(
            "wait_for: any",
            steps="[{name: e, type: wait_for_event, config: {event_type: e}},"
            " {name: t, type: wait, config: {for: 1m}}]",
        )
    ).go()
    assert story.of("e", "t") == ["cancelled", "completed"]
    assert story.seconds == 60


def test_an_event_that_two_racing_waits_want_wakes_the_first_and_ends_the_race() -> None:
    story = Played(
        group(
            "wait_for: any",
            steps="[{name: one, type: wait_for_event, config: {event_type: e}},"
            " {name: two, type: wait_for_event, config: {event_type: e, filter: {n: 1}}}]",
        )
    )
    story.event("e", n=1)
    assert story.of("one", "two") == ["completed", "cancelled"]
    assert story.status == "completed"


def test_an_event_that_two_waits_want_side_by_side_wakes_both_once() -> None:
    story = Played("""
        steps:
        - {name: one, type: wait_for_event, config: {event_type: e}}
        - {name: two, type: wait_for_event, config: {event_type: e, filter: {n: 1}}}
        - {name: three, type: wait_for_event, depends_on: one, config: {event_type: e}}
    """)
    story.event("e", n=1)
    assert story.of("one", "two", "three") == ["completed", "completed", "waiting"]


# Failures


def test_by_default_the_others_run_on_after_a_failure_and_then_the_group_fails_with_every_error() -> None:
    story = Played(group())
    story.failed("a")
    assert story.running == ["b", "c"]
    story.done("b").failed("c", ErrorInfo("other", "c broke"))
    error = story.problem("g")
    assert error.type == "group_failed"
    assert error.message == "2 failed, first 'a': it went boom"
    assert [(each["step"], each["error"]["message"]) for each in details(error)["errors"]] == [
        ("a", "it went boom"), ("c", "c broke"),
    ]  # fmt: skip
    assert story.error.type == "group_failed"


def test_fail_fast_cancels_the_others_at_the_first_failure() -> None:
    story = Played(group("fail_fast: true"))
    story.failed("b")
    assert story.of("a", "b", "c", "g") == ["cancelled", "failed", "cancelled", "failed"]
    assert sorted(story.stopped) == ["a", "c"]
    assert story.status == "failed"


def test_wait_for_any_goes_on_after_a_failure_as_long_as_another_may_complete() -> None:
    story = Played(group("wait_for: any"))
    story.failed("a").failed("b").done("c", result=3)
    assert story.output == {"out": {"c": 3}}


def test_wait_for_any_fails_when_none_completed() -> None:
    story = Played(group("wait_for: any")).go({"a": BOOM, "b": BOOM, "c": BOOM})
    assert story.problem("g").message == "0 of the 1 wanted steps completed; 3 failed, first 'a': it went boom"


def test_wait_for_a_number_that_can_no_longer_be_reached_fails_the_group_when_all_are_through() -> None:
    story = Played(group("wait_for: 3"))
    story.failed("a").done("b", "c")
    assert story.problem("g").message == "2 of the 3 wanted steps completed; 1 failed, first 'a': it went boom"


def test_a_step_that_was_skipped_by_its_own_condition_does_not_keep_the_group_from_completing() -> None:
    story = Played(group(steps="[{name: a, type: work, when: false}, {name: b, type: work}]")).go({"b": 2})
    assert story.output == {"out": {"b": 2}}


def test_a_step_that_was_skipped_is_none_of_those_that_are_wanted() -> None:
    story = Played(group("wait_for: any", steps="[{name: a, type: work, when: false}, {name: b, type: work}]"))
    assert story.of("g") == "running"
    assert story.done("b", result=2).output == {"out": {"b": 2}}


def test_a_failure_that_is_handled_inside_is_no_failure_of_the_group() -> None:
    story = Played(group("fail_fast: true", steps="[{name: a, type: work, on_failure: b}, {name: b, type: work}]"))
    story.failed("a")
    assert story.running == ["b"]
    assert story.done("b").status == "completed"


def test_what_stands_in_for_a_failed_step_counts_as_its_completion() -> None:
    steps = "[{name: a, type: work, on_failure: {action: fallback, fallback: 7}}, {name: b, type: work}]"
    story = Played(group("wait_for: any", steps=steps))
    story.failed("a")
    assert story.output == {"out": {"a": 7}}


def test_a_failed_group_may_be_retried_and_every_step_runs_again() -> None:
    story = Played(group(more="retry: {max_attempts: 2, initial_delay: 1s}"))
    story.failed("a", FLAKY).done("b", "c").time(1)
    assert story.running == ["a[~2]", "b[~2]", "c[~2]"]
    story.go({"a": 1, "b": 2, "c": 3})
    assert story.output == {"out": {"a": 1, "b": 2, "c": 3}}


def test_a_group_is_not_retried_when_one_of_its_failures_says_that_this_is_of_no_use() -> None:
    story = Played(group(more="retry: {max_attempts: 2}"))
    story.failed("a", FLAKY).failed("b", BOOM).done("c")
    assert story.of("g") == "failed"


@pytest.mark.parametrize(
    ("action", "status", "out"),
    [
        ("{action: continue}", "completed", None),
        ("{action: fallback, fallback: {a: 0}}", "completed", {"a": 0}),
        ("{action: terminate, message: 'the group is broken'}", "failed", None),
    ],
)
def test_what_on_failure_says_holds_for_the_group_as_for_any_step(action: str, status: str, out: Any) -> None:
    story = Played(group(more=f"on_failure: {action}").replace("steps.g.output", "steps.g.output | default(none)"))
    story.go({"a": BOOM})
    assert story.status == status
    if status == "completed":
        assert story.output == {"out": out}
    else:
        assert story.error.message == "the group is broken"


def test_the_timeout_of_a_group_stops_what_runs_in_it_and_may_be_retried() -> None:
    story = Played(group(more="timeout: 5s\n  retry: {max_attempts: 2, initial_delay: 1s}"))
    story.done("a").time(5)
    assert sorted(story.stopped) == ["b", "c"]
    assert story.of("g") == "retrying"
    story.time(1)
    assert story.running == ["a[~2]", "b[~2]", "c[~2]"]
    story.time(5)
    assert story.problem("g").type == "timeout"
    assert story.status == "failed"


@pytest.mark.parametrize(
    ("action", "after"),
    [("{action: continue}", "completed"), ("late", "completed"), ("{action: terminate}", "failed")],
)
def test_on_timeout_decides_what_follows_the_timeout_of_a_group(action: str, after: str) -> None:
    story = Played(
        group(more=f"timeout: 5s\n  on_timeout: {action}")
        .replace("- {name: z, type: noop, depends_on: g}", "- {name: late, type: noop}" if action == "late" else "")
        .replace("steps.g.output", "steps.g.status")
    )
    story.time(5)
    assert story.status == after
    assert story.of("g") == "failed"


def test_a_report_that_comes_after_its_step_was_cancelled_changes_nothing() -> None:
    story = Played(group("wait_for: any"))
    late = story.work["a"]
    story.done("b")
    before = len(story.history)
    story.work["a"] = late
    story.done("a")
    assert len(story.history) == before


def test_a_group_in_a_stopped_workflow_is_cancelled_once_its_running_steps_have_ended() -> None:
    story = Played(group().replace("steps:\n- name: g", "steps:\n- {name: other, type: work}\n- name: g", 1))
    story.failed("other")
    assert story.running == ["a", "b", "c"]
    story.done("a", "b", "c")
    assert story.status == "failed"
    assert story.of("g") in ("completed", "cancelled")


def test_a_join_in_a_group_that_can_no_longer_be_met_fails_the_group() -> None:
    steps = (
        '[{name: a, type: work, when: "{{ input.both }}", next: [{to: m}]}, {name: b, type: work, next: [{to: m}]},'
        " {name: m, type: work, join: 2}, {name: slow, type: work}]"
    )
    story = Played(group(steps=steps), {"both": False})
    story.done("b")
    assert story.running == ["slow"]
    story.done("slow")
    assert story.problem("g").type == "join_unsatisfiable"
    assert story.status == "failed"


def test_a_step_of_a_wide_group_costs_the_same_as_one_of_a_narrow_group() -> None:
    def calls_per_step(width: int) -> float:
        steps = ", ".join(f"{{name: s{number}, type: work}}" for number in range(width))
        story = Played(group(steps=f"[{steps}]"), replays=False)
        with counting() as calls:
            story.go(turns=width + 1)
        return calls[0] / width

    assert calls_per_step(400) < 1.2 * calls_per_step(40)
