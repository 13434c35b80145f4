"""Signals: events that are meant for one execution."""

from __future__ import annotations

import pytest

from stepwell.definition.model import Step
from stepwell.execution.event import SIGNAL, Event
from stepwell.execution.inputs import EventArrived
from tests.decider.story import SECOND, Story, begun, kinds, step, workflow


def waits(name: str, *after: str) -> Step:
    return step(name, *after, type="wait_for_event", config={"event_type": "go", "timeout": "90s"})


def signal(story: Story, to: str, step: str = "wait", *, early: bool = False, source: str = SIGNAL) -> list[str]:
    """What follows when a signal to an execution comes to a step of this one."""
    event = Event(id="e1", type="go", source=source, subject=to, data={"n": 1})
    return kinds(story.when(EventArrived(step, event, early)))


@pytest.mark.parametrize("early", [False, True])
def test_a_signal_wakes_the_execution_that_it_is_meant_for(early: bool) -> None:
    story = begun(workflow(waits("wait")))
    assert "EventReceived" in signal(story, story.state.id, early=early)
    assert story.step("wait").output == {"event_data": {"n": 1}}


@pytest.mark.parametrize("early", [False, True])
def test_a_signal_to_another_execution_changes_nothing(early: bool) -> None:
    story = begun(workflow(waits("wait")))
    assert signal(story, "another", early=early) == []
    assert story.status("wait") == "waiting"
    assert "EventReceived" in signal(story, story.state.id)


def test_a_late_signal_is_recorded_by_the_execution_that_it_is_meant_for_alone() -> None:
    story = begun(workflow(waits("wait"), step("b")))
    story.time(90 * SECOND)
    assert signal(story, "another") == []
    assert signal(story, story.state.id) == ["EventLate"]


def test_the_subject_of_other_events_is_no_address() -> None:
    story = begun(workflow(waits("wait")))
    assert "EventReceived" in signal(story, "another", source="shop")
