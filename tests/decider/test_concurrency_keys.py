"""A place under a workflow's `concurrency`: asked for before the beginning, and again by what goes on after its end."""

from __future__ import annotations

from stepwell.definition.model import Concurrency
from stepwell.execution.commands import RunStep, TakeLock
from stepwell.execution.inputs import LockGranted
from stepwell.execution.status import ExecutionStatus
from stepwell.execution.verbs import Pause, Retry
from tests.decider.story import Story, begun, dispatched, kinds, step, workflow

LIMITED = workflow(step("a"), concurrency=Concurrency(key="{{ input.customer }}", limit=2))
PLACE = LockGranted("", "test:7")


def asked(story: Story) -> list[TakeLock]:
    """The places asked for, in order."""
    return [command for command in story.commands if isinstance(command, TakeLock)]


def failed() -> Story:
    """An execution that had its place, and has failed."""
    story = begun(LIMITED, {"customer": 7})
    story.when(PLACE)
    story.failed("a")
    assert story.state.status is ExecutionStatus.FAILED
    return story


def test_nothing_begins_before_the_execution_has_its_place() -> None:
    story = begun(LIMITED, {"customer": 7})
    assert asked(story) == [TakeLock("test:7", "", 2, at=story.state.held_since)]
    assert story.state.status is ExecutionStatus.PENDING
    assert dispatched(story.when(PLACE)) == ["a"]


def test_what_is_retried_after_its_end_stands_in_line_for_its_place_again() -> None:
    story = failed()
    decision = story.when(Retry(by="ada"))
    assert asked(story)[1:] == [TakeLock("test:7", "", 2, at=story.state.held_since)]
    assert not [command for command in decision.commands if isinstance(command, RunStep)]
    story.crash()
    decision = story.when(PLACE)
    assert (kinds(decision)[0], dispatched(decision)) == ("ExecutionAdmitted", ["a"])


def test_a_place_may_come_while_the_execution_is_paused() -> None:
    story = failed()
    story.when(Retry(by="ada"))
    story.when(Pause(by="ada"))
    assert kinds(story.when(PLACE)) == ["ExecutionAdmitted"]
    assert story.state.status is ExecutionStatus.PAUSED


def test_a_place_that_comes_twice_changes_nothing() -> None:
    story = begun(LIMITED, {"customer": 7})
    story.when(PLACE)
    assert story.when(PLACE).events == []


def test_a_place_that_was_granted_before_the_end_is_none_of_an_execution_that_goes_on_after_it() -> None:
    story = failed()
    before = story.state.held_since
    story.when(Retry(by="ada"))
    old = LockGranted("", "test:7", before)
    assert story.when(old).events == []
    new = LockGranted("", "test:7", story.state.held_since)
    assert kinds(story.when(new))[0] == "ExecutionAdmitted"
