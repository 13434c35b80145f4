"""What holds for every workflow and every run of it: it is never without a reason, and never beyond its worst case."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.app.comparing import compare
from stepwell.app.explaining import explain
from stepwell.app.explanation import View
from stepwell.app.planning import figures_of
from stepwell.app.recorded import Recorded
from stepwell.decider.replay import replay
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.commands import RunStep
from stepwell.execution.history import StepScheduled
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus, StepStatus
from tests.decider.random_workflows import workflows
from tests.decider.story import BOOM, FLAKY, SECOND, TIMEOUT, Story

LONGEST = 5 * SECOND
"""What every attempt may take."""

_SELDOM = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def bounded(definition: WorkflowDefinition) -> WorkflowDefinition:
    """The same, with a timeout for every step that a worker does."""
    steps = tuple(
        msgspec.structs.replace(step, timeout=LONGEST) if step.type == "python" else step for step in definition.steps
    )
    return msgspec.structs.replace(definition, steps=steps)


class Run:
    """A run in which everything happens at its time: attempts end within their timeout, and timers when they are due.

    Attributes:
        lasted: when the workflow's own steps, or the whole, had ended.
    """

    def __init__(self, definition: WorkflowDefinition, data: st.DataObject) -> None:
        self._data = data
        self.story = Story(definition, {"flag": data.draw(st.booleans())})
        self._ends: dict[str, int] = {}
        self._undoing = {step.name for step in definition.compensation.steps}
        self.lasted = 0

    def go(self) -> None:
        """From its beginning to its end."""
        self.story.begin()
        self._took()
        while self.story.state.status not in ENDED_EXECUTION:
            self._explained()
            self._next()
            self._took()
        self._explained()

    def _next(self) -> None:
        story = self.story
        steps = story.state.steps.items()
        waiting = [key for key, step in steps if step.event_type is not None and step.status is StepStatus.WAITING]
        if waiting and self._data.draw(st.integers(0, 3)) == 0:
            story.event(self._data.draw(st.sampled_from(waiting)), id=f"e{story.state.seq}", n=2)
            return
        due = story.run.next_due()
        first = min(self._ends, key=lambda key: self._ends[key], default=None)
        if first is not None and (due is None or self._ends[first] <= due):
            story.at = max(story.at, self._ends.pop(first))
            error = self._data.draw(st.sampled_from([None, None, None, BOOM, FLAKY, TIMEOUT]))
            if story.step(first).status is StepStatus.RUNNING:
                story.failed(first, error) if error is not None else story.done(first, {"n": 3})
        else:
            assert due is not None, "it has not ended, and nothing will ever happen"
            story.at = max(story.at, due)
            story.time(0)

    def _took(self) -> None:
        """Note what was decided last."""
        story = self.story
        for command in story.commands:
            if isinstance(command, RunStep):
                self._ends[command.assignment.step] = story.at + self._data.draw(st.integers(0, 5)) * SECOND
        story.commands.clear()
        if story.state.status is ExecutionStatus.RUNNING or story.state.status in ENDED_EXECUTION:
            self.lasted = story.at if not story.state.compensation_reason else self.lasted

    def _explained(self) -> None:
        """There is a reason for everything."""
        story = self.story
        found = explain(View(replay(story.plan, story.history), story.history, story.at, engine="here")).reasons
        assert found
        assert story.state.status in ENDED_EXECUTION or any(reason.wakes is not None for reason in found)

    def recorded(self) -> Recorded:
        story = self.story
        return Recorded(1, story.plan.definition, story.state, story.history)

    def made(self) -> int:
        """How many attempts were made of the workflow's own steps."""
        scheduled = [event.step for event in self.story.history if isinstance(event, StepScheduled)]
        return sum(step not in self._undoing for step in scheduled)


@given(definition=workflows(), data=st.data())
@_SELDOM
def test_no_run_is_without_a_reason_or_beyond_its_worst_case(
    definition: WorkflowDefinition, data: st.DataObject
) -> None:
    run = Run(bounded(definition), data)
    run.go()
    figures = figures_of(run.story.plan.definition)
    assert figures.attempts is not None
    assert run.made() <= figures.attempts
    assert figures.duration is not None
    assert run.lasted <= figures.duration


@given(definition=workflows(), data=st.data())
@_SELDOM
def test_two_runs_in_which_steps_went_otherwise_part_and_no_run_parts_from_itself(
    definition: WorkflowDefinition, data: st.DataObject
) -> None:
    one, other = Run(definition, data), Run(definition, data)
    one.go()
    other.go()
    found = compare(one.recorded(), other.recorded())
    assert compare(one.recorded(), one.recorded()).parting is None
    if any("path" in step.differs or "attempts" in step.differs for step in found.steps):
        assert found.parting is not None
