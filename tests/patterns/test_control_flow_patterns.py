"""The control-flow patterns: each supported one behaves as the pattern says. The examples are those of the page."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stepwell.base.instants import from_rfc3339
from stepwell.execution.event import Event
from stepwell.execution.inputs import EventArrived
from stepwell.execution.verbs import Cancel
from tests.decider.played import Played

PAGE = (Path(__file__).parents[2] / "docs" / "explanation" / "control-flow-patterns.md").read_text("utf-8")
SAID = {
    int(number): said for number, said in re.findall(r"^\| (\d+) \| [^|]+ \| (yes|partly|no) \|", PAGE, re.MULTILINE)
}
_SECTION = re.compile(r"^### ([\d, ]+) [^\n]*\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
SECTIONS = {int(one): text for numbers, text in _SECTION.findall(PAGE) for one in numbers.split(",")}


def example(number: int) -> str:
    """What the page shows for the pattern."""
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", SECTIONS[number], re.MULTILINE | re.DOTALL)
    assert isinstance(text, str)
    return text


def played(number: int, given: Any = None, **settings: Any) -> Played:
    """The example of the pattern, begun."""
    return Played(example(number), given, **settings)


# The page


def test_the_page_speaks_of_all_43_patterns_and_says_something_of_each() -> None:
    assert sorted(SAID) == list(range(1, 44))
    without = {number for number in SAID if number not in SECTIONS} - {31, 33}
    assert without == set()
    assert "and 31 and 33 neither" in SECTIONS[28]


@pytest.mark.parametrize("number", range(1, 44))
def test_a_pattern_has_an_example_and_a_test_exactly_when_it_is_supported(number: int) -> None:
    tested = any(name.startswith(f"test_wcp_{number:02}_") for name in vars(sys.modules[__name__]))
    assert tested is (SAID[number] != "no")
    assert ("```yaml" in SECTIONS.get(number, "")) is (SAID[number] != "no")


# Basic control flow


def test_wcp_01_sequence_a_step_starts_when_the_one_before_it_has_completed() -> None:
    story = played(1)
    assert story.running == ["pack"]
    assert story.done("pack").running == ["ship"]


def test_wcp_02_parallel_split_both_branches_start_together() -> None:
    assert played(2).done("order").running == ["pack", "bill"]


def test_wcp_03_synchronization_waits_for_both_branches() -> None:
    story = played(3).done("bill")
    assert story.running == ["pack"]
    assert story.done("pack").running == ["ship"]


@pytest.mark.parametrize(("amount", "branch"), [(5000, "ask"), (500, "note"), (5, "accept")])
def test_wcp_04_exclusive_choice_takes_exactly_one_branch(amount: int, branch: str) -> None:
    assert played(4).done("check", result=amount).running == [branch]


@pytest.mark.parametrize("branch", ["fast", "slow"])
def test_wcp_05_simple_merge_goes_on_behind_whichever_branch_was_taken(branch: str) -> None:
    story = played(5).done("check", result=branch == "fast").done(branch)
    assert story.running == ["done"]


# Branching and joining


@pytest.mark.parametrize("found", [[], ["fire"], ["fire", "thief"], ["fire", "wound", "thief"]])
def test_wcp_06_multi_choice_takes_every_branch_whose_condition_holds(found: list[str]) -> None:
    story = played(6).done("call", result=found)
    who = {"fire": "firemen", "wound": "ambulance", "thief": "police"}
    assert story.running == [who[each] for each in found]


@pytest.mark.parametrize("found", [["fire"], ["wound"], ["fire", "wound"]])
def test_wcp_07_structured_synchronizing_merge_waits_for_the_branches_that_were_taken(found: list[str]) -> None:
    story = played(7).done("call", result=found)
    *first, last = story.running
    for branch in first:
        assert "report" not in story.done(branch).running
    story.done(last)
    assert story.running == ["report"]
    assert story.done("report").times("report") == 1


def test_wcp_08_multi_merge_runs_once_for_every_branch_without_waiting() -> None:
    story = played(8).done("roof")
    assert story.running == ["walls", "inspect"]
    story.done("walls")
    assert story.running == ["inspect", "inspect#2"]


def test_wcp_09_structured_discriminator_goes_on_at_the_first_branch_and_resets_when_all_have_come() -> None:
    story = played(9).done("second[0]")
    assert story.running == ["first[0]", "answer[0]"]
    story.done("answer[0]")
    assert story.running == ["first[0]"], "the round is not over before its last branch"
    story.done("first[0]")
    assert story.running == ["first[1]", "second[1]"]
    story.done("first[1]", "second[1]", "answer[1]")
    assert story.times("answer") == 2
    assert story.status == "completed"


def test_wcp_29_cancelling_discriminator_cancels_the_other_branches() -> None:
    story = played(29).done("far")
    assert story.stopped == ["near"]
    assert story.running == ["book"]


def test_wcp_30_structured_partial_join_goes_on_at_the_second_of_three_and_the_third_changes_nothing() -> None:
    story = played(30).done("cid")
    assert "decide" not in story.running
    story.done("ann")
    assert story.running == ["bob", "decide"]
    story.done("bob", "decide")
    assert story.times("decide") == 1


def test_wcp_32_cancelling_partial_join_cancels_what_is_left_at_the_second_of_three() -> None:
    story = played(32).done("cid", "ann")
    assert story.stopped == ["bob"]
    assert story.running == ["decide"]


@pytest.mark.parametrize(
    ("found", "order"),
    [
        (["fire"], ["firemen", "search", "doctor", "report"]),
        (["wound"], ["ambulance", "doctor", "report"]),
        (["fire", "wound"], ["firemen", "ambulance", "search", "doctor", "report"]),
    ],
)
def test_wcp_37_acyclic_synchronizing_merge_needs_no_nesting_of_the_branches(
    found: list[str], order: list[str]
) -> None:
    story = played(37).done("call", result=found).go()
    assert story.ran[1:] == order
    assert story.status == "completed"


@pytest.mark.parametrize(("last", "filed_by"), [("good", "both"), ("given up", "print alone")])
def test_wcp_38_general_synchronizing_merge_waits_as_long_as_the_cycle_may_still_come(last: str, filed_by: str) -> None:
    story = played(38).done("print").done("draft", result="bad")
    assert story.running == ["draft#2"], "print has come, and the cycle may still come"
    story.done("draft#2", result=last)
    assert story.running == ["file"], filed_by
    assert story.done("file").times("file") == 1


def test_wcp_41_thread_merge_goes_on_once_when_all_threads_have_come() -> None:
    story = played(41).done("walls", "inspect")
    assert "sign" not in story.running
    story.done("roof", "inspect#2")
    assert story.running == ["sign"]


def test_wcp_42_thread_split_makes_as_many_threads_of_one_branch_as_are_written() -> None:
    assert played(42).done("order").running == ["test", "test#2", "test#3"]


# Several instances


def test_wcp_12_multiple_instances_without_synchronization_nobody_waits_for_them() -> None:
    story = played(12).done("fines", result=["a", "b"])
    assert [each.input for each in story.children.values()] == [{"fine": "a"}, {"fine": "b"}]
    assert story.running == ["done"]


def test_wcp_13_multiple_instances_of_a_written_number_run_side_by_side_and_are_waited_for() -> None:
    story = played(13)
    assert story.running == ["read[0]", "read[1]", "read[2]"]
    assert story.done("read[2]", "read[0]").running == ["read[1]"]
    assert story.done("read[1]").running == ["decide"]


def test_wcp_14_multiple_instances_of_a_number_known_at_run_time_are_waited_for() -> None:
    story = played(14).done("order", result={"lines": ["x", "y", "z"]})
    assert [story.given_to(key) for key in story.running] == [{"line": "x"}, {"line": "y"}, {"line": "z"}]
    assert story.done("pack[0]", "pack[2]").running == ["pack[1]"]
    assert story.done("pack[1]").running == ["ship"]


def test_wcp_15_multiple_instances_may_be_added_while_others_run_until_there_will_be_no_more() -> None:
    story = played(15).event("witness.named", who="ann").event("witness.named", who="bob")
    assert [story.given_to(key) for key in story.running] == [{"who": "ann"}, {"who": "bob"}]
    story.done("witness")
    story.event("witness.named", who="cid")
    assert story.given_to("witness#3") == {"who": "cid"}
    story.event("witness.last").done("witness#2")
    assert story.running == ["witness#3"]
    assert story.done("witness#3").running == ["report"]
    assert story.done("report").status == "completed"


def test_wcp_26_cancel_multiple_instance_activity_cancels_the_items_that_have_not_completed() -> None:
    story = played(26).done("test[1]").event("recall")
    assert story.of("test[0]", "test[1]", "test[2]", "test") == ["cancelled", "completed", "cancelled", "cancelled"]
    assert story.status == "completed"


def test_wcp_27_complete_multiple_instance_activity_goes_on_without_the_items_that_are_left() -> None:
    story = played(27).done("ask[1]").event("enough")
    assert sorted(story.stopped) == ["ask[0]", "ask[2]"]
    assert story.running == ["evaluate"]
    assert story.of("ask[1]") == "completed"


# State


@pytest.mark.parametrize(("event", "behind"), [("order.paid", ["ship"]), ("order.withdrawn", []), (None, ["remind"])])
def test_wcp_16_deferred_choice_is_made_by_the_first_event_and_withdraws_the_others(
    event: str | None, behind: list[str]
) -> None:
    story = played(16)
    assert len(story.waits) == 2
    story = story.event(event) if event else story.time("14d")
    assert story.waits == {}
    assert story.running == behind


def test_wcp_17_interleaved_parallel_routing_keeps_the_order_and_never_runs_two_at_a_time() -> None:
    story = played(17)
    for _ in range(3):
        (one,) = story.running
        story.done(one)
    order = story.ran[:3]
    assert order.index("blood") < order.index("sugar")
    assert sorted(order) == ["blood", "heart", "sugar"]
    assert story.running == ["findings"]


def test_wcp_17_interleaved_parallel_routing_may_take_either_branch_first() -> None:
    story = played(17)
    assert story.done("blood").running == ["heart"], "who asked first is first; the other branch has gone on meanwhile"


@pytest.mark.parametrize(("events", "status"), [(["bid"], "running"), (["auction.closed", "bid"], "skipped")])
def test_wcp_18_milestone_lets_a_step_start_only_while_it_lasts(events: list[str], status: str) -> None:
    story = played(18).done("open")
    for event in events:
        story.event(event)
    assert story.of("bid") == status


def test_wcp_18_milestone_holds_a_step_back_until_it_is_reached() -> None:
    story = played(18).event("bid")
    assert story.of("bid") == "waiting"
    assert story.done("open").running == ["bid"]


def test_wcp_39_critical_section_lets_one_of_them_in_at_a_time_in_all_executions() -> None:
    story = played(39, {"account": 7}, locked=("account 7",))
    assert story.running == []
    story.unlock("account 7").done("read")
    assert story.running == ["write"], "the section ends with its last step"
    assert story.done("write").running == ["withdraw"]


def test_wcp_40_interleaved_routing_runs_all_in_some_order_and_never_two_at_a_time() -> None:
    story = played(40, {"car": 1})
    for _ in range(3):
        (one,) = story.running
        story.done(one)
    assert sorted(story.ran[:3]) == ["lights", "oil", "tyres"]
    assert story.running == ["bill"]


# Cancelling


def test_wcp_19_cancel_activity_withdraws_a_step_that_runs() -> None:
    story = played(19).event("claim.withdrawn")
    assert story.stopped == ["assess"]
    assert story.status == "completed"


def test_wcp_20_cancel_case_removes_everything_of_the_execution() -> None:
    story = played(20)
    story.take(Cancel(by="ada", reason="withdrawn"))
    assert story.stopped == ["assess"]
    assert story.waits == {}
    assert story.of("assess", "reply") == ["cancelled", "cancelled"]
    assert story.status == "cancelled"


def test_wcp_25_cancel_region_withdraws_a_set_of_steps_whatever_they_do_and_nothing_else() -> None:
    story = played(25).event("fraud.found")
    assert sorted(story.stopped) == ["ask[0]", "assess"]
    assert story.of("assess", "talk", "pay") == ["cancelled", "cancelled", "skipped"]
    assert story.running == ["file"]


# Repeating


def test_wcp_10_arbitrary_cycles_have_several_entries_and_exits() -> None:
    at_write = played(10).go({"begin": "new", "check": scripted("rewrite", "again", "good")})
    assert at_write.ran == ["begin", "write", "check", "write#2", "check#2", "check#3", "print"]
    at_check = played(10).go({"begin": "old", "check": scripted("rewrite", "good")})
    assert at_check.ran == ["begin", "check", "write", "check#2", "print"]


def scripted(*results: Any) -> Callable[[Any], Any]:
    """Work that gives these results, one after the other."""
    left = iter(results)
    return lambda assignment: next(left)


def test_wcp_21_structured_loop_asks_before_or_after_every_round() -> None:
    story = played(21).go({"drink": scripted("half", "empty")})
    assert story.times("cup") == 3
    assert story.times("drink") == 2


def test_wcp_22_recursion_a_workflow_starts_itself_until_it_need_not() -> None:
    def factorial(n: int, depth: int = 0) -> Any:
        story = played(22, {"n": n}, depth=depth)
        for key, child in list(story.children.items()):
            assert child.workflow == "factorial"
            story.child(key, factorial(child.input["n"], child.depth))
        return story.output

    assert factorial(5) == {"value": 120}


# Ending


def test_wcp_11_implicit_termination_comes_when_nothing_is_left_to_do() -> None:
    story = played(11).done("bill", "thank")
    assert story.status == "running"
    assert story.done("pack").status == "completed"


def test_wcp_43_explicit_termination_ends_what_is_left_as_completed() -> None:
    story = played(43).done("found")
    assert story.stopped == ["search"]
    assert story.waits == {}
    assert story.status == "completed"


# Triggers


def test_wcp_23_transient_trigger_an_event_from_before_the_step_was_ready_does_not_count() -> None:
    story = played(23).time("1m").done("arm")

    def opened(at: str, name: str) -> Event:
        return Event(id=name, type="door.opened", source="door", data={}, time=from_rfc3339(at))

    story.take(EventArrived("alarm", opened("1970-01-01T00:00:30Z", "early"), early=True))
    assert story.of("alarm") == "waiting"
    story.take(EventArrived("alarm", opened("1970-01-01T00:01:30Z", "later")))
    assert story.of("alarm") == "completed"


def test_wcp_24_persistent_trigger_an_event_that_came_too_early_still_counts() -> None:
    story = played(24).event("order.paid")
    assert story.running == ["order"]
    assert story.done("order").status == "completed"
