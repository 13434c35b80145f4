"""What holds for every workflow, whatever comes in, in whatever order, and wherever the process is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stepwell.decider.decide import decide
from stepwell.decider.outstanding import outstanding
from stepwell.decider.replay import replay
from stepwell.decider.run import Run
from stepwell.decider.turn import Decision
from stepwell.definition.model import Step, WorkflowDefinition
from stepwell.execution.codec import Codec
from stepwell.execution.commands import AwaitEvent, Command, EndExecution, ForgetWait, RunStep, StopStep
from stepwell.execution.event import Event
from stepwell.execution.evolve import fold
from stepwell.execution.history import (
    AttemptFailed,
    CompensationStarted,
    ExecutionCompleted,
    ExecutionFailed,
    ExecutionFailing,
    HistoryEvent,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepScheduled,
    StepSkipped,
    TimerStarted,
    WaitStarted,
)
from stepwell.execution.inputs import Begin, EventArrived, Input, TimersDue
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.execution.work import Assignment, Report
from tests.decider.random_workflows import workflows
from tests.decider.story import BOOM, FLAKY, SECOND, TIMEOUT, Story
from tests.execution.ciphers import Plain

Ended = StepCompleted | StepFailed | StepSkipped | StepCancelled


class Witness:
    """Reads along, event by event, and says what may happen. It shares no code with the decider."""

    def __init__(self, definition: WorkflowDefinition) -> None:
        self.steps = {one.name: one for one in definition.steps}
        self.undoing = [one.name for one in definition.compensation.steps]
        self.drains = definition.config.failure_mode == "drain"
        self.limit = definition.config.max_parallel_steps
        self.inbound: dict[str, list[tuple[str, str]]] = {name: [] for name in self.steps}
        for one in definition.steps:
            self.inbound[one.name] += [(dependency.step, dependency.on) for dependency in one.depends_on]
            for edge in one.edges:
                for target in edge.to:
                    self.inbound[target].append((one.name, edge.on))
        self.ended: dict[str, Ended] = {}
        self.begun: set[str] = set()
        self.running: set[str] = set()
        self.failing = self.over = False
        self.compensating: str | None = None
        self.active = 0
        self.active_since: int | None = None

    def see(self, event: HistoryEvent) -> None:
        """Check that the event may follow what was seen so far."""
        assert not self.over, f"{event} after the end"
        name = getattr(event, "step", None)
        if isinstance(event, (StepScheduled, WaitStarted, TimerStarted)):
            self._check_start(event.step, first=name not in self.begun)
        if isinstance(event, (StepCompleted, StepFailed, StepSkipped, StepCancelled)):
            self._check_end(event)
        if isinstance(event, (StepScheduled, AttemptFailed, StepCompleted, StepFailed, StepCancelled)):
            self._count_running(event.step, isinstance(event, StepScheduled), event.at)
        if isinstance(event, ExecutionFailing) or (isinstance(event, StepFailed) and self._is_unhandled(event)):
            self.failing = True
        if isinstance(event, CompensationStarted):
            assert self.failing
            assert not self.running
            self.compensating = ""
        self.over = isinstance(event, (ExecutionCompleted, ExecutionFailed))

    def _is_unhandled(self, event: StepFailed) -> bool:
        return self.compensating is None and event.handled in ("", "compensate")

    def _count_running(self, name: str, starts: bool, at: int) -> None:
        if self.running and self.active_since is not None:
            self.active += at - self.active_since
        (self.running.add if starts else self.running.discard)(name)
        self.active_since = at
        if self.limit is not None and self.compensating is None:
            assert len(self.running) <= self.limit

    def _check_start(self, name: str, *, first: bool) -> None:
        assert name not in self.ended
        self.begun.add(name)
        if name in self.undoing:
            self._check_undoing(name)
            return
        assert self.compensating is None
        assert self.drains or not self.failing, "nothing new starts after a failure"
        if first:
            assert self._verdict(name) == "run"

    def _check_end(self, event: Ended) -> None:
        name = event.step
        assert name not in self.ended, "a step ends once"
        if name in self.undoing:
            self._check_undoing(name)
        elif isinstance(event, StepSkipped) and event.reason == "dead_path":
            assert self._verdict(name) == "dead"
        elif name not in self.begun:
            assert self._verdict(name) == "run"
        self.ended[name] = event

    def _check_undoing(self, name: str) -> None:
        """Compensation steps run one after the other, in their order, and only then."""
        assert self.compensating is not None
        before = self.undoing[: self.undoing.index(name)]
        assert all(one in self.ended for one in before)

    def _verdict(self, name: str) -> str:
        """What the join says, worked out anew from all edges."""
        edges = [self._edge(source, on) for source, on in self.inbound[name]]
        taken, dead, count = edges.count("taken"), edges.count("dead"), len(edges)
        if not edges:
            return "run"
        join = self._join(self.steps[name])
        if join == "all":
            return "run" if taken == count else ("dead" if dead else "open")
        if join == "sync":
            return "open" if taken + dead < count else ("run" if taken else "dead")
        wanted = 1 if join == "any" else int(join)
        return "run" if taken >= wanted else ("dead" if count - dead < wanted else "open")

    def _join(self, one: Step) -> Any:
        return one.join if one.join is not None else ("all" if one.depends_on else "sync")

    def _edge(self, source: str, on: str) -> str:
        end = self.ended.get(source)
        if end is None:
            return "open"
        return "taken" if on in self._outcomes(end) else "dead"

    def _outcomes(self, end: Ended) -> set[str]:
        if isinstance(end, StepCompleted):
            return {"satisfied", "success", "complete"}
        if isinstance(end, StepSkipped):
            return {"satisfied", "skipped"} if end.reason == "condition" else set()
        if isinstance(end, StepCancelled):
            return set()
        continued = {"satisfied"} if end.handled == "continue" else set[str]()
        if end.error.type != "timeout":
            return {"failure", "complete"} | continued
        has_timeout_edge = any((end.step, "timeout") in edges for edges in self.inbound.values())
        return {"timeout" if has_timeout_edge else "failure", "complete"} | continued


class Asked:
    """What the world was asked to do and has not been told to forget: it must be what the state says is outstanding."""

    def __init__(self) -> None:
        self.work: dict[str, Assignment] = {}
        self.waits: dict[str, AwaitEvent] = {}
        self.ended = 0

    def take(self, decision: Decision) -> None:
        """Carry out a decision."""
        for event in decision.events:
            if isinstance(event, (StepCompleted, StepFailed, AttemptFailed)):
                self.work.pop(event.step, None)
        for command in decision.commands:
            self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case RunStep():
                assert command.assignment.step not in self.work
                self.work[command.assignment.step] = command.assignment
            case StopStep():
                (stopped,) = [name for name, one in self.work.items() if one.id == command.assignment_id]
                del self.work[stopped]
            case AwaitEvent():
                assert command.step not in self.waits
                self.waits[command.step] = command
            case ForgetWait():
                begun = self.waits.pop(command.step)
                assert (begun.event_type, begun.filter) == (command.event_type, command.filter)
            case EndExecution():
                self.ended += 1


CODEC = Codec(Plain())


class Trial:
    """One execution, with a witness, and with a second run that is restored from history before every input."""

    def __init__(self, definition: WorkflowDefinition, flag: bool) -> None:
        self.story = Story(definition, {"flag": flag})
        self.witness = Witness(definition)
        self.asked = Asked()
        self.last: Input = Begin()
        self.take(Begin())

    @property
    def run(self) -> Run:
        return self.story.run

    def take(self, came_in: Input, after: int = 0) -> Decision:
        """Decide on an input, and check everything."""
        story = self.story
        story.at += after
        if self._has_due_retry():
            self._decide(TimersDue())  # see `_restored`
        decision = self._decide(came_in)
        self.last = came_in
        if isinstance(came_in, (Report, EventArrived, Begin)):
            assert self._decide(came_in).events == [], "the same again changes nothing"
        return decision

    def _decide(self, came_in: Input) -> Decision:
        story = self.story
        other = self._restored()
        if self._has_due_retry() and not isinstance(came_in, TimersDue):
            assert decide(other, TimersDue(), story.at).events == []
        ended = story.state.status in ENDED_EXECUTION
        decision = story.when(came_in)
        assert decide(other, came_in, story.at) == decision
        assert not (ended and decision.events), "what has ended has ended"
        for event in decision.events:
            self.witness.see(event)
        self.asked.take(decision)
        self._check_state(other)
        due = self.run.next_due()
        if isinstance(came_in, TimersDue) and not decision.events:
            assert due is None or due > story.at, "who asks what is due next would ask for ever"
        return decision

    def _restored(self) -> Run:
        """The run that a restart would make, from rows and a snapshot.

        It finds a retry that is due and waits for a place again when timers are looked at, which is the first thing
        that happens to it, for its instant has passed.
        """
        story = self.story
        half = len(story.history) // 2
        events = CODEC.decode_events(CODEC.encode_events(story.history))
        snapshot = CODEC.decode_state(CODEC.encode_state(fold(events[: half + 1])))
        return replay(story.plan, events[half + 1 :], snapshot)

    def _check_state(self, other: Run) -> None:
        state, run = self.story.state, self.run
        assert state == fold(self.story.history)
        assert state == other.state
        assert state.seq == len(self.story.history)
        assert state.in_flight == len(self.witness.running)
        commands = outstanding(run)
        assert {one.assignment.step: one.assignment for one in commands if isinstance(one, RunStep)} == self.asked.work
        assert {one.step: one for one in commands if isinstance(one, AwaitEvent)} == self.asked.waits
        if state.status in ENDED_EXECUTION:
            assert (self.asked.ended, self.asked.work, self.asked.waits) == (1, {}, {})
            assert run.next_due() is None
        else:
            assert commands or run.next_due() is not None, "a silent hang"
            assert run.next_due() == other.next_due() or self._has_due_retry()
        self._check_active_time()

    def _has_due_retry(self) -> bool:
        return any(one.key in self.story.state.steps for *_, one in self.run.ready)

    def _check_active_time(self) -> None:
        state, witness, now = self.story.state, self.witness, self.story.at
        since = witness.active_since if witness.running and witness.active_since is not None else now
        counted = now - state.active_since if state.active_since is not None else 0
        assert state.active_before + counted == witness.active + now - since


def choices(trial: Trial) -> Iterator[tuple[Input, int]]:
    """What could come in now, each with the time that passes before."""
    story = trial.story
    for name, work in trial.asked.work.items():
        for outcome in ({"result": {"n": 3}}, {"error": BOOM}, {"error": FLAKY}, {"error": TIMEOUT}):
            yield report(name, work.attempt, story.at, **outcome), SECOND
        yield report(name, work.attempt - 1, story.at, result="late"), 0
    for name in trial.asked.waits or list(story.plan.nodes)[:1]:
        for event_id, n in (("e1", 1), ("e2", 3)):
            event = Event(id=event_id, type="go", source="test", data={"n": n})
            yield EventArrived(name, event, early=n == 1), 0
    due = story.run.next_due()
    if due is not None:
        yield TimersDue(), max(0, due - story.at)
        yield TimersDue(), max(0, due - story.at - 1)
    yield trial.last, 3 * SECOND


def report(name: str, attempt: int, at: int, **outcome: Any) -> Report:
    """The report of an attempt."""
    return Report(execution="x", step=name, attempt=attempt, started_at=at, **outcome)


def finish(trial: Trial) -> None:
    """Let everything that is asked for be done, and time pass, until the end."""
    for _ in range(200):
        if trial.story.state.status in ENDED_EXECUTION:
            return
        work = next(iter(trial.asked.work.items()), None)
        due = trial.run.next_due()
        if work is not None:
            trial.take(report(work[0], work[1].attempt, trial.story.at, result={"n": 4}))
        else:
            assert due is not None
            trial.take(TimersDue(), max(0, due - trial.story.at))
    raise AssertionError("it does not end")


def check(definition: WorkflowDefinition, flag: bool, picks: list[int]) -> Trial:
    """Tell one story of this workflow, and check what must hold at every point of it."""
    trial = Trial(definition, flag)
    for pick in picks:
        if trial.story.state.status in ENDED_EXECUTION:
            break
        possible = list(choices(trial))
        trial.take(*possible[pick % len(possible)])
    finish(trial)
    for came_in in (Begin(), TimersDue(), trial.last, report("s0", 1, 0, result=1)):
        assert trial.take(came_in, 60 * SECOND).events == []
    return trial


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(definition=workflows(), flag=st.booleans(), picks=st.lists(st.integers(0, 60), min_size=3, max_size=25))
def test_every_invariant_holds_at_every_point(definition: WorkflowDefinition, flag: bool, picks: list[int]) -> None:
    trial = check(definition, flag, picks)
    ends = Counter(type(event).__name__ for event in trial.story.history)
    assert ends["ExecutionCompleted"] + ends["ExecutionFailed"] == 1
