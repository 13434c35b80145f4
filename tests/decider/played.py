"""Playing a document through the decider: it is read as a user writes it, and nothing but what comes in moves it.

Whatever comes in is also decided by an execution that was just folded from its history, as if the process had died in
between: both must decide the same. Waits, locks and work are kept in books of what was commanded, and these must be
what is outstanding.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping
from typing import Any, Self

from stepwell.base.durations import parse_duration
from stepwell.base.errors import ErrorInfo
from stepwell.base.spans import Source
from stepwell.decider.create import Start, create
from stepwell.decider.decide import decide
from stepwell.decider.outstanding import outstanding
from stepwell.decider.plan import Plan
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.definition.loading import load
from stepwell.execution.codec import Codec
from stepwell.execution.commands import (
    AwaitEvent,
    Command,
    EndExecution,
    ForgetWait,
    ReleaseLock,
    RunStep,
    StartChild,
    StopStep,
    TakeLock,
    TellChild,
)
from stepwell.execution.event import ANSWER, Event
from stepwell.execution.evolve import begin
from stepwell.execution.history import HistoryEvent, StepScheduled
from stepwell.execution.inputs import Begin, ChildEnded, EventArrived, Input, LockGranted, TimersDue
from stepwell.execution.matching import matches
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.execution.work import Assignment, Report
from tests.decider.story import BOOM, SECOND
from tests.execution.ciphers import Toy

HEAD = 'apiVersion: workflow/v1\nkind: Workflow\nmetadata: {name: played, version: "1.0.0"}\nspec:\n'

Work = Mapping[str, Any] | Callable[[Assignment], Any]
"""What becomes of work, by the key or the name of its step: a result, an `ErrorInfo`, or a function of the assignment
that gives one; null where nothing is said."""

_CODEC = Codec(Toy())


def document(spec: str) -> str:
    """A whole document from the text of its `spec`; a whole one is left as it is."""
    text = textwrap.dedent(spec).strip("\n")
    return text if text.startswith("apiVersion") else HEAD + textwrap.indent(text, "  ") + "\n"


def planned(spec: str) -> Plan:
    """The plan of a document, in which nothing but warnings may be found."""
    loaded = load(Source("played.yaml", document(spec)))
    assert loaded.definition is not None, [str(finding) for finding in loaded.diagnostics]
    return Plan(loaded.definition)


class Played:
    """One execution of a document, from its beginning.

    Args:
        replays: everything is decided twice, see above; off only where that would cost too much.
        locked: names of locks that another execution holds.
        depth: how many executions are above it.
        begins: it has a place, and begins at once.

    Attributes:
        text: the whole document.
        work: what was dispatched and not yet reported or stopped, by step, in the order of its dispatch.
        ran: the steps that were dispatched, in order, once for every attempt.
        stopped: the steps whose work was stopped.
        locks: who holds or wants each lock, in order; "" is another execution.
        children: the sub-workflows that were started, by step; told: what they were told.
    """

    def __init__(
        self,
        spec: str,
        given: Any = None,
        *,
        replays: bool = True,
        locked: tuple[str, ...] = (),
        depth: int = 0,
        begins: bool = True,
    ) -> None:
        self.text = document(spec)
        self.plan = planned(spec)
        self.at = 0
        self.replays = replays
        created = create(self.plan, Start(id="x", input=given, seed=b"seed", depth=depth), 0)
        self.history: list[HistoryEvent] = [created]
        self.run = Run(self.plan, begin(created))
        self.work: dict[str, Assignment] = {}
        self.ran: list[str] = []
        self.stopped: list[str] = []
        self.waits: dict[tuple[str, str], Any] = {}
        self.locks: dict[str, list[str]] = {name: [""] for name in locked}
        self.children: dict[str, StartChild] = {}
        self.told: list[tuple[str, str]] = []
        self.arrived: list[Event] = []
        self._told_end = False
        self._before = 0
        if begins:
            self.take(Begin())

    # What comes in

    def take(self, came_in: Input) -> Decision:
        """Something comes in, and is decided twice; what is commanded is written into the books."""
        other = self._caught_up() if self.replays else None
        decision = decide(self.run, came_in, self.at)
        if other is not None:
            again = decide(other, came_in, self.at)
            assert again.events == decision.events, f"decided otherwise after a crash: {came_in}"
            assert again.commands == decision.commands, f"commanded otherwise after a crash: {came_in}"
        self.history += decision.events
        self._before = self.at
        for command in decision.commands:
            self.note(command)
        if self.replays:
            self._check_books()
        self._answer(decision.commands)
        return decision

    def done(self, *keys: str, result: Any = None) -> Self:
        """The current attempts of these steps succeed, one after the other."""
        for key in keys:
            self.report(key, result)
        return self

    def failed(self, key: str, error: ErrorInfo = BOOM) -> Self:
        """The current attempt of the step fails."""
        self.report(key, error)
        return self

    def report(self, key: str, outcome: Any) -> None:
        """The current attempt of the step ends, with a result or an `ErrorInfo`."""
        assignment = self.work.pop(key)
        said = {"error": outcome} if isinstance(outcome, ErrorInfo) else {"result": outcome}
        self.take(Report(execution="x", step=key, attempt=assignment.attempt, started_at=self.at, **said))

    def time(self, span: str | int) -> Self:
        """Time passes: a duration; whatever is due meanwhile fires at its instant."""
        until = self.at + parse_duration(span)
        while (due := self.run.next_due()) is not None and due <= until and not self.ended:
            self.at = max(self.at, due)
            self.take(TimersDue())
        self.at = until
        return self

    def event(self, type: str, id: str = "", **data: Any) -> Self:  # noqa: A002
        """An event comes, and is handed to every step that waits for one of its type."""
        event = Event(id=id or f"e{len(self.arrived) + 1}", type=type, source="test", data=data)
        self.arrived.append(event)
        for step, event_type in list(self.waits):
            if event_type == type and (step, type) in self.waits:
                self.take(EventArrived(step, event))
        return self

    def answer(self, step: str, response: Any, by: str = "") -> Self:
        """Somebody answers an approval."""
        return self.event(ANSWER, execution="x", step=step, by=by, response=response)

    def child(self, step: str, output: Any = None, *, error: ErrorInfo | None = None, status: str = "") -> Self:
        """The sub-workflow that the step waits for ends."""
        status = status or ("failed" if error is not None else "completed")
        self.take(ChildEnded(step, self.children[step].child, status, output, error))
        return self

    def unlock(self, name: str) -> Self:
        """The other execution gives the lock back."""
        self.locks[name].remove("")
        self._grant(name)
        return self

    def go(self, work: Work | None = None, *, turns: int = 2_000) -> Self:
        """Let all work be done as `work` says, and time pass, until the end or until only something else can help."""
        for _ in range(turns):
            if self.ended:
                return self
            if self.work:
                key, assignment = next(iter(self.work.items()))
                self.report(key, _outcome(work, assignment))
            elif (due := self.run.next_due()) is not None:
                self.at = max(self.at, due)
                self.take(TimersDue())
            else:
                return self
        raise AssertionError(f"not through after {turns} turns: {self.statuses}")

    # What is to be seen

    @property
    def state(self) -> ExecutionState:
        return self.run.state

    @property
    def status(self) -> str:
        """Of the execution."""
        return self.state.status.value

    @property
    def ended(self) -> bool:
        return self.state.status in ENDED_EXECUTION

    @property
    def output(self) -> Any:
        return self.state.output

    @property
    def error(self) -> ErrorInfo:
        """With which the execution ended."""
        assert self.state.error is not None, f"it is {self.status}"
        return self.state.error

    @property
    def seconds(self) -> float:
        """What time it is."""
        return self.at / SECOND

    @property
    def running(self) -> list[str]:
        """The steps at which workers are at work."""
        return list(self.work)

    @property
    def statuses(self) -> dict[str, str]:
        """Of every instance that something happened to."""
        return {key: step.status.value for key, step in self.state.steps.items()}

    def of(self, *keys: str) -> str | list[str]:
        """The status of a step, or of several."""
        found = [self.step(key).status.value for key in keys]
        return found[0] if len(found) == 1 else found

    def step(self, key: str) -> StepState:
        return self.state.steps.get(key, StepState())

    def problem(self, key: str) -> ErrorInfo:
        """The error of a step."""
        error = self.step(key).error
        assert error is not None, f"{key} is {self.step(key).status}"
        return error

    def reason(self, key: str) -> str:
        """Why a step was skipped or cancelled."""
        return self.step(key).reason

    def happened(self, kind: type[HistoryEvent] | tuple[type, ...]) -> list[Any]:
        """The history events of that kind."""
        return [event for event in self.history if isinstance(event, kind)]

    def times(self, name: str) -> int:
        """How often a step was started, whatever its instance."""
        return len([key for key in self.ran if key.partition("[")[0].partition("#")[0] == name])

    def given_to(self, key: str) -> Any:
        """The settings with which the work of a step was last dispatched."""
        return self.work[key].config

    # How

    def _replayed(self) -> Run:
        """The execution as it is folded from what was written down."""
        return replay(self.plan, _CODEC.decode_events(_CODEC.encode_events(self.history)))

    def _caught_up(self) -> Run:
        """The same, after what was due before and waits for a place has been noted."""
        other = self._replayed()
        if self.state.status not in ENDED_EXECUTION and self._is_overdue(other):
            assert decide(other, TimersDue(), self._before).events == []
        return other

    def _is_overdue(self, other: Run) -> bool:
        due = other.next_due()
        return due is not None and due <= self._before and due != self.run.next_due()

    def note(self, command: Command) -> None:
        match command:
            case RunStep(assignment):
                assert assignment.step not in self.work, f"{assignment.step} is at work already"
                self.work[assignment.step] = assignment
                self.ran.append(assignment.step)
            case StopStep(assignment_id):
                key = next(key for key, one in self.work.items() if one.id == assignment_id)
                del self.work[key]
                self.stopped.append(key)
            case AwaitEvent(step, event_type, filter_):
                self.waits[step, event_type] = filter_
            case ForgetWait(step, event_type, _):
                self.waits.pop((step, event_type), None)
            case TakeLock(name, step):
                self.locks.setdefault(name, []).append(step)
            case ReleaseLock(name, step):
                self.locks[name].remove(step)
            case StartChild(step):
                self.children[step] = command
            case TellChild(child, verb):
                self.told.append((child, verb))
            case EndExecution():
                self._told_end = True
            case _:
                pass

    def _check_books(self) -> None:
        """What was commanded and is not over is outstanding, in this execution and in one that was just folded."""
        folded = self._replayed()
        assert folded.state == self.state, "the folded state is another one"
        if self.state.status in ENDED_EXECUTION:
            assert self._told_end
            assert not self.work, f"work was left: {self.running}"
            assert not [each for names in self.locks.values() for each in names if each], (
                f"a lock was left: {self.locks}"
            )
            return
        left = sorted(map(repr, outstanding(self.run)))
        assert left == sorted(map(repr, outstanding(folded)))
        assert folded.next_due() == self.run.next_due() or self._is_overdue(folded)
        commands = outstanding(self.run)
        assert {one.assignment.step for one in commands if isinstance(one, RunStep)} == set(self.work)
        assert {(one.step, one.event_type) for one in commands if isinstance(one, AwaitEvent)} == set(self.waits)

    def _answer(self, commands: list[Command]) -> None:
        """What the engine does with commands by itself: early events are handed over, free locks are granted."""
        for command in commands:
            if isinstance(command, AwaitEvent):
                for event in self.arrived:
                    waits = (command.step, command.event_type) in self.waits
                    if waits and event.type == command.event_type and matches(command.filter, event.data):
                        self.take(EventArrived(command.step, event, early=True))
            elif (isinstance(command, TakeLock) and self.locks[command.name][:1] == [command.step]) or isinstance(
                command, ReleaseLock
            ):
                self._grant(command.name)

    def _grant(self, name: str) -> None:
        if self.locks[name]:
            step = self.locks[name][0]
            if step and self.step(step).lock != name:
                self.take(LockGranted(step, name))


def _outcome(work: Work | None, assignment: Assignment) -> Any:
    if work is None:
        return None
    if isinstance(work, Mapping):
        name = assignment.step.partition("[")[0].partition("#")[0]
        work = work[assignment.step] if assignment.step in work else work.get(name)
    return work(assignment) if callable(work) else work


def details(error: ErrorInfo) -> Any:
    """What is told beside the message of an error."""
    assert error.details is not None, error
    return error.details


def attempts(story: Played) -> list[tuple[str, float]]:
    """Which attempts were scheduled, and when, in seconds."""
    return [(event.step, event.at / SECOND) for event in story.happened(StepScheduled)]
