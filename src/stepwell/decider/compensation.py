"""Undoing what was done: which instances, in which order, and how that ends.

What is undone, first to last: the instances that have completed and whose steps say how (`compensate`; a sub-workflow
undoes itself), then the steps of `compensation.steps`. A workflow that a failed step's action names replaces both.
`begin_compensation` is called when nothing of the execution is running any more, and `continue_compensation` whenever
nothing of the compensation is. Which of it has begun follows from the state of the steps: no other place says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final

from stepwell.base.durations import format_duration
from stepwell.base.errors import ErrorInfo
from stepwell.decider.advance import cancel_all
from stepwell.decider.compensation_places import node_of, place_of
from stepwell.decider.compensation_workflow import instead_of, is_not_started, workflow_of
from stepwell.decider.graph import Node
from stepwell.decider.keys import INSTEAD, inner_key, split_key, undo_key
from stepwell.decider.notifying import notify_of_compensation
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.scope import StepsLookup
from stepwell.decider.start import start_step
from stepwell.decider.turn import Turn
from stepwell.execution.commands import EndExecution
from stepwell.execution.history import (
    CompensationAwaited,
    CompensationEnded,
    CompensationStarted,
    EndTurned,
    ExecutionCancelled,
    StepCompensated,
)
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import ExecutionStatus, StepStatus

TOLERATED: Final = frozenset({"continue", "fallback"})
"""How the failure of a compensation step may be handled by the step itself; then it counts as undone."""


# ── Beginning ────────────────────────────────────────────────────────────────────────────────────────────────────────


def begin_compensation(
    turn: Turn, reason: str, *, by: str = "", then: str = "cancel", error: ErrorInfo | None = None
) -> None:
    """From here on only compensation runs; or it waits for an operator, where the workflow says so.

    Call it when nothing of the execution is running, waiting or due.

    Args:
        reason: why, for people.
        by: who asked for it; empty for the engine itself.
        then: what follows (see `CompensationStarted`).
        error: what its expressions see as `error`, and with what the execution ends if it ends with an error.
    """
    error = error or ErrorInfo("cancelled", reason)
    if turn.run.plan.definition.compensation.mode == "manual" and has_work(turn.run, then):
        turn.emit(CompensationAwaited(turn.at, reason, error, then, by))
        notify_of_compensation(turn, "awaited")
    else:
        _start(turn, reason, error, then, by)


def compensate_instances(turn: Turn, keys: Collection[str], reason: str, *, then: str, by: str = "") -> None:
    """Undo those of these instances that have completed and can be undone, the last that completed first.

    `compensation.steps` do not run, and nobody has to start it. When it is through, `ending` goes on with what it knows
    under the name `then`. Call it when nothing of the execution is running, waiting or due.
    """
    chosen = tuple(key for key in reversed(undoable(turn.run)) if key in keys)
    error = ErrorInfo(then, reason)
    turn.emit(CompensationStarted(turn.at, reason, error, chosen, then, by, _due(turn), listed=False))
    notify_of_compensation(turn, "started")
    _begun_anew(turn.run)


def start_problem(state: ExecutionState) -> str | None:
    """Why the compensation of the execution cannot be started by an operator, or None."""
    if state.status is ExecutionStatus.COMPENSATING and state.compensation_awaited:
        return None
    what = "its compensation has begun" if state.status is ExecutionStatus.COMPENSATING else f"it is {state.status}"
    return f"no compensation of execution {state.id} waits to be started: {what}"


def start_compensation(turn: Turn, by: str, reason: str) -> None:
    """An operator starts the compensation that waits for that; nothing happens when none does."""
    state = turn.state
    if start_problem(state) is None and state.final_error is not None:
        _start(
            turn,
            state.compensation_reason,
            state.final_error,
            state.compensation_then,
            state.compensation_by,
            started=(by, reason),
        )


def _start(
    turn: Turn, reason: str, error: ErrorInfo, then: str, by: str, *, started: tuple[str, str] = ("", "")
) -> None:
    instead = instead_of(turn.run) if then == "fail" else ""
    steps = () if instead else tuple(_in_order(turn.run, undoable(turn.run)))
    started_by, why = started
    turn.emit(
        CompensationStarted(
            turn.at, reason, error, steps, then, by, _due(turn), not instead, instead, started_by=started_by, why=why
        )
    )
    notify_of_compensation(turn, "started")
    _begun_anew(turn.run)


def _start_inline(turn: Turn, problem: str) -> None:
    """The workflow that was to compensate could not be started: what the definition itself says runs in its place."""
    state = turn.state
    reason = f"{state.compensation_reason} ({problem}: the inline compensation runs)"
    steps = tuple(_in_order(turn.run, undoable(turn.run)))
    started = CompensationStarted(
        turn.at,
        reason,
        state.final_error,
        steps,
        state.compensation_then,
        state.compensation_by,
        state.compensation_due,
    )
    turn.emit(started)
    _begun_anew(turn.run)


def _begun_anew(run: Run) -> None:
    run.undone = run.compensated = 0


def _due(turn: Turn) -> int | None:
    timeout = turn.run.plan.definition.compensation.timeout
    return turn.at + timeout if timeout is not None else None


# ── What there is to undo ────────────────────────────────────────────────────────────────────────────────────────────


def has_work(run: Run, then: str = "cancel") -> bool:
    """Whether there is anything that compensation would run."""
    return bool(run.plan.compensation or undoable(run) or (then == "fail" and instead_of(run)))


def has_bodies(run: Run) -> bool:
    """Whether steps say themselves how they are undone; of those that were made while it ran, whether one that has
    completed does."""
    if run.plan.undoes or not run.plan.generates:
        return run.plan.undoes
    return any((node := node_of(run, key)) is not None and node.step.compensate is not None for key in undoable(run))


def undoable(run: Run) -> list[str]:
    """The instances that have completed and that can be undone by themselves, in order of completion.

    What came from the cache of results was not done here.
    """
    run.generated = None  # more steps may have been made since they were looked for
    found = [
        (step.order, key)
        for key, step in run.state.steps.items()
        if step.status is StepStatus.COMPLETED and _has_undoing(run, key, step) and not _is_reused(run, key)
    ]
    return [key for _, key in sorted(found)]


def _has_undoing(run: Run, key: str, step: StepState) -> bool:
    _, path, _ = split_key(key)
    if any(part.isalpha() for part in path.split(",")):
        return False  # it undoes, stands in for a step, or made its steps: it is no step of its own
    node = node_of(run, key)
    return node is not None and node.undo is not None and (node.undo.kind != "undo_child" or bool(step.child))


def _is_reused(run: Run, key: str) -> bool:
    cached = run.state.cached.get(key)
    return cached is not None and bool(cached.execution)


def _in_order(run: Run, keys: list[str]) -> list[str]:
    """The order in which instances are undone that completed in this one.

    `forward` is the order of the document, as for the steps of the list; runs of one step in order of completion.
    """
    if run.plan.definition.compensation.strategy != "forward":
        return keys[::-1]
    return sorted(keys, key=lambda key: _position(node_of(run, key)))


def _position(node: Node | None) -> int:
    return node.position if node is not None else 0


# ── Going on ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def continue_compensation(turn: Turn) -> None:
    """Begin what is next, or record that all of it is through. Called when nothing of it is running."""
    run, state = turn.run, turn.state
    if state.compensation_instead:
        if not _replaced(turn):
            return
    elif runs_together(run):
        due = due_now(run)
        for one in due:
            run.make_ready(one)
        if due:
            return
    else:
        following = _next(run)
        if following is not None:
            start_step(turn, following)
            return
    _end(turn, _outcome(run))


def is_at_rest(run: Run) -> bool:
    """Whether nothing of the compensation runs, waits or is due, and nobody has to start it."""
    if run.state.compensation_awaited or run.nested:
        return False
    return not any(one.in_line and not one.region.stopped for *_, one in run.ready)


def runs_together(run: Run) -> bool:
    """Whether all that undoes runs side by side."""
    return run.plan.definition.compensation.strategy == "parallel" and run.state.compensation_listed


def due_now(run: Run) -> list[Instance]:
    """Of a compensation that runs together: what may begin and has not. The steps of the list wait for the rest; once
    they have begun, only a late completion is undone beside them."""
    steps = run.state.steps
    bodies = [key for key in run.state.to_undo if undo_key(key) not in steps]
    listed = [node for node in run.plan.compensation if node.name not in steps]
    is_through = not any(one.region is not run.undoing for one in run.nested.values())
    if len(listed) < len(run.plan.compensation) or (not bodies and is_through):
        return [*(body_of(run, key) for key in bodies), *(Instance(node, run.undoing) for node in listed)]
    return [body_of(run, key) for key in bodies]


def _next(run: Run) -> Instance | None:
    """What has not begun of a compensation that runs one after the other."""
    state, nodes = run.state, run.plan.compensation
    place = first_place(run)
    if place < len(state.to_undo):
        return body_of(run, state.to_undo[place])
    while state.compensation_listed and run.compensated < len(nodes):
        node = nodes[run.compensated]
        if node.name not in state.steps:
            return Instance(node, run.undoing)
        run.compensated += 1
    return None


def first_place(run: Run) -> int:
    """The place of the first of the instances to undo whose undoing has not begun."""
    state = run.state
    while run.undone < len(state.to_undo) and undo_key(state.to_undo[run.undone]) in state.steps:
        run.undone += 1
    return run.undone


def _replaced(turn: Turn) -> bool:
    """Let the workflow compensate that was named for that; whether it is through."""
    state = turn.state
    one = workflow_of(turn.run)
    step = state.steps.get(one.key)
    if step is None:
        start_step(turn, one)
        return False
    if step.error is not None and is_not_started(step.error):
        _start_inline(turn, step.error.message)
        return False
    return True


def body_of(run: Run, key: str) -> Instance:
    """What undoes an instance. Its expressions see what those of the instance saw, and that as it completed."""
    undone = place_of(run, key)
    assert undone is not None, "only an instance of a step is undone"
    assert undone.node.undo is not None, "only an instance whose step says how is undone"
    _, path, visit = split_key(undo_key(key))
    itself = (undone.node.name, run.state.steps[key])
    names = {"steps": StepsLookup(run.plan, run.state, run.latest, undone.region, itself)}
    region = Region(undone.node.undo.graph, undone, path, names, holds_on=True)
    return Instance(undone.node.undo, region, visit)


def note_undone(turn: Turn, region: Region) -> None:
    """What undoes an instance has ended: if well, the instance is compensated."""
    undone = region.owner
    if undone is None:
        return
    if is_undone(turn.step(undo_key(undone.key))) and turn.step(undone.key).status is StepStatus.COMPLETED:
        turn.emit(StepCompensated(turn.at, undone.key))


def is_undone(undo: StepState) -> bool:
    """Whether what undoes has ended well and undid something: a sub-workflow says so."""
    if undo.status is not StepStatus.COMPLETED:
        return False
    said: Any = undo.output
    return undo.block != "undo" or said["compensation"] == "done"


# ── The end ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def _end(turn: Turn, outcome: str, problem: str = "") -> None:
    turn.emit(CompensationEnded(turn.at, outcome, problem))
    notify_of_compensation(turn, "ended", outcome, problem)


def _outcome(run: Run) -> str:
    steps = run.state.steps
    ran = [step for key in _keys(run) if (step := steps.get(key)) is not None]
    if any(step.status is StepStatus.FAILED and step.handled not in TOLERATED for step in ran):
        return "failed"
    return "done" if any(is_undone(step) or step.handled in TOLERATED for step in ran) else "nothing"


def _keys(run: Run) -> Iterable[str]:
    """The instances that undo."""
    state = run.state
    if state.compensation_instead:
        return [inner_key(state.compensation_instead, INSTEAD)]
    listed = [node.name for node in run.plan.compensation] if state.compensation_listed else []
    return [*(undo_key(key) for key in state.to_undo), *listed]


def is_over_time(turn: Turn) -> bool:
    """Whether the time of the compensation as a whole is up."""
    state = turn.state
    due = state.compensation_due
    return state.status is ExecutionStatus.COMPENSATING and due is not None and turn.at >= due


def stop_over_time(turn: Turn) -> None:
    """The time is up: what runs is stopped, and what has not run stays undone."""
    timeout = turn.run.plan.definition.compensation.timeout or 0
    abandon_compensation(turn, f"the compensation timed out after {format_duration(timeout)}")


def abandon_compensation(turn: Turn, reason: str) -> None:
    """Stop what runs of the compensation, and begin nothing more of it; nothing happens when none is under way."""
    run, state = turn.run, turn.state
    if state.status is not ExecutionStatus.COMPENSATING or state.compensation is not None:
        return
    for *_, one in run.ready:
        one.in_line, one.region.due = False, 0
    run.ready.clear()
    for region in {id(one.region): one.region for one in list(run.nested.values())}.values():
        if region is run.undoing or region.graph.name in ("compensate", INSTEAD):
            cancel_all(turn, region, reason)
    _end(turn, "failed", reason)


def cancel_compensation(turn: Turn, by: str, reason: str) -> None:
    """An operator cancels an execution that compensates. One that waits to be started ends; else it goes on, and the
    execution ends as cancelled after it."""
    state = turn.state
    awaited = state.compensation_awaited
    if state.turned is None:
        turn.emit(EndTurned(turn.at, by, reason))
    if awaited:
        turn.emit(ExecutionCancelled(turn.at, by, reason))
        turn.command(EndExecution())
