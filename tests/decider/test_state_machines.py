"""`state_machine`: states, and events that lead from one to another."""

from __future__ import annotations

import pytest

from stepwell.execution.history import BlockEntered, EventIgnored
from tests.decider.played import Played
from tests.decider.story import BOOM

DOOR = """
    vars: {opened: 0}
    steps:
    - name: door
      type: state_machine
      config:
        initial: closed
        states:
          closed:
            transitions:
            - {event: push, to: open, when: "{{ event.data.key == 'right' }}",
               actions: [{name: creak, type: work, config: {who: "{{ event.data.who }}"}}]}
            - {event: blow, to: broken}
          open:
            on_enter: [{name: count, type: set, config: {opened: "{{ vars.opened + 1 }}"}}]
            transitions: [{event: pull, to: closed}]
          broken: {final: true}
    - {name: z, type: noop, depends_on: door}
    output: {values: {out: "{{ steps.door.output }}", opened: "{{ vars.opened }}"}}
"""


def state(story: Played) -> str:
    """In which state the door is."""
    return (story.step("door").block or "").split(".")[1]


def test_events_lead_from_state_to_state_until_a_final_one() -> None:
    story = Played(DOOR)
    assert state(story) == "closed"
    story.event("push", key="right", who="ada")
    assert story.given_to("creak[1]") == {"who": "ada"}
    story.done("creak[1]")
    assert state(story) == "open"
    story.event("pull")
    assert state(story) == "closed"
    story.event("blow")
    assert story.output == {"out": {"state": "broken"}, "opened": 1}
    assert story.of("z") == "completed"


def test_actions_run_before_what_the_next_state_does_on_entry_and_before_it_waits() -> None:
    story = Played(DOOR).event("push", key="right", who="ada")
    assert story.state.variables == {"opened": 0}
    assert story.waits == {}
    story.done("creak[1]")
    assert story.state.variables == {"opened": 1}
    assert sorted(event for _, event in story.waits) == ["blow", "pull", "push"]


def test_every_change_of_place_is_recorded_with_the_event_that_made_it() -> None:
    story = Played(DOOR).event("push", key="right", who="ada").done("creak[1]").event("pull")
    entered = [(each.block, (each.event or {}).get("type")) for each in story.happened(BlockEntered)]
    assert entered == [
        ("states.closed.on_enter", None),
        ("states.closed.waiting", None),
        ("states.closed.transitions.0", "push"),
        ("states.open.on_enter", "push"),
        ("states.open.waiting", "push"),
        ("states.open.transitions.0", "pull"),
        ("states.closed.on_enter", "pull"),
        ("states.closed.waiting", "pull"),
    ]


@pytest.mark.parametrize(("event", "data"), [("pull", {}), ("push", {"key": "wrong", "who": "eve"})])
def test_an_event_without_a_transition_here_is_recorded_and_ignored(event: str, data: dict[str, str]) -> None:
    story = Played(DOOR).event(event, **data)
    assert state(story) == "closed"
    (ignored,) = story.happened(EventIgnored)
    assert (ignored.state, ignored.event.type) == ("closed", event)
    assert story.event("blow").status == "completed"


def test_a_strict_machine_fails_at_an_event_without_a_transition() -> None:
    story = Played(DOOR.replace("initial: closed", "initial: closed\n        strict: true")).event("pull")
    assert story.problem("door").type == "unexpected_event"
    assert story.problem("door").message == "event 'pull' has no transition in state 'closed' (strict)"
    assert story.status == "failed"
    assert story.waits == {}


def test_an_event_that_no_transition_names_anywhere_does_not_reach_the_machine() -> None:
    story = Played(DOOR.replace("initial: closed", "initial: closed\n        strict: true")).event("shout")
    assert state(story) == "closed"
    assert story.happened(EventIgnored) == []


def test_an_event_that_came_before_the_machine_began_still_counts() -> None:
    story = Played(
        DOOR.replace(
            "steps:\n    - name: door", "steps:\n    - {name: a, type: work}\n    - name: door\n      depends_on: a"
        )
    )
    story.event("blow").done("a")
    assert story.status == "completed"


def test_an_event_that_comes_while_actions_run_counts_as_soon_as_they_are_through() -> None:
    story = Played(DOOR).event("push", key="right", who="ada").event("pull")
    assert story.running == ["creak[1]"]
    story.done("creak[1]")
    assert state(story) == "closed"
    assert story.state.variables == {"opened": 1}


def test_an_event_makes_one_move_and_no_second_one() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          config:
            initial: a
            states:
              a: {transitions: [{event: go, to: b}]}
              b: {transitions: [{event: go, to: c}]}
              c: {final: true}
    """)
    story.event("go")
    assert story.of("m") == "running"
    assert story.event("go").status == "completed"


def test_the_first_transition_whose_condition_holds_is_taken() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          config:
            initial: a
            states:
              a:
                transitions:
                - {event: go, to: low, when: "{{ event.data.n < 5 }}"}
                - {event: go, to: mid, when: "{{ event.data.n < 50 }}"}
                - {event: go, to: high}
              low: {final: true}
              mid: {final: true}
              high: {final: true}
    """)
    assert story.event("go", n=7).step("m").output == {"state": "mid"}


def test_a_condition_that_cannot_be_evaluated_fails_the_machine() -> None:
    story = Played(DOOR).event("push", who="ada")
    assert story.problem("door").type == "expression_error"
    assert "event.data.key" in story.problem("door").message
    assert story.status == "failed"


def test_a_machine_whose_first_state_is_final_is_over_at_once_but_for_what_it_does_on_entry() -> None:
    story = Played("""
        steps:
        - {name: m, type: state_machine, config: {initial: a,
           states: {a: {final: true, on_enter: [{name: x, type: work}]}}}}
    """)
    assert story.running == ["x[0]"]
    assert story.done("x[0]").step("m").output == {"state": "a"}
    assert story.status == "completed"


def test_a_failing_action_fails_the_machine_and_names_it() -> None:
    story = Played(DOOR).event("push", key="right", who="ada").failed("creak[1]")
    assert story.problem("door").message == "step 'creak' failed: it went boom"
    assert story.status == "failed"


def test_an_action_that_fails_and_goes_on_lets_the_machine_move() -> None:
    story = Played(
        DOOR.replace("{name: creak, type: work,", "{name: creak, type: work, on_failure: {action: continue},")
    )
    story.event("push", key="right", who="ada").failed("creak[1]")
    assert state(story) == "open"


def test_every_stay_in_a_state_has_instances_of_its_own() -> None:
    story = Played(DOOR)
    for _ in range(2):
        story.event("push", key="right", who="ada").go().event("pull")
    assert story.ran == ["creak[1]", "creak[3]"]
    assert story.state.variables == {"opened": 2}


def test_from_outside_the_latest_run_of_an_action_is_read() -> None:
    story = Played(DOOR.replace('opened: "{{ vars.opened }}"', 'said: "{{ steps.creak.output }}"'))
    story.event("push", key="right", who="ada").done("creak[1]", result="first").event("pull")
    story.event("push", key="right", who="bob").done("creak[3]", result="second").event("pull").event("blow")
    assert story.output["said"] == "second"


@pytest.mark.parametrize(
    ("action", "after"), [("late", "completed"), ("{action: continue}", "completed"), ("{action: terminate}", "failed")]
)
def test_the_timeout_of_a_machine_withdraws_its_waits(action: str, after: str) -> None:
    text = DOOR.replace("type: state_machine", f"type: state_machine\n      timeout: 1h\n      on_timeout: {action}")
    if action == "late":
        text = text.replace("{name: z, type: noop, depends_on: door}", "{name: late, type: noop}")
    story = Played(text.replace("{{ steps.door.output }}", "{{ steps.door.status }}")).time("1h")
    assert story.waits == {}
    assert story.problem("door").type == "timeout"
    assert story.status == after


def test_the_timeout_of_a_machine_counts_from_its_beginning_through_all_states() -> None:
    story = Played(DOOR.replace("type: state_machine", "type: state_machine\n      timeout: 1h"))
    story.time("50m").event("push", key="right", who="ada").done("creak[1]").time("10m")
    assert story.problem("door").type == "timeout"


def test_a_retried_machine_begins_in_its_first_state_and_takes_no_event_twice() -> None:
    story = Played(
        DOOR.replace(
            "type: state_machine",
            "type: state_machine\n      timeout: 1m\n      retry: {max_attempts: 2, initial_delay: 1s}",
        )
    )
    story.event("push", key="right", who="ada").done("creak[1]").time("1m")
    assert story.of("door") == "retrying"
    story.time(1)
    assert state(story) == "closed"
    assert story.of("door") == "running"
    assert story.event("blow").status == "completed"


def test_a_failure_elsewhere_withdraws_the_waits_of_a_machine() -> None:
    story = Played(
        DOOR.replace("steps:\n    - name: door", "steps:\n    - {name: a, type: work}\n    - name: door")
    ).failed("a")
    assert story.waits == {}
    assert story.of("door") == "cancelled"
    assert story.status == "failed"


def test_a_failure_elsewhere_lets_a_running_action_finish_and_then_the_machine_stops() -> None:
    story = Played(DOOR.replace("steps:\n    - name: door", "steps:\n    - {name: a, type: work}\n    - name: door"))
    story.event("push", key="right", who="ada").failed("a")
    assert story.running == ["creak[1]"]
    story.done("creak[1]")
    assert story.status == "failed"
    assert story.state.variables == {"opened": 0}


def test_two_machines_side_by_side_both_take_an_event_that_both_want() -> None:
    story = Played("""
        steps:
        - {name: m, type: state_machine, config: {initial: a,
           states: {a: {transitions: [{event: go, to: b}]}, b: {final: true}}}}
        - {name: n, type: state_machine, config: {initial: c,
           states: {c: {transitions: [{event: go, to: d}]}, d: {final: true}}}}
    """)
    assert story.event("go").of("m", "n") == ["completed", "completed"]


def test_a_machine_for_each_item_moves_by_itself() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          for_each: {items: [1, 2], as: n}
          config:
            initial: a
            states:
              a: {transitions: [{event: go, when: "{{ event.data.n == n }}", to: b}]}
              b: {final: true}
    """)
    story.event("go", n=2)
    assert story.of("m[0]", "m[1]") == ["running", "completed"]
    assert story.event("go", n=1).status == "completed"


def test_an_action_that_sends_the_machine_on_may_fail_by_a_group_in_it() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          on_failure: {action: continue}
          config:
            initial: a
            states:
              a: {on_enter: [{name: g, type: parallel_group, config: {steps: [{name: x, type: work},
                 {name: y, type: work}]}}]}
    """).go({"x": BOOM})
    assert story.problem("m").message == "step 'g' failed: 1 failed, first 'x[0]': it went boom"
    assert story.status == "completed"


def test_a_state_that_is_not_final_and_leads_nowhere_is_no_silent_hang() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          config: {initial: a, states: {a: {transitions: [{event: go, to: b}]}, b: {}}}
    """).event("go")
    assert story.problem("m").type == "stuck"
    assert story.problem("m").message == "state 'b' is not final, and no transition leads out of it"
    assert story.status == "failed"


def test_in_such_a_state_a_machine_may_wait_for_its_time_to_be_up() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          timeout: 1m
          on_timeout: {action: continue}
          config: {initial: a, states: {a: {transitions: [{event: go, to: b}]}, b: {}}}
    """).event("go")
    assert story.of("m") == "running"
    assert story.time("1m").status == "completed"


def test_a_machine_that_knows_no_event_at_all_does_not_wait_even_for_its_time() -> None:
    story = Played("""
        steps:
        - name: m
          type: state_machine
          timeout: 1m
          config: {initial: a, states: {a: {on_enter: [{name: x, type: work}]}}}
    """).done("x[0]")
    assert story.problem("m").type == "stuck"
    assert story.seconds == 0
