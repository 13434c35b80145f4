"""The tables of legal moves: all of them are walked, and nothing else is possible."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from stepwell.base.errors import InvalidTransition
from stepwell.definition.model import Concurrency, ErrorStrategy, Fallback, StepBody
from stepwell.execution.evolve import begin, evolve, fold
from stepwell.execution.history import (
    BlockEntered,
    CompensationAwaited,
    CompensationStarted,
    EventIgnored,
    ExecutionCreated,
    HistoryEvent,
    Intervened,
    IterationStarted,
    LateCompletion,
    StepCompensated,
    StepReopened,
    StepReset,
    StepsAdded,
)
from stepwell.execution.inputs import LockGranted, QueueTimedOut
from stepwell.execution.state import Checkpoint, ExecutionState, StepState
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.transitions import EXECUTION_TRANSITIONS, STEP_TRANSITIONS
from stepwell.execution.verbs import Pause, Retry, Rollback, Verb
from tests.decider.played import Played
from tests.decider.story import FLAKY, SECOND, Story, begun, retries, says, step, workflow
from tests.execution.examples import ONE_OF_EACH
from tests.execution.walks import walks

EXAMPLE = {type(event): event for event in ONE_OF_EACH}
CREATED = EXAMPLE[ExecutionCreated]
STEP_KINDS = {kind for _, kind in STEP_TRANSITIONS}
EXECUTION_KINDS = {kind for _, kind in EXECUTION_TRANSITIONS}

INSIDE = frozenset({BlockEntered, EventIgnored, IterationStarted, StepReopened, StepsAdded})
"""What happens only to constructs."""
UNDONE = frozenset({LateCompletion, StepCompensated})
"""What compensation does with steps that have ended."""
BY_HAND = frozenset({Intervened, StepReopened, StepReset})
"""What operators do with what has ended."""


def state_in(
    execution: ExecutionStatus, status: StepStatus = StepStatus.PENDING, *, is_construct: bool = False
) -> ExecutionState:
    """The least state with these statuses; the step is called `a`."""
    assert isinstance(CREATED, ExecutionCreated)
    state = begin(CREATED)
    state.status = execution
    state.checkpoints["paid"] = Checkpoint(1, "b", {})
    if status is not StepStatus.PENDING:
        state.steps["a"] = StepState(status=status, block="steps" if is_construct else None)
        state.in_flight = int(status is StepStatus.RUNNING and not is_construct)
        state.waiting = int(status in (StepStatus.WAITING, StepStatus.RETRYING))
        state.active_since = 1 if state.in_flight else None
    return state


def of_kind(kind: type) -> HistoryEvent:
    """An event of this kind, of the step `a` when it is one of a step."""
    event = EXAMPLE[kind]
    return msgspec.structs.replace(event, step="a") if hasattr(event, "step") else event


# Each move alone


@pytest.mark.parametrize(("before", "kind"), list(STEP_TRANSITIONS))
def test_a_legal_move_of_a_step_leads_where_the_table_says(before: StepStatus, kind: type) -> None:
    state = state_in(ExecutionStatus.RUNNING, before, is_construct=kind in INSIDE)
    evolve(state, of_kind(kind))
    after = STEP_TRANSITIONS[before, kind]
    step = state.steps.get("a", StepState())
    assert step.status is after
    assert state.in_flight == (after is StepStatus.RUNNING and step.block is None)
    assert state.waiting == (after in (StepStatus.WAITING, StepStatus.RETRYING))
    assert state.seq == 2


@pytest.mark.parametrize(("before", "kind"), list(EXECUTION_TRANSITIONS))
def test_a_legal_move_of_an_execution_leads_where_the_table_says(before: ExecutionStatus, kind: type) -> None:
    state = state_in(before)
    evolve(state, of_kind(kind))
    assert state.status is EXECUTION_TRANSITIONS[before, kind]


@pytest.mark.parametrize("before", list(StepStatus))
@pytest.mark.parametrize("kind", sorted(STEP_KINDS, key=str))
def test_any_other_move_of_a_step_is_refused_and_changes_nothing(before: StepStatus, kind: type) -> None:
    if (before, kind) in STEP_TRANSITIONS:
        return
    state = state_in(ExecutionStatus.RUNNING, before)
    untouched = msgspec.msgpack.encode(state.steps), state.seq
    with pytest.raises(InvalidTransition, match=rf"a: {kind.__name__} while {before}"):
        evolve(state, of_kind(kind))
    assert (msgspec.msgpack.encode(state.steps), state.seq) == untouched


@pytest.mark.parametrize("before", list(ExecutionStatus))
@pytest.mark.parametrize("kind", sorted(EXECUTION_KINDS, key=str))
def test_any_other_move_of_an_execution_is_refused(before: ExecutionStatus, kind: type) -> None:
    if (before, kind) in EXECUTION_TRANSITIONS:
        return
    state = state_in(before)
    with pytest.raises(InvalidTransition, match=rf"execution id-1: {kind.__name__} while {before}"):
        evolve(state, of_kind(kind))
    assert state.status is before


@pytest.mark.parametrize("status", sorted(ENDED_STEP))
def test_only_compensation_and_operators_lead_out_of_an_ended_step(status: StepStatus) -> None:
    assert {kind for before, kind in STEP_TRANSITIONS if before is status} <= UNDONE | BY_HAND


@pytest.mark.parametrize("status", sorted(ENDED_EXECUTION))
def test_only_operators_lead_out_of_an_ended_execution_and_a_parent_that_undoes_it(status: ExecutionStatus) -> None:
    out = {kind for before, kind in EXECUTION_TRANSITIONS if before is status}
    undoing = {CompensationAwaited, CompensationStarted} if status is ExecutionStatus.COMPLETED else set()
    assert out == {Intervened, *undoing}


def test_every_status_can_be_reached() -> None:
    assert {StepStatus.PENDING, *STEP_TRANSITIONS.values()} == set(StepStatus)
    assert {ExecutionStatus.PENDING, *EXECUTION_TRANSITIONS.values()} == set(ExecutionStatus)


# All moves in stories: what the table allows, the decider does


def stories() -> Iterator[Story]:
    """Stories that fail, or never begin."""
    steps = (
        step("flaky", retry=retries(2)),
        step("broken", on_failure=says("continue")),
        step("pause", type="wait", config={"for": "1s"}),
        step("event", type="wait_for_event", config={"event_type": "go"}),
    )
    stopped = begun(workflow(*steps, step("undone", type="noop"), undo=(step("undo"),), deadline=SECOND))
    stopped.failed("flaky", FLAKY)
    stopped.time(SECOND)
    stopped.done("undo")
    yield stopped
    refused = Story(workflow(*steps))
    refused.when(QueueTimedOut(SECOND))
    yield refused
    ended = begun(workflow(step("a"), on_error=ErrorStrategy(strategy="terminate")))
    ended.failed("a")
    yield ended
    limited = workflow(step("a"), concurrency=Concurrency(key="k", limit=1))
    both: tuple[list[Verb], ...] = ([Retry(by="ada")], [Retry(by="ada"), Pause(by="ada")])
    for verbs in both:
        again = begun(limited)
        again.when(LockGranted("", "test:k"))
        again.failed("a")
        for verb in verbs:
            again.when(verb)
        again.when(LockGranted("", "test:k"))
        yield again
    yield from more_stories()


def more_stories() -> Iterator[Story]:
    """A place that comes while an execution is rolled back; a fallback for a step whose next try cannot begin."""
    undone = step("b", "c", compensate=StepBody(type="python", config={"task": "undo"}))
    back = begun(workflow(step("c", type="checkpoint"), undone, concurrency=Concurrency(key="k", limit=1)))
    back.when(LockGranted("", "test:k"))
    back.done("b")
    back.when(Rollback(by="ada", checkpoint="c"))
    back.when(LockGranted("", "test:k"))
    yield back
    wait = {"event_type": "go", "timeout": "{{ vars.n }}"}
    instead = says("fallback", fallback=Fallback(body=StepBody(type="python", config={"task": "work"})))
    unclear = begun(
        workflow(
            step("p"),
            step("q", "p", type="set", config={"n": "soon"}),
            step("w", type="wait_for_event", config=wait, retry=retries(2), on_failure=instead),
            vars=(("n", 5),),
        )
    )
    unclear.time(5 * SECOND)
    unclear.done("p")
    unclear.time(SECOND)
    yield unclear


def walked(story: Story | Played) -> set[tuple[Any, type]]:
    """Every move of a story, as the tables write them."""
    moves = set[tuple[Any, type]]()
    state = fold(story.history[:1])
    for event in story.history[1:]:
        name = getattr(event, "step", None)
        if type(event) in EXECUTION_KINDS:
            moves.add((state.status, type(event)))
        elif type(event) in STEP_KINDS and name is not None:
            moves.add((state.steps[name].status if name in state.steps else StepStatus.PENDING, type(event)))
        evolve(state, event)
    return moves


def test_the_decider_walks_every_legal_move() -> None:
    told: list[Story | Played] = [*stories(), *walks()]
    moves = set[tuple[Any, type]]().union(*(walked(story) for story in told))
    legal = STEP_TRANSITIONS.keys() | EXECUTION_TRANSITIONS.keys()
    assert {f"{status}: {kind.__name__}" for status, kind in legal - moves} == set()


# Histories


def test_a_history_begins_with_its_creation() -> None:
    with pytest.raises(InvalidTransition, match="a history begins with ExecutionCreated, not ExecutionStarted"):
        fold(ONE_OF_EACH[1:])


def test_an_empty_history_has_no_state() -> None:
    with pytest.raises(InvalidTransition):
        fold([])


def test_an_execution_is_created_once() -> None:
    with pytest.raises(InvalidTransition, match="ExecutionCreated in the middle of its history"):
        fold([CREATED, CREATED])
