"""Constructs in constructs: what is inside sees its own round, and ends with what is around it."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.values import Sealed
from stepwell.execution.work import Assignment
from tests.decider.played import Played, details
from tests.decider.story import BOOM, FLAKY


def test_a_cycle_may_stand_in_a_round_and_every_round_has_its_own_visits() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            items: [1, 2]
            concurrency: 2
            steps:
            - {name: begin, type: noop, next: [{to: check}]}
            - {name: check, type: work, max_visits: 5, decision: [{when: "{{ result() }}", next: fix}, {default: out}]}
            - {name: fix, type: work, config: {i: "{{ item }}"}, next: [{to: check}]}
            - {name: out, type: noop}
    """)
    story.done("check[1]", result=True)
    assert story.running == ["check[0]", "fix[1]"]
    assert story.given_to("fix[1]") == {"i": 2}
    story.done("fix[1]").done("check[1]#2", result=False).done("check[0]", result=False)
    assert story.status == "completed"
    assert story.of("fix[0]", "out[0]", "out[1]") == ["skipped", "completed", "completed"]


def test_a_loop_in_a_cycle_in_a_loop_keeps_all_its_instances_apart() -> None:
    story = Played("""
        steps:
        - name: outer
          type: loop
          config:
            count: 2
            steps:
            - {name: begin, type: noop, next: [{to: inner}]}
            - name: inner
              type: loop
              max_visits: 3
              config: {count: 2, steps: [{name: a, type: work}]}
              next: [{to: check}]
            - {name: check, type: work, decision: [{when: "{{ result() }}", next: inner}, {default: out}]}
            - {name: out, type: noop}
    """)
    again = iter([True, False, False])
    story.go({"check": lambda work: next(again)})
    assert story.ran == [
        "a[0,0]", "a[0,1]", "check[0]", "a[0,#2,0]", "a[0,#2,1]", "check[0]#2", "a[1,0]", "a[1,1]", "check[1]",
    ]  # fmt: skip
    assert story.status == "completed"


def test_a_try_of_a_group_in_a_try_of_a_loop_keeps_all_its_instances_apart() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          retry: {max_attempts: 2, initial_delay: 1s}
          config:
            count: 1
            steps:
            - name: g
              type: parallel_group
              retry: {max_attempts: 2, initial_delay: 1s}
              config: {steps: [{name: a, type: work}, {name: b, type: noop}]}
    """)
    for key in ("a[0]", "a[0,~2]", "a[~2,0]"):
        story.failed(key, FLAKY).time(1)
    story.done("a[~2,0,~2]", result=4)
    assert story.status == "completed"
    assert story.step("l").output == [{"g": {"a": 4, "b": None}}]


def test_join_each_in_a_round_makes_instances_of_that_round() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            count: 2
            steps:
            - {name: x, type: noop, next: [{to: m}]}
            - {name: y, type: noop, next: [{to: m}]}
            - {name: m, type: work, join: each}
            - {name: z, type: noop, depends_on: m}
    """).go()
    assert story.ran == ["m[0]", "m[0]#2", "m[1]", "m[1]#2"]
    assert story.status == "completed"


def test_conditions_and_publishing_of_edges_work_in_a_round() -> None:
    story = Played("""
        vars: {seen: []}
        steps:
        - name: l
          type: loop
          config:
            items: [1, 2, 3]
            steps:
            - name: a
              type: work
              config: {i: "{{ item }}"}
              decision: [{when: "{{ result() > 1 and item < 3 }}", next: large}, {default: small}]
            - {name: large, type: set, config: {seen: "{{ vars.seen + [item] }}"}}
            - {name: small, type: noop}
    """).go({"a": lambda work: work.config["i"]})
    assert story.state.variables == {"seen": [2]}
    assert story.of("large[0]", "large[1]", "large[2]") == ["skipped", "completed", "skipped"]


def test_the_failure_of_the_innermost_step_is_told_through_all_that_is_around_it() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            count: 2
            steps:
            - name: c
              type: conditional
              config:
                condition: true
                then: [{name: g, type: parallel_group, config: {steps: [{name: a, type: work}, {name: b, type: noop}]}}]
    """).go({"a[1]": BOOM})
    assert story.error.message == (
        "step 'l' failed: step 'c' failed: step 'g' failed: 1 failed, first 'a[1]': it went boom"
    )
    assert details(story.error)["step"] == "l"
    assert story.of("a[1]", "g[1]", "c[1]", "l") == ["failed"] * 4
    assert story.of("c[0]") == "completed"


@pytest.mark.parametrize("where", ["a", "g", "c", "l"])
def test_a_failure_may_be_handled_at_every_level(where: str) -> None:
    def says(name: str) -> str:
        return "on_failure: {action: continue}," if name == where else ""

    story = Played(f"""
        steps:
        - name: l
          type: loop
          {says("l").rstrip(",") or "description: nothing"}
          config:
            count: 2
            steps:
            - name: c
              type: conditional
              {says("c").rstrip(",") or "description: nothing"}
              config:
                condition: true
                then:
                - name: g
                  type: parallel_group
                  {says("g").rstrip(",") or "description: nothing"}
                  config: {{steps: [{{name: a, {says("a")} type: work}}, {{name: b, type: noop}}]}}
        - {{name: z, type: noop, depends_on: l}}
    """).go({"a[0]": BOOM})
    assert story.status == "completed"
    assert story.of("z") == "completed"
    assert story.times("a") == (1 if where == "l" else 2)


def test_the_time_of_an_outer_construct_ends_everything_inside() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          timeout: 10s
          on_timeout: {action: continue}
          config:
            count: 3
            concurrency: 3
            steps:
            - {name: e, type: wait_for_event, config: {event_type: never}}
            - {name: f, type: work, for_each: {items: [1, 2], concurrency: 1}}
            - {name: s, type: workflow, config: {name: child}}
            - {name: m, type: work, mutex: one}
    """).time(10)
    assert story.status == "completed"
    assert story.work == {}
    assert story.waits == {}
    assert story.locks == {"one": []}
    assert len(story.told) == 3
    assert set(story.statuses.values()) == {"cancelled", "failed"}


def test_an_inner_timeout_is_a_failure_of_the_inner_construct_alone() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          timeout: 1h
          config:
            count: 2
            steps:
            - name: g
              type: parallel_group
              timeout: 5s
              on_timeout: {action: continue}
              config: {steps: [{name: a, type: work}]}
    """)
    story.time(5).time(5)
    assert story.of("g[0]", "g[1]", "l") == ["failed", "failed", "completed"]
    assert story.status == "completed"


def test_the_limit_of_steps_at_once_counts_work_and_not_the_constructs_around_it() -> None:
    story = Played("""
        config: {max_parallel_steps: 2}
        steps:
        - name: l
          type: loop
          config:
            count: 3
            concurrency: 3
            steps: [{name: g, type: parallel_group, config: {steps: [{name: a, type: work}, {name: b, type: work}]}}]
    """)
    assert len(story.running) == 2
    peak = 0
    while story.running:
        peak = max(peak, len(story.running))
        story.done(story.running[0])
    assert peak == 2
    assert story.status == "completed"


def test_waiting_inside_a_construct_takes_no_place_and_no_active_time() -> None:
    story = Played("""
        config: {timeout: 1m, max_parallel_steps: 1}
        steps:
        - {name: l, type: loop, config: {count: 3, steps: [{name: w, type: wait, config: {for: 1h}}]}}
        - {name: a, type: work}
    """)
    assert story.running == ["a"]
    story.done("a").go()
    assert story.seconds == 3 * 3600
    assert story.status == "completed"


def test_secrets_among_the_items_stay_sealed() -> None:
    story = Played(
        """
        input:
          schema:
            type: object
            properties: {users: {type: array, items: {type: object, properties: {password: {type: string}}}}}
        steps:
        - {name: f, type: work, for_each: {items: "{{ input.users }}"}, config: {p: "{{ item.password }}"}}
        """,
        {"users": [{"password": "hunter2"}]},
    )
    assert story.given_to("f[0]") == {"p": Sealed("hunter2")}
    assert "hunter2" not in repr(story.step("f").items)


def test_steps_read_what_stands_around_them_and_not_what_stands_in_other_rounds() -> None:
    story = Played("""
        steps:
        - {name: top, type: work}
        - name: l
          type: loop
          depends_on: top
          config:
            items: [x, y]
            concurrency: 2
            steps:
            - {name: first, type: work}
            - name: c
              type: conditional
              depends_on: first
              config:
                condition: "{{ steps.first.output == item }}"
                then:
                - name: deep
                  type: work
                  config: {top: "{{ steps.top.output }}", first: "{{ steps.first.output }}", item: "{{ item }}"}
    """)
    story.done("top", result="t").done("first[1]", result="y").done("first[0]", result="other")
    assert story.running == ["deep[1]"]
    assert story.given_to("deep[1]") == {"top": "t", "first": "y", "item": "y"}


def test_a_step_that_has_not_run_in_this_round_is_not_read_from_the_round_before() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            items: [1, 2]
            steps:
            - {name: a, type: work, when: "{{ item == 1 }}"}
            - {name: b, type: work, depends_on: a, config: {a: "{{ steps.a.output }}", ran: "{{ steps.a.completed }}"}}
    """)
    story.done("a[0]", result="old")
    assert story.given_to("b[0]") == {"a": "old", "ran": True}
    story.done("b[0]")
    assert story.given_to("b[1]") == {"a": None, "ran": False}


def test_draining_lets_the_other_rounds_that_run_go_to_their_ends() -> None:
    story = Played("""
        config: {failure_mode: drain}
        steps:
        - name: l
          type: loop
          config:
            items: [1, 2]
            concurrency: 2
            steps: [{name: a, type: work}, {name: b, type: work, depends_on: a}]
        - {name: z, type: work, depends_on: [{step: l, on: complete}]}
    """)
    story.failed("a[0]").done("a[1]")
    assert story.running == ["b[1]"]
    story.done("b[1]")
    assert story.running == ["z"]
    assert story.done("z").status == "completed"


def test_fail_fast_in_a_round_begins_nothing_more_in_that_round_and_lets_the_others_finish() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          on_failure: {action: continue}
          config:
            items: [1, 2]
            concurrency: 2
            steps:
            - {name: a, type: work}
            - {name: w, type: wait, config: {for: 1h}}
            - {name: b, type: work, depends_on: a}
    """)
    story.failed("a[0]")
    assert story.of("w[0]", "w[1]") == ["cancelled", "waiting"]
    story.done("a[1]")
    assert story.running == ["b[1]"]
    story.done("b[1]").time("1h")
    assert story.of("b[0]", "l") == ["pending", "failed"]
    assert story.status == "completed"


def test_a_thousand_rounds_of_several_steps_are_gone_through_without_deep_recursion() -> None:
    story = Played(
        """
        steps:
        - name: l
          type: loop
          config: {count: 1000, steps: [{name: a, type: noop}, {name: b, type: noop, depends_on: a}]}
        """,
        replays=False,
    )
    assert story.status == "completed"
    assert len(story.step("l").output) == 1000


def test_everything_at_once_comes_to_its_end() -> None:
    def work(assignment: Assignment) -> Any:
        if assignment.step.startswith("flaky") and assignment.attempt == 1:
            return FLAKY
        if assignment.step.startswith("broken"):
            return BOOM
        return assignment.step

    story = Played("""
        vars: {n: 0}
        config: {max_parallel_steps: 3}
        steps:
        - {name: begin, type: noop, next: [{to: round}]}
        - name: round
          type: loop
          max_visits: 3
          config:
            items: [1, 2]
            concurrency: 2
            steps:
            - {name: flaky, type: work, retry: {max_attempts: 2, initial_delay: 1s}}
            - {name: each, type: work, depends_on: flaky, for_each: {items: [1, 2, 3], concurrency: 2}, mutex: one}
            - name: group
              type: parallel_group
              depends_on: flaky
              config:
                wait_for: 1
                steps:
                - {name: broken, type: work, on_failure: {action: fallback, fallback: {type: work}}}
                - {name: slow, type: wait, config: {for: 1h}}
            - {name: count, type: set, depends_on: [each, group], config: {n: "{{ vars.n + 1 }}"}}
          next: [{to: check}]
        - {name: check, type: noop, decision: [{when: "{{ vars.n < 4 }}", next: round}, {default: made}]}
        - {name: made, type: dynamic, config: {steps: [{name: x, type: work}, {name: y, type: work, depends_on: x}]}}
        output: {values: {n: "{{ vars.n }}", made: "{{ steps.made.output }}"}}
    """).go({"flaky": work, "broken": lambda each: BOOM if "fallback" not in each.step else 1, "x": 1, "y": 2})
    assert story.status == "completed"
    assert story.output == {"n": 4, "made": {"x": 1, "y": 2}}


def test_the_message_of_an_action_inside_is_told_by_what_is_around_it() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            count: 2
            steps:
            - name: a
              type: work
              on_failure: {action: terminate, message: "no {{ error.type }} in round {{ item }}"}
    """).go({"a[1]": BOOM})
    assert story.problem("a[1]").message == "no boom in round 1"
    assert story.error.message == "step 'l' failed: step 'a' failed: no boom in round 1"


CONSTRUCTS = {
    "a group": "type: parallel_group, config: {steps: [{name: x, type: work}, {name: y, type: approval,"
    " config: {prompt: well}}]}",
    "a condition": "type: conditional, config: {condition: true, then: [{name: x, type: work}]}",
    "a loop": "type: loop, config: {count: 3, steps: [{name: x, type: work}]}",
    "a loop between two rounds": "type: loop, config: {count: 3, delay: 1h, steps: [{name: x, type: noop}]}",
    "a loop side by side": "type: loop, config: {items: [1, 2], concurrency: 2, steps: [{name: x, type: work}]}",
    "a machine that waits": "type: state_machine, config: {initial: s, states: {s: {transitions: [{event: e,"
    " to: s}]}}}",
    "a machine that acts": "type: state_machine, config: {initial: s, states: {s: {on_enter: [{name: x,"
    " type: work}]}}}",
    "steps being made": "type: dynamic, config: {task: make}",
    "made steps": "type: dynamic, config: {steps: [{name: x, type: work}]}",
    "a retry inside": "type: parallel_group, config: {steps: [{name: x, type: work, retry: {max_attempts: 2,"
    " initial_delay: 1h}}]}",
    "a stand-in inside": "type: parallel_group, config: {steps: [{name: x, type: work, on_failure: {action: fallback,"
    " fallback: {type: work}}}]}",
    "a construct inside": "type: loop, config: {count: 2, steps: [{name: g, type: parallel_group,"
    " config: {steps: [{name: x, type: work}]}}]}",
}


@pytest.mark.parametrize("construct", CONSTRUCTS)
@pytest.mark.parametrize(
    ("says", "after", "ends"),
    [
        ("on_timeout: late", ["failed", "completed"], "completed"),
        ("on_timeout: {action: continue}", ["failed", "skipped"], "completed"),
        ("on_timeout: {action: fallback, fallback: 7}", ["failed", "skipped"], "completed"),
        ("on_timeout: {action: retry, max_attempts: 2}", ["retrying", "pending"], "running"),
        ("on_failure: {action: continue}", ["failed", "skipped"], "completed"),
        ("on_failure: {action: terminate, message: too slow}", ["failed", "pending"], "failed"),
    ],
)
def test_whatever_a_construct_is_doing_when_its_time_is_up_that_is_stopped_and_the_policy_decides(
    construct: str, says: str, after: list[str], ends: str
) -> None:
    dead = "" if "late" in says.split("{")[0] else ", depends_on: [{step: never, on: failure}]"
    story = Played(f"""
        steps:
        - {{name: c, timeout: 10s, {says}, {CONSTRUCTS[construct]}}}
        - {{name: never, type: noop, depends_on: [{{step: c, on: skipped}}]}}
        - {{name: late, type: noop{dead}}}
    """)
    if construct == "a retry inside":
        story.failed("x", FLAKY)
    elif construct == "a stand-in inside":
        story.failed("x")
    story.time(10)
    assert story.of("c", "late") == after
    assert story.problem("c").type == "timeout"
    assert story.work == {}
    assert story.waits == {}
    assert story.status == ends
    assert story.time(1).of("c") == ("running" if ends == "running" else "failed"), "it is tried again, or it is over"
