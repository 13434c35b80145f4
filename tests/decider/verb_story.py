"""Stories about operators: after everything that comes in, the run is compared with one folded from the history."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from stepwell.base.errors import StepwellError
from stepwell.base.spans import Source
from stepwell.decider.decide import decide
from stepwell.decider.outstanding import outstanding
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.definition.loading import load
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.inputs import Input
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.execution.verbs import Verb
from tests.decider.story import Story

_HEAD = """\
apiVersion: workflow/v1
kind: Workflow
metadata: {name: test, version: "VERSION"}
spec:
"""


def document(body: str, version: str = "1.0.0") -> WorkflowDefinition:
    """A definition from what stands below `spec`."""
    lines = body.strip("\n").splitlines()
    text = _HEAD.replace("VERSION", version) + "\n".join(f"  {line}" for line in lines)
    loaded = load(Source("<test>", text))
    errors = [found.message for found in loaded.diagnostics if found.severity == "error"]
    assert loaded.definition is not None, errors
    return loaded.definition


def decides_by(run: Run) -> dict[str, Any]:
    """All that what is decided next depends on, besides the state."""
    ready = [one for *_, one in run.ready if one.in_line and not one.region.stopped]
    return {
        "outstanding": sorted(map(repr, outstanding(run))),
        "due": None if run.is_stopping() else run.next_due(),  # while it stops, what is due changes nothing
        "ready or held": sorted(
            {one.key for one in ready} | {key for key, one in run.held.items() if key in one.region.open}
        ),  # a held one may be looked at again
        "open": sorted([*run.root.open, *run.nested]),
        "stopping": (run.is_stopping(), run.root.stopped),
    }


class Checked(Story):
    """A story whose run is, after every input, what a crash would leave of it."""

    def when(self, came_in: Input, after: int = 0) -> Decision:
        folded = replay(self.plan, self.history)
        decision = super().when(came_in, after)
        assert decide(folded, came_in, self.at) == decision
        folded = replay(self.plan, self.history)
        assert folded.state == self.run.state
        if self.state.status not in ENDED_EXECUTION:
            assert decides_by(self.run) == decides_by(folded), (decides_by(self.run), decides_by(folded))
        return decision

    def refuses(self, verb: Verb, code: str) -> StepwellError:
        """The verb is refused with this code, and nothing has changed."""
        before = msgspec.msgpack.encode(self.state, enc_hook=repr), decides_by(self.run), len(self.history)
        with pytest.raises(StepwellError) as caught:
            self.when(verb)
        assert caught.value.code == code, caught.value
        after = msgspec.msgpack.encode(self.state, enc_hook=repr), decides_by(self.run), len(self.history)
        assert after == before
        return caught.value

    @property
    def at_work(self) -> list[str]:
        """The leaf steps that run."""
        steps = self.state.steps.items()
        return [key for key, step in steps if step.status.value == "running" and step.block is None]


def told(body: str, given: Any = None) -> Checked:
    """A story whose execution has begun."""
    story = Checked(document(body), given)
    story.begin()
    return story
