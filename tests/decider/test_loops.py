"""`loop` over a block of steps, and `repeat` of one step."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.execution.work import Assignment
from tests.decider.played import Played, attempts, details
from tests.decider.story import BOOM, FLAKY


def loop(says: str, steps: str = "- {name: a, type: work}", more: str = "") -> str:
    """A workflow with one loop and a step behind it."""
    inside = "\n".join("    " + line for line in steps.strip("\n").splitlines())
    return f"""
vars: {{n: 0}}
steps:
- name: l
  type: loop
  {more or "description: nothing more"}
  config:
    {says}
    steps:
{inside}
- {{name: z, type: noop, depends_on: l}}
output: {{values: {{out: "{{{{ steps.l.output }}}}"}}}}
"""


COUNTING = '- {name: inc, type: set, config: {n: "{{ vars.n + 1 }}"}}'


# Over items, and so often


def test_a_loop_over_items_runs_its_steps_for_each_one_after_the_other() -> None:
    steps = '- {name: a, type: work, config: {i: "{{ item }}"}}\n- {name: b, type: work, depends_on: a}'
    story = Played(loop("items: [x, y]", steps))
    assert story.running == ["a[0]"]
    story.done("a[0]", result=1)
    assert story.running == ["b[0]"]
    story.done("b[0]", result=2)
    assert story.running == ["a[1]"]
    assert story.given_to("a[1]") == {"i": "y"}
    story.done("a[1]", result=3).done("b[1]", result=4)
    assert story.output == {"out": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}


def test_rounds_over_items_may_run_side_by_side() -> None:
    steps = "- {name: a, type: work}\n- {name: b, type: work, depends_on: a}"
    story = Played(loop("items: [x, y, z]\n    concurrency: 2", steps))
    assert story.running == ["a[0]", "a[1]"]
    story.done("a[1]", "b[1]")
    assert story.running == ["a[0]", "a[2]"]


def test_a_count_gives_the_number_of_the_round() -> None:
    story = Played(loop("count: 3", '- {name: a, type: work, config: {i: "{{ index }}", same: "{{ item }}"}}'))
    seen = []
    story.go({"a": lambda work: seen.append(work.config)})
    assert seen == [{"i": 0, "same": 0}, {"i": 1, "same": 1}, {"i": 2, "same": 2}]


@pytest.mark.parametrize("says", ['count: "{{ 0 }}"', "items: []", 'while: "{{ false }}"'])
def test_no_rounds_complete_the_loop_with_an_empty_list(says: str) -> None:
    story = Played(loop(says))
    assert story.ran == []
    assert story.output == {"out": []}


@pytest.mark.parametrize(("count", "shown"), [(-1, "-1"), ("three", "'three'"), (True, "True"), (1.5, "1.5")])
def test_a_count_that_is_no_number_of_rounds_fails_the_loop(count: Any, shown: str) -> None:
    story = Played(loop('count: "{{ input.n }}"'), {"n": count})
    assert story.problem("l").message == f"the count must be a number of rounds, not {shown}"


@pytest.mark.parametrize("concurrency", [0, "many"])
def test_a_concurrency_that_is_no_number_fails_the_loop(concurrency: Any) -> None:
    story = Played(loop('items: [1]\n    concurrency: "{{ input.n }}"'), {"n": concurrency})
    assert story.problem("l").message == f"concurrency must be a number of at least 1, not {concurrency!r}"
    assert story.status == "failed"


# While and until


def test_while_is_asked_before_every_round() -> None:
    story = Played(loop('while: "{{ vars.n < 3 }}"', COUNTING)).go()
    assert story.state.variables == {"n": 3}
    assert story.output == {"out": [{"inc": {"n": 1}}, {"inc": {"n": 2}}, {"inc": {"n": 3}}]}


def test_until_is_asked_after_every_round_so_that_there_is_one_at_least() -> None:
    story = Played(loop('until: "{{ vars.n >= 0 }}"', COUNTING)).go()
    assert story.state.variables == {"n": 1}


def test_until_reads_what_the_latest_round_gave() -> None:
    story = Played(loop('until: "{{ steps.a.output == 3 }}"'))
    story.done("a[0]", result=1).done("a[1]", result=2)
    assert story.running == ["a[2]"]
    story.done("a[2]", result=3)
    assert story.status == "completed"


def test_while_reads_what_the_latest_round_gave() -> None:
    story = Played(loop('while: "{{ (steps.a.output | default(9)) > 3 }}"'))
    story.done("a[0]", result=5).done("a[1]", result=2)
    assert story.status == "completed"
    assert story.times("a") == 2


def test_the_number_of_the_round_is_known_in_the_steps_of_a_loop_with_a_condition() -> None:
    story = Played(loop('until: "{{ steps.a.output }}"', '- {name: a, type: work, config: {i: "{{ index }}"}}'))
    story.done("a[0]", result=False)
    assert story.given_to("a[1]") == {"i": 1}


@pytest.mark.parametrize("says", ['while: "{{ true }}"', 'until: "{{ false }}"'])
def test_a_loop_that_would_never_end_is_stopped_by_its_guard_with_an_error(says: str) -> None:
    story = Played(loop(f"{says}\n    max_iterations: 4", COUNTING)).go()
    assert story.status == "failed"
    assert story.state.variables == {"n": 4}
    assert "it has run 4 times, which is its max_iterations" in story.problem("l").message


def test_the_guard_is_a_hundred_rounds_when_nothing_is_said() -> None:
    story = Played(loop('until: "{{ false }}"', COUNTING), replays=False).go()
    assert story.state.variables == {"n": 100}
    assert story.status == "failed"


def test_a_loop_that_ends_with_its_last_allowed_round_is_no_failure() -> None:
    story = Played(loop('until: "{{ vars.n == 4 }}"\n    max_iterations: 4', COUNTING)).go()
    assert story.status == "completed"


@pytest.mark.parametrize("says", ['while: "{{ vars.n.x }}"', 'until: "{{ steps.inc.output.nothing }}"'])
def test_a_condition_that_cannot_be_evaluated_fails_the_loop(says: str) -> None:
    story = Played(loop(says, COUNTING)).go()
    assert story.problem("l").type == "expression_error"
    assert story.status == "failed"


def test_a_delay_lies_between_two_rounds_and_neither_before_the_first_nor_behind_the_last() -> None:
    story = Played(loop("count: 3\n    delay: 5s")).go()
    assert attempts(story) == [("a[0]", 0), ("a[1]", 5), ("a[2]", 10)]
    assert story.seconds == 10


def test_a_delay_that_is_no_duration_fails_the_loop() -> None:
    story = Played(loop('count: 3\n    delay: "{{ input.d }}"'), {"d": "soon"}).go()
    assert "delay" in story.problem("l").message
    assert story.times("a") == 1


# Failures


def test_a_failed_step_fails_the_round_and_the_loop_and_says_where() -> None:
    story = Played(loop("count: 3", "- {name: a, type: work}\n- {name: b, type: work, depends_on: a}"))
    story.done("a[0]", "b[0]").failed("a[1]")
    assert story.status == "failed"
    assert story.problem("l").message == "step 'a' failed: it went boom"
    assert details(story.problem("l"))["step"] == "a[1]"
    assert story.error.message == "step 'l' failed: step 'a' failed: it went boom"
    assert story.of("b[1]") == "pending"


def test_a_failed_round_lets_the_others_finish_and_begins_no_further_one() -> None:
    story = Played(loop("items: [1, 2, 3, 4]\n    concurrency: 2"))
    story.failed("a[0]")
    assert story.running == ["a[1]"]
    story.done("a[1]")
    assert story.status == "failed"
    assert story.times("a") == 2


def test_a_failure_that_is_handled_inside_does_not_leave_the_round() -> None:
    steps = "- {name: a, type: work, on_failure: cure}\n- {name: cure, type: work}"
    story = Played(loop("count: 2", steps)).go({"a": BOOM})
    assert story.ran == ["a[0]", "cure[0]", "a[1]", "cure[1]"]
    assert story.status == "completed"


def test_a_failed_loop_may_be_retried_from_its_first_round_with_new_instances() -> None:
    story = Played(loop("count: 2", more="retry: {max_attempts: 2, initial_delay: 10s}"))
    story.done("a[0]").failed("a[1]", FLAKY)
    assert story.of("l") == "retrying"
    assert story.time(10).running == ["a[~2,0]"]
    story.go()
    assert story.ran == ["a[0]", "a[1]", "a[~2,0]", "a[~2,1]"]
    assert story.status == "completed"


def test_a_failure_that_cannot_be_retried_is_not_retried_by_the_loop_either() -> None:
    story = Played(loop("count: 2", more="retry: {max_attempts: 2}")).go({"a": BOOM})
    assert story.ran == ["a[0]"]


def test_the_timeout_of_a_loop_stops_its_work_and_takes_the_timeout_edge() -> None:
    story = Played("""
        steps:
        - {name: l, type: loop, timeout: 10s, config: {count: 5, steps: [{name: a, type: work}]}, on_timeout: late}
        - {name: late, type: noop}
    """)
    story.time(6).done("a[0]").time(4)
    assert story.stopped == ["a[1]"]
    assert story.of("l", "a[1]", "late") == ["failed", "cancelled", "completed"]
    assert story.problem("l").message == "step 'l' timed out after 10s"
    assert story.status == "completed"


def test_the_timeout_of_a_loop_holds_between_two_rounds_too() -> None:
    story = Played(loop("count: 5\n    delay: 1h", more="timeout: 10s")).go()
    assert story.problem("l").type == "timeout"
    assert story.of("a[1]") == "cancelled"
    assert story.seconds == 10


# Loops in loops


def test_loops_in_loops_have_instances_of_their_own_and_steps_read_the_round_they_are_in() -> None:
    steps = """
- {name: p, type: work, config: {o: "{{ outer }}"}}
- name: inner
  type: loop
  depends_on: p
  config:
    items: "{{ outer }}"
    as: each
    steps: [{name: q, type: work, config: {p: "{{ steps.p.output }}", each: "{{ each }}", outer: "{{ outer }}"}}]
"""
    story = Played(loop("items: [[1, 2], [3]]\n    as: outer\n    concurrency: 2", steps))
    story.done("p[1]", result="second").done("p[0]", result="first")
    assert story.given_to("q[1,0]") == {"p": "second", "each": 3, "outer": [3]}
    assert story.given_to("q[0,0]") == {"p": "first", "each": 1, "outer": [1, 2]}
    story.go({"q": lambda work: work.config["each"] * 10})
    assert story.output == {
        "out": [{"p": "first", "inner": [{"q": 10}, {"q": 20}]}, {"p": "second", "inner": [{"q": 30}]}]
    }


def test_the_names_of_an_inner_loop_hide_those_of_the_outer_one() -> None:
    steps = '- {name: f, type: work, for_each: {items: [x, y]}, config: {i: "{{ item }}", n: "{{ index }}"}}'
    story = Played(loop("items: [a, b]", steps))
    assert [story.given_to(key) for key in story.running] == [{"i": "x", "n": 0}, {"i": "y", "n": 1}]
    story.done("f[0,0]", "f[0,1]")
    assert story.given_to("f[1,1]") == {"i": "y", "n": 1}


def test_the_items_of_an_inner_loop_are_made_from_those_of_the_outer_one() -> None:
    steps = '- {name: f, type: work, for_each: {items: "{{ item }}"}, config: {i: "{{ item }}"}}'
    story = Played(loop("items: [[1, 2], [3]]", steps)).go({"f": lambda work: work.config["i"]})
    assert story.output == {"out": [{"f": [1, 2]}, {"f": [3]}]}


def test_from_outside_the_latest_round_is_read() -> None:
    story = Played("""
        steps:
        - {name: l, type: loop, config: {items: [1, 2], steps: [{name: a, type: work}]}}
        - {name: z, type: work, depends_on: l, config: {a: "{{ steps.a.output }}", all: "{{ steps.l.output }}"}}
    """)
    story.done("a[0]", result="first").done("a[1]", result="second")
    assert story.given_to("z") == {"a": "second", "all": [{"a": "first"}, {"a": "second"}]}


def test_a_loop_in_a_branch_of_a_condition_in_a_group_in_a_loop() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            items: [1, 2]
            steps:
            - name: g
              type: parallel_group
              config:
                steps:
                - name: c
                  type: conditional
                  config:
                    condition: "{{ item > 1 }}"
                    then:
                    - {name: deep, type: loop, config: {count: 2, steps: [{name: a, type: work,
                       config: {i: "{{ item }}"}}]}}
                    else:
                    - {name: flat, type: work, config: {i: "{{ item }}"}}
                - {name: side, type: work}
    """)
    assert story.running == ["flat[0]", "side[0]"]
    story.done("side[0]", "flat[0]")
    assert story.running == ["a[1,0]", "side[1]"]
    assert story.given_to("a[1,0]") == {"i": 0}
    story.go()
    assert story.status == "completed"
    assert story.step("l").output[1] == {"g": {"c": {"deep": [{"a": None}, {"a": None}]}, "side": None}}


def test_a_crash_between_two_rounds_loses_nothing_of_the_delay() -> None:
    story = Played(loop("count: 2\n    delay: 10s")).done("a[0]").time(4)
    story.run = story._replayed()
    story.time("5999ms")
    assert story.running == []
    assert story.time("1ms").running == ["a[1]"]


# repeat


def repeat(says: str, more: str = "") -> str:
    """A workflow with a step that repeats itself."""
    return f"""
steps:
- {{name: r, type: work, repeat: {{{says}}}, {more}}}
- {{name: z, type: noop, depends_on: r}}
output: {{values: {{out: "{{{{ steps.r.output }}}}"}}}}
"""


def test_a_step_repeats_itself_until_its_condition_holds_and_its_result_is_the_last_one() -> None:
    story = Played(repeat('until: "{{ result().ready }}", delay: 5s'))
    story.done("r[0]", result={"ready": False, "n": 1})
    assert story.running == []
    story.time(5).done("r[1]", result={"ready": True, "n": 2})
    assert story.output == {"out": {"ready": True, "n": 2}}
    assert story.seconds == 5


def test_a_step_repeats_itself_while_its_condition_holds_which_is_asked_after_each_run() -> None:
    story = Played(repeat('while: "{{ response < 3 }}"'))
    story.done("r[0]", result=1).done("r[1]", result=2).done("r[2]", result=3)
    assert story.output == {"out": 3}


def test_the_condition_may_read_the_step_itself_by_name() -> None:
    story = Played(repeat('until: "{{ steps.r.output == 2 }}"'))
    story.done("r[0]", result=1).done("r[1]", result=2)
    assert story.status == "completed"


def test_a_repetition_is_stopped_by_its_guard() -> None:
    story = Played(repeat("until: false, max_iterations: 3")).go()
    assert story.times("r") == 3
    assert "max_iterations" in story.problem("r").message
    assert story.status == "failed"


def test_a_repeated_step_that_fails_repeats_no_more() -> None:
    story = Played(repeat('until: "{{ response }}"', "on_failure: {action: continue}"))
    story.done("r[0]", result=False).failed("r[1]")
    assert story.of("r", "z") == ["failed", "completed"]
    assert story.problem("r").message == "it went boom"


def test_every_run_of_a_repeated_step_is_retried_by_itself() -> None:
    tries: list[str] = []

    def work(assignment: Assignment) -> Any:
        tries.append(assignment.step)
        if tries.count(assignment.step) == 1:
            return FLAKY
        return len(tries) > 3

    story = Played(repeat('until: "{{ response }}"', "retry: {max_attempts: 2, initial_delay: 1s}")).go(work)
    assert tries == ["r[0]", "r[0]", "r[1]", "r[1]"]
    assert story.status == "completed"


def test_the_items_of_a_step_may_be_repeated_each_by_itself() -> None:
    story = Played("""
        steps:
        - name: r
          type: work
          for_each: {items: [1, 3]}
          repeat: {until: "{{ response >= item }}"}
          config: {n: "{{ item }}"}
    """)
    said = {"r[0,0]": 1, "r[1,0]": 1, "r[1,1]": 2, "r[1,2]": 3}
    story.go(said)
    assert sorted(story.ran) == sorted(said)
    assert story.step("r").output == [1, 3]


def test_a_construct_may_be_repeated() -> None:
    story = Played("""
        vars: {n: 0}
        steps:
        - name: g
          type: parallel_group
          repeat: {until: "{{ vars.n >= 2 }}"}
          config:
            steps:
            - {name: a, type: work}
            - {name: count, type: set, config: {n: "{{ vars.n + 1 }}"}}
    """).go()
    assert story.ran == ["a[0]", "a[1]"]
    assert story.status == "completed"


def test_the_latest_round_is_the_one_that_began_last_whichever_is_open_after_a_crash() -> None:
    story = Played("""
        steps:
        - {name: l, type: loop, timeout: 1s, on_failure: {action: continue},
           config: {items: [1, 2], concurrency: 2, steps: [{name: a, type: work}]}}
        output: {values: {a: "{{ steps.a.status }}"}}
    """)
    story.failed("a[1]").time(1)
    assert (story.of("a[0]", "a[1]"), story.output) == (["cancelled", "failed"], {"a": "failed"})


def test_a_step_in_a_round_that_is_cancelled_before_it_is_reached_is_the_latest_of_its_name() -> None:
    story = Played("""
        steps:
        - name: l
          type: loop
          config:
            count: 1
            steps:
            - {name: a, type: work, cancels: b}
            - {name: b, type: work, depends_on: a}
            - {name: c, type: work}
        output: {values: {b: "{{ steps.b.status }}"}}
    """)
    story.done("a[0]", "c[0]")
    assert (story.status, story.output) == ("completed", {"b": "cancelled"})
