"""Telling compensation tests: documents as people write them, and with every input a second run that was replayed.

What the run in memory decides, the run that is folded from the history must decide as well, at every point.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stepwell.base.errors import ErrorInfo
from stepwell.base.spans import Source
from stepwell.decider.compensation import undoable
from stepwell.decider.decide import decide
from stepwell.decider.keys import undone_key
from stepwell.decider.outstanding import outstanding
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.definition.loading import load
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.commands import RunStep, StopStep
from stepwell.execution.inputs import ChildCompensated, ChildEnded, CompensateSelf, Input, TimersDue
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.execution.verbs import Cancel, Compensate
from stepwell.execution.work import Assignment, Report
from tests.decider.story import Story

HEAD = """
apiVersion: workflow/v1
kind: Workflow
metadata: {name: test, version: "1.0.0"}
spec:
"""
Does = Callable[[Assignment], Any]
"""What a worker makes of an assignment: a result, or an `ErrorInfo`."""


def definition(spec: str) -> WorkflowDefinition:
    """The definition with this `spec`."""
    loaded = load(Source("test.yaml", HEAD + "\n".join(f"  {line}" for line in spec.strip("\n").splitlines())))
    problems = [each.message for each in loaded.diagnostics if each.severity == "error"]
    assert not problems, problems
    assert loaded.definition is not None
    return loaded.definition


class Twin(Story):
    """A story in which a run that is folded from the history decides on every input too, and must decide the same."""

    def __init__(self, spec: str | WorkflowDefinition, given: Any = None, at: int = 0) -> None:
        super().__init__(definition(spec) if isinstance(spec, str) else spec, given, at)
        self.work: dict[str, Assignment] = {}
        self.begin()

    def when(self, came_in: Input, after: int = 0) -> Decision:
        """Something comes in; see `Story.when`."""
        other = self._replayed()
        decision = super().when(came_in, after)
        assert decide(other, came_in, self.at) == decision
        folded = self._replayed()
        assert folded.state == self.state
        assert sorted(map(repr, outstanding(folded))) == sorted(map(repr, outstanding(self.run)))
        assert folded.next_due() == self.run.next_due()
        for command in decision.commands:
            if isinstance(command, RunStep):
                self.work[command.assignment.step] = command.assignment
            elif isinstance(command, StopStep):
                self.work = {key: one for key, one in self.work.items() if one.id != command.assignment_id}
        return decision

    def _replayed(self) -> Run:
        """What a restart would make. It finds a try that is due and waits for a place again when timers are looked at,
        which is the first thing that happens to it, for its instant has passed."""
        run = replay(self.plan, self.history)
        if any(one.key in self.state.steps for *_, one in self.run.ready):
            assert decide(run, TimersDue(), self.at).events == []
        return run

    @property
    def ended(self) -> bool:
        return self.state.status in ENDED_EXECUTION

    def report(self, key: str, outcome: Any = None) -> Decision:
        """The work of this instance is done: with a result, or with an `ErrorInfo`."""
        work = self.work.pop(key)
        said = {"error": outcome} if isinstance(outcome, ErrorInfo) else {"result": outcome}
        return self.when(Report(execution="x", step=key, attempt=work.attempt, started_at=self.at, **said))

    def run_on(self, does: Does = lambda work: None, limit: int = 500) -> list[str]:
        """Do what is asked for, the oldest first, and let time pass, until the end or until nothing can come any more;
        returns the instances whose work was done, in order."""
        done: list[str] = []
        for _ in range(limit):
            if self.ended:
                return done
            if self.work:
                key = next(iter(self.work))
                done.append(key)
                self.report(key, does(self.work[key]))
                continue
            due = self.run.next_due()
            if due is None:
                return done
            self.when(TimersDue(), max(0, due - self.at))
        raise AssertionError("it does not end")

    def events(self, kind: type) -> list[Any]:
        """What happened of this kind."""
        return [event for event in self.history if isinstance(event, kind)]

    def undone(self) -> list[str]:
        """The instances that were dispatched to undo others, as what they undo, in order."""
        keys = [command.assignment.step for command in self.commands if isinstance(command, RunStep)]
        return [key for each in keys if (key := undone_key(each)) is not None]

    def undoable(self) -> list[str]:
        """What could be undone now."""
        return undoable(self.run)

    def configs(self) -> dict[str, Any]:
        """With which settings every instance was dispatched."""
        return {
            command.assignment.step: command.assignment.config["args"]
            for command in self.commands
            if isinstance(command, RunStep) and "args" in command.assignment.config
        }


def failing(*names: str, error: ErrorInfo) -> Does:
    """A worker at which these steps fail; the others give `{id: KEY}`."""
    return lambda work: error if work.step in names else {"id": work.step}


def stories() -> list[Twin]:
    """Stories that walk every legal move of compensation."""
    undo = "compensate: {type: python, config: {task: undo}}"
    leaf = f"{{name: %s, type: python, config: {{task: work}}, {undo}}}"
    failing_after = "{name: end, type: fail, depends_on: a}"
    awaited = Twin(f"compensation: {{mode: manual}}\nsteps:\n  - {leaf % 'a'}\n  - {failing_after}")
    awaited.report("a")
    awaited.when(Compensate(by="ada"))
    awaited.when(Cancel(by="ada"))
    awaited.run_on()

    stop = "config: {cancellation: cancel_running}\nsteps:"
    end = "{name: end, type: python, config: {task: work}}"
    late = Twin(f"{stop}\n  - {leaf % 'a'}\n  - {leaf % 'slow'}\n  - {end}")
    late.report("a")
    late.report("end", ErrorInfo("boom", "it went boom"))
    late.when(Report(execution="x", step="slow", attempt=1, started_at=0))
    late.run_on()

    below = Twin(f"steps:\n  - {leaf % 'a'}")
    below.report("a")
    below.when(CompensateSelf("p", "sub[undo]", "it failed"))
    below.run_on()
    asked = Twin(f"compensation: {{mode: manual}}\nsteps:\n  - {leaf % 'a'}")
    asked.report("a")
    asked.when(CompensateSelf("p", "sub[undo]", "it failed"))

    sub = "{name: sub, type: workflow, config: {name: other}}"
    above = Twin(f"compensation: {{}}\nsteps:\n  - {sub}\n  - {{name: end, type: fail, depends_on: sub}}")
    above.when(ChildEnded("sub", above.step("sub").child, "completed"))
    above.when(ChildCompensated("sub[undo]", "done"))
    return [awaited, late, below, asked, above]
