"""What steps say about how they are undone: for which instances it runs, in which order, and what it sees."""

from __future__ import annotations

from typing import Any

import pytest

from stepwell.base.errors import ErrorInfo
from stepwell.execution.event import ANSWER
from stepwell.execution.history import CompensationStarted, StepCompensated, StepScheduled, StepSkipped
from stepwell.execution.status import StepStatus
from tests.decider.compensating import Twin, failing
from tests.decider.story import BOOM, FLAKY, SECOND, dispatched, kinds

UNDO = "compensate: {type: python, config: {task: undo, args: {id: '{{ steps.%s.output.id }}'}}}"


def leaf(name: str, *after: str, more: str = "") -> str:
    """A step that does work and is undone with its id."""
    depends = f", depends_on: [{', '.join(after)}]" if after else ""
    return f"- {{name: {name}, type: python, config: {{task: work}}{depends}, {UNDO % name}{more}}}"


def steps(*lines: str, head: str = "") -> str:
    """A spec of these steps, and `end`, which fails."""
    return head + "steps:\n" + "\n".join(f"  {line}" for line in lines)


END = "- {name: end, type: python, config: {task: work}, depends_on: [%s]}"


def test_completed_steps_are_undone_the_last_first() -> None:
    story = Twin(steps(leaf("a"), leaf("b", "a"), leaf("c", "b"), END % "c"))
    done = story.run_on(failing("end", error=BOOM))
    assert done == ["a", "b", "c", "end", "c[undo]", "b[undo]", "a[undo]"]
    assert story.configs()["b[undo]"] == {"id": "b"}
    assert [story.status(name) for name in "abc"] == ["compensated"] * 3
    assert story.state.compensation == "done"
    assert story.state.status == "failed"


def test_a_step_is_compensated_as_soon_as_what_undoes_it_has_completed() -> None:
    story = Twin(steps(leaf("a"), leaf("b", "a"), END % "b"))
    story.report("a", {"id": 1})
    story.report("b", {"id": 2})
    assert kinds(story.report("end", BOOM)) == ["StepFailed", "CompensationStarted", "StepScheduled"]
    assert kinds(story.report("b[undo]")) == ["StepCompleted", "StepCompensated", "StepScheduled"]
    assert kinds(story.report("a[undo]")) == [
        "StepCompleted",
        "StepCompensated",
        "CompensationEnded",
        "ExecutionFailed",
    ]


def test_reverse_goes_by_completion_and_not_by_the_document() -> None:
    story = Twin(steps(leaf("a"), leaf("b"), leaf("c"), END % "a, b, c"))
    for name in ("b", "c", "a", "end"):
        story.report(name, BOOM if name == "end" else {"id": name})
    story.run_on()
    assert story.undone() == ["a", "c", "b"]


def test_forward_goes_by_the_document() -> None:
    story = Twin(steps(leaf("a"), leaf("b"), leaf("c"), END % "a, b, c", head="compensation: {strategy: forward}\n"))
    for name in ("b", "c", "a", "end"):
        story.report(name, BOOM if name == "end" else {"id": name})
    story.run_on()
    assert story.undone() == ["a", "b", "c"]


def test_parallel_undoes_all_together_and_then_runs_the_list_together() -> None:
    head = """compensation:
  strategy: parallel
  steps:
    - {name: u1, type: python, config: {task: undo}}
    - {name: u2, type: python, config: {task: undo}}
"""
    story = Twin(steps(leaf("a"), leaf("b", "a"), END % "b", head=head))
    story.report("a", {"id": 1})
    story.report("b", {"id": 2})
    assert sorted(dispatched(story.report("end", BOOM))) == ["a[undo]", "b[undo]"]
    assert dispatched(story.report("a[undo]")) == []
    assert story.status("a") == "compensated"
    assert dispatched(story.report("b[undo]")) == ["u1", "u2"]
    story.report("u2")
    story.report("u1")
    assert story.state.compensation == "done"


def test_parallel_keeps_to_the_limit_of_steps_at_once() -> None:
    head = "config: {max_parallel_steps: 2}\ncompensation: {strategy: parallel}\n"
    story = Twin(steps(*(leaf(name) for name in "abcd"), END % "a, b, c, d", head=head))
    for name in "abcd":
        story.report(name, {"id": name})
    assert len(dispatched(story.report("end", BOOM))) == 2
    assert len(dispatched(story.report(next(iter(story.work))))) == 1
    story.run_on()
    assert sorted(story.undone()) == ["a", "b", "c", "d"]


def test_what_steps_say_runs_before_the_list() -> None:
    listed = ", ".join(f"{{name: {name}, type: python, config: {{task: undo}}}}" for name in ("u1", "u2"))
    head = f"compensation: {{steps: [{listed}]}}\n"
    story = Twin(steps(leaf("a"), leaf("b", "a"), END % "b", head=head))
    assert story.run_on(failing("end", error=BOOM))[3:] == ["b[undo]", "a[undo]", "u1", "u2"]


@pytest.mark.parametrize(
    ("line", "fate"),
    [
        (leaf("x", more=", on_failure: {action: continue}"), "failed"),
        (leaf("x", more=", on_failure: {action: fallback, fallback: {id: 5}}"), "failed"),
        (leaf("x", more=", on_failure: {action: fallback, fallback: {type: python, config: {task: other}}}"), "failed"),
        (leaf("x", more=", when: '{{ false }}'"), "skipped"),
        ("- {name: x, type: wait, config: {for: 1h}, compensate: {type: python, config: {task: undo}}}", "cancelled"),
        (leaf("x", "end"), "pending"),
    ],
)
def test_a_step_that_did_not_complete_is_not_undone(line: str, fate: str) -> None:
    story = Twin(steps(line, leaf("a"), END % "a"))
    story.run_on(failing("x", "end", error=BOOM))
    assert story.status("x") == fate
    assert story.undone() == ["a"]


# Instances


def test_every_item_that_completed_is_undone_with_its_item_and_index() -> None:
    line = """- name: book
    type: python
    for_each: {items: [p, q, r], as: seat, index: at}
    config: {task: work, args: {seat: "{{ seat }}"}}
    compensate:
      type: python
      config: {task: undo, args: {seat: "{{ seat }}", at: "{{ at }}", id: "{{ steps.book.output.id }}"}}"""
    story = Twin(steps(line))
    story.report("book[2]", {"id": "c"})
    story.report("book[0]", {"id": "a"})
    story.report("book[1]", BOOM)
    story.run_on()
    assert story.undone() == ["book[0]", "book[2]"]
    assert story.configs()["book[2,undo]"] == {"seat": "r", "at": 2, "id": "c"}
    assert story.configs()["book[0,undo]"] == {"seat": "p", "at": 0, "id": "a"}
    assert story.status("book[0]") == "compensated"


def test_steps_in_loops_groups_and_conditions_are_undone_with_the_names_of_their_round() -> None:
    spec = """
steps:
  - name: outer
    type: loop
    config:
      items: [x, y]
      as: letter
      steps:
        - name: inner
          type: loop
          config:
            count: 2
            steps:
              - name: choose
                type: conditional
                config:
                  condition: "{{ true }}"
                  then:
                    - name: group
                      type: parallel_group
                      config:
                        steps:
                          - name: note
                            type: python
                            config: {task: work, args: {l: "{{ letter }}", n: "{{ index }}"}}
                            compensate:
                              type: python
                              config:
                                task: undo
                                args: {l: "{{ letter }}", n: "{{ index }}", id: "{{ steps.note.output.id }}"}
  - {name: end, type: fail, depends_on: outer}
"""
    story = Twin(spec)
    story.run_on(lambda work: {"id": work.step})
    assert story.undone() == ["note[1,1]", "note[1,0]", "note[0,1]", "note[0,0]"]
    done = story.configs()
    for key in story.undone():
        before = done[key]
        assert done[key.replace("]", ",undo]")] == {**before, "id": key}


def test_a_step_inside_reads_the_other_steps_of_its_own_round() -> None:
    spec = """
steps:
  - name: rounds
    type: loop
    config:
      count: 2
      steps:
        - {name: first, type: python, config: {task: work}}
        - name: second
          type: python
          depends_on: first
          config: {task: work}
          compensate: {type: python, config: {task: undo, args: {first: "{{ steps.first.output.id }}"}}}
  - {name: end, type: fail, depends_on: rounds}
"""
    story = Twin(spec)
    story.run_on(lambda work: {"id": work.step})
    assert story.configs()["second[0,undo]"] == {"first": "first[0]"}
    assert story.configs()["second[1,undo]"] == {"first": "first[1]"}


def test_every_visit_of_a_step_that_ran_in_circles_is_undone() -> None:
    spec = """
steps:
  - {name: begin, type: noop, next: [{to: [a]}]}
  - name: a
    type: python
    config: {task: work}
    max_visits: 3
    compensate: {type: python, config: {task: undo, args: {id: "{{ steps.a.output.id }}"}}}
    next: [{to: [b]}]
  - name: b
    type: python
    config: {task: work}
    next: [{when: "{{ response.n < 3 }}", to: [a]}, {when: "{{ response.n >= 3 }}", to: [end]}]
  - {name: end, type: fail}
"""
    story = Twin(spec)
    count = iter(range(1, 9))
    story.run_on(lambda work: {"id": work.step, "n": next(count) if work.step.startswith("b") else 0})
    assert story.undone() == ["a#3", "a#2", "a"]
    assert story.configs()["a[undo]#2"] == {"id": "a#2"}
    assert [story.status(key) for key in ("a", "a#2", "a#3")] == ["compensated"] * 3


def test_what_completed_in_an_earlier_try_of_a_loop_is_undone_with_the_items_of_that_try() -> None:
    spec = """
vars: {letters: [p, q]}
steps:
  - name: rounds
    type: loop
    retry: {max_attempts: 2, backoff: constant, initial_delay: 1s}
    config:
      items: "{{ vars.letters }}"
      steps:
        - name: change
          type: set
          config: {letters: [r, s]}
        - name: book
          type: python
          depends_on: change
          config: {task: work, args: {item: "{{ item }}"}}
          compensate: {type: python, config: {task: undo, args: {item: "{{ item }}"}}}
"""
    story = Twin(spec)
    story.report("book[0]", {"id": 1})
    story.report("book[1]", FLAKY)
    story.time(SECOND)
    story.report("book[~2,0]", {"id": 2})
    story.report("book[~2,1]", BOOM)
    story.run_on()
    assert story.undone() == ["book[~2,0]", "book[0]"]
    assert story.configs()["book[~2,0,undo]"] == {"item": "r"}
    assert story.configs()["book[0,undo]"] == {"item": "p"}


def test_every_try_of_a_construct_inside_a_construct_that_is_tried_again_is_undone() -> None:
    spec = """
steps:
  - name: outer
    type: parallel_group
    retry: {max_attempts: 2, backoff: constant, initial_delay: 1s}
    config:
      steps:
        - name: inner
          type: parallel_group
          retry: {max_attempts: 2, backoff: constant, initial_delay: 1s}
          config:
            steps:
              - {name: x, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}
              - {name: y, type: python, config: {task: work}}
"""
    story = Twin(spec)
    story.run_on(lambda work: FLAKY if work.step.startswith("y") else {"id": work.step})
    assert story.undone() == ["x[~2,~2]", "x[~2,~1]", "x[~2]", "x"]


def test_a_step_of_a_state_machine_is_undone_with_the_event_that_led_to_it() -> None:
    spec = """
steps:
  - name: order
    type: state_machine
    config:
      initial: new
      states:
        new: {transitions: [{event: paid, to: packed}]}
        packed:
          on_enter:
            - name: pack
              type: python
              config: {task: work, args: {who: "{{ event.data.who }}"}}
              compensate: {type: python, config: {task: undo, args: {who: "{{ event.data.who }}"}}}
          transitions: [{event: paid, to: packed}, {event: sent, to: gone}]
        gone: {final: true}
  - {name: end, type: fail, depends_on: order}
"""
    story = Twin(spec)
    for number, who in enumerate(("ada", "bob")):
        waiting = next(
            key for key, step in story.state.steps.items() if step.event_type == "paid" and step.status == "waiting"
        )
        story.event(waiting, "paid", f"e{number}", who=who)
        story.report(next(iter(story.work)), {})
    waiting = next(
        key for key, step in story.state.steps.items() if step.event_type == "sent" and step.status == "waiting"
    )
    story.event(waiting, "sent", "e9")
    story.run_on()
    assert [args for key, args in story.configs().items() if "undo" in key] == [{"who": "bob"}, {"who": "ada"}]


def test_generated_steps_are_undone_too() -> None:
    spec = """
steps:
  - name: make
    type: dynamic
    config:
      steps:
        - {name: g1, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}
        - name: g2
          type: python
          config: {task: work}
          depends_on: g1
          compensate: {type: python, config: {task: undo, args: {n: 2}}}
  - {name: end, type: fail, depends_on: make}
"""
    story = Twin(spec)
    story.run_on(lambda work: {"id": work.step})
    assert story.undone() == ["g2", "g1"]
    assert story.state.compensation == "done"


def test_a_construct_and_what_is_in_it_may_both_be_undone() -> None:
    spec = """
steps:
  - name: group
    type: parallel_group
    compensate: {type: python, config: {task: undo, args: {whole: "{{ steps.group.output.x.id }}"}}}
    config:
      steps:
        - {name: x, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}
  - {name: end, type: fail, depends_on: group}
"""
    story = Twin(spec)
    story.run_on(lambda work: {"id": work.step})
    assert story.undone() == ["group", "x"]
    assert story.configs()["group[undo]"] == {"whole": "x"}


# What it sees, and what it may be


def test_it_sees_the_error_and_the_outputs_of_other_steps_even_of_undone_ones() -> None:
    reads = "why: '{{ error.message }}', b: '{{ steps.b.output.id }}', done: '{{ steps.b.completed }}'"
    args = reads + ", now: '{{ steps.b.status }}'"
    body = f"compensate: {{type: python, config: {{task: undo, args: {{{args}}}}}}}"
    story = Twin(steps(f"- {{name: a, type: python, config: {{task: work}}, {body}}}", leaf("b", "a"), END % "b"))
    story.run_on(failing("end", error=BOOM))
    assert story.configs()["a[undo]"] == {"why": "it went boom", "b": "b", "done": True, "now": "compensated"}


def test_it_is_skipped_with_the_reason_when_it_reads_what_never_came_to_be() -> None:
    body = "compensate: {type: python, config: {task: undo, args: {id: '{{ steps.end.output.id }}'}}}"
    story = Twin(steps(f"- {{name: a, type: python, config: {{task: work}}, {body}}}", leaf("b", "a"), END % "b"))
    story.run_on(failing("end", error=BOOM))
    (skipped,) = story.events(StepSkipped)
    assert (skipped.step, skipped.reason) == ("a[undo]", "unavailable")
    assert "step 'end' failed" in skipped.message
    assert story.status("a") == "completed"
    assert story.undone() == ["b"]


def test_it_runs_only_when_its_condition_holds() -> None:
    body = "compensate: {type: python, config: {task: undo}, when: '{{ steps.%s.output.paid }}'}"
    lines = [f"- {{name: {name}, type: python, config: {{task: work}}, {body % name}}}" for name in ("a", "b")]
    story = Twin(steps(*lines, END % "a, b"))
    story.report("a", {"paid": True})
    story.report("b", {"paid": False})
    story.report("end", BOOM)
    story.run_on()
    assert story.undone() == ["a"]
    assert story.step("b[undo]").reason == "condition"
    assert story.status("b") == "completed"


@pytest.mark.parametrize(
    ("body", "work"),
    [
        ("{type: set, config: {undone: '{{ steps.a.output.id }}'}}", 0),
        ("{type: wait, config: {for: 1s}}", 0),
        ("{type: noop}", 0),
        ("{type: http, config: {url: 'http://x/{{ steps.a.output.id }}', method: DELETE}}", 1),
        ("{type: service_call, config: {service: s, endpoint: /undo}}", 1),
    ],
)
def test_it_may_be_of_any_type_that_does_one_thing(body: str, work: int) -> None:
    story = Twin(steps(f"- {{name: a, type: python, config: {{task: work}}, compensate: {body}}}", END % "a"))
    story.run_on(failing("end", error=BOOM))
    assert len(story.undone()) == work
    assert story.status("a") == "compensated"


def test_it_is_retried_by_its_own_policy_with_the_settings_of_its_first_try() -> None:
    retry = "retry: {max_attempts: 3, backoff: constant, initial_delay: 1s}, timeout: 5s"
    body = f"compensate: {{type: python, config: {{task: undo, args: {{n: '{{{{ vars.n }}}}'}}}}, {retry}}}"
    story = Twin(
        steps(f"- {{name: a, type: python, config: {{task: work}}, {body}}}", END % "a", head="vars: {n: 1}\n")
    )
    story.report("a", {})
    story.report("end", BOOM)
    assert story.work["a[undo]"].timeout == 5 * SECOND
    assert story.work["a[undo]"].idempotency_key == "x/a[undo]"
    story.report("a[undo]", FLAKY)
    story.time(SECOND)
    story.report("a[undo]", FLAKY)
    story.time(SECOND)
    assert story.work["a[undo]"].config["args"] == {"n": 1}
    story.report("a[undo]")
    assert story.status("a") == "compensated"


def test_one_that_fails_is_recorded_and_the_others_run() -> None:
    story = Twin(steps(leaf("a"), leaf("b", "a"), leaf("c", "b"), END % "c"))
    story.run_on(failing("end", "b[undo]", error=BOOM))
    assert story.undone() == ["c", "b", "a"]
    assert [story.status(name) for name in "abc"] == ["compensated", "completed", "compensated"]
    assert story.state.compensation == "failed"
    assert story.state.status == "failed"
    assert story.state.error == ErrorInfo(
        "boom", "step 'end' failed: it went boom", {"step": "end", "cause": "it went boom"}
    )


def test_a_workflow_whose_steps_say_how_compensates_without_being_asked() -> None:
    story = Twin(steps(leaf("a"), END % "a"))
    story.run_on(failing("end", error=BOOM))
    assert story.events(CompensationStarted)
    plain = Twin(steps("- {name: a, type: python, config: {task: work}}", END % "a"))
    plain.run_on(failing("end", error=BOOM))
    assert not plain.events(CompensationStarted)


def test_nothing_completed_is_told_as_nothing() -> None:
    story = Twin(steps(leaf("a")))
    story.report("a", BOOM)
    assert story.state.compensation == "nothing"
    assert story.undone() == []


def test_the_message_of_the_action_is_built_before_anything_is_undone() -> None:
    spec = """
vars: {n: 1}
steps:
  - {name: a, type: python, config: {task: work}, compensate: {type: set, config: {n: 2}}}
  - name: end
    type: python
    config: {task: work}
    depends_on: a
    on_failure: {action: terminate, message: "n was {{ vars.n }}"}
"""
    story = Twin(spec)
    story.run_on(failing("end", error=BOOM))
    assert story.state.variables == {"n": 2}
    assert story.state.error is not None
    assert story.state.error.message == "n was 1"


def test_hooks_see_the_final_error_also_after_a_restart_between_them() -> None:
    spec = """
config:
  on_error:
    strategy: compensate
    steps:
      - {name: h1, type: python, config: {task: note}}
      - {name: h2, type: python, depends_on: h1, config: {task: note, args: {why: "{{ error.message }}"}}}
steps:
  - {name: a, type: python, config: {task: work}, compensate: {type: python, config: {task: undo}}}
  - {name: end, type: fail, depends_on: a, on_failure: {action: terminate, message: "so it is"}}
"""
    story = Twin(spec)
    assert story.run_on() == ["a", "h1", "h2", "a[undo]"]
    assert story.configs()["h2"] == {"why": "so it is"}


def test_every_undoing_is_recorded_with_what_it_was_called_with() -> None:
    story = Twin(steps(leaf("a"), END % "a"))
    story.run_on(failing("end", error=BOOM))
    (scheduled,) = [event for event in story.events(StepScheduled) if event.step == "a[undo]"]
    assert scheduled.input == {"task": "undo", "args": {"id": "a"}}
    assert [event.step for event in story.events(StepCompensated)] == ["a"]
    assert story.step("a").status is StepStatus.COMPENSATED


def test_a_step_that_stood_in_for_another_is_undone_like_any_other() -> None:
    other = leaf("other")
    story = Twin(steps(leaf("x", more=", on_failure: {action: fallback, fallback: other}"), other, END % "x"))
    story.run_on(failing("x", "end", error=BOOM))
    assert story.undone() == ["other"]


def test_what_hooks_did_is_undone_too() -> None:
    hook = "{name: h, type: python, config: {task: note}, compensate: {type: python, config: {task: undo}}}"
    head = f"config: {{on_error: {{strategy: compensate, steps: [{hook}]}}}}\n"
    story = Twin(steps(leaf("a"), END % "a", head=head))
    assert story.run_on(failing("end", error=BOOM)) == ["a", "end", "h", "h[undo]", "a[undo]"]


# The list


def listed(*lines: str) -> Twin:
    """An execution that has failed, with this list."""
    head = "compensation:\n  steps:\n" + "\n".join(f"    {line}" for line in lines) + "\n"
    story = Twin(steps("- {name: a, type: python, config: {task: work}}", END % "a", head=head))
    story.report("a", {"ids": [1, 2]})
    story.report("end", BOOM)
    return story


def test_a_step_of_the_list_may_be_a_construct() -> None:
    each = "for_each: {items: '{{ steps.a.output.ids }}', concurrency: 1}"
    story = listed(
        f"- {{name: u, type: python, {each}, config: {{task: undo, args: {{id: '{{{{ item }}}}'}}}}}}",
        "- {name: g, type: parallel_group, config: {steps: [{name: g1, type: python, config: {task: undo}}]}}",
    )
    assert story.run_on() == ["u[0]", "u[1]", "g1"]
    assert story.configs()["u[1]"] == {"id": 2}
    assert story.state.compensation == "done"


def test_what_fails_in_a_construct_of_the_list_is_a_failed_compensation() -> None:
    story = listed(
        "- {name: g, type: parallel_group, config: {steps: [{name: g1, type: python, config: {task: undo}}]}}",
        "- {name: u, type: python, config: {task: undo}}",
    )
    assert story.run_on(failing("g1", error=BOOM)) == ["g1", "u"]
    assert story.state.compensation == "failed"


@pytest.mark.parametrize("action", ["{action: continue}", "{action: fallback, fallback: {done: true}}"])
def test_a_failure_that_the_step_of_the_list_handles_itself_is_none_of_the_compensation(action: str) -> None:
    story = listed(f"- {{name: u, type: python, config: {{task: undo}}, on_failure: {action}}}")
    story.run_on(failing("u", error=BOOM))
    assert story.status("u") == "failed"
    assert story.state.compensation == "done"


def test_what_waits_in_the_list_is_waited_for() -> None:
    story = listed(
        "- {name: ok, type: approval, config: {prompt: really?}}", "- {name: u, type: python, config: {task: undo}}"
    )
    assert story.status("ok") == "waiting"
    assert story.work == {}
    answer: dict[str, Any] = {"execution": "x", "step": "ok", "by": "ada", "response": {"fine": True}}
    assert dispatched(story.event("ok", ANSWER, **answer)) == ["u"]
