"""`rollback`: what completed after a checkpoint is undone, and the execution goes on from there.

What was done before the checkpoint keeps its results. A construct that had begun and not ended at that point runs on:
what had completed in it stays, the rest begins again.
"""

from __future__ import annotations

from stepwell.base.errors import Conflict, ErrorInfo, NotFound
from stepwell.decider.advance import cancel_all
from stepwell.decider.compensation import compensate_instances
from stepwell.decider.region import Instance, Region
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.verbs_redo import Redo, check_deadline, is_reopenable, rebuild, reopen, reset_step, wake
from stepwell.decider.verbs_tree import Tree, inside_keys
from stepwell.execution.commands import EndExecution, ResolveDeadLetter
from stepwell.execution.history import ExecutionFailed, ExecutionResumed, Intervened, RolledBack
from stepwell.execution.state import StepState
from stepwell.execution.status import ENDED_EXECUTION, ENDED_STEP, ExecutionStatus, StepStatus
from stepwell.execution.verbs import Rollback

ROLLBACK = "rollback"
"""What follows the compensation, as `CompensationStarted.then` names it."""


def roll_back(turn: Turn, verb: Rollback) -> None:
    """Stop what runs, and undo what completed after the checkpoint; `finish_rollback` does the rest.

    Raises:
        NotFound: (code `unknown-checkpoint`) naming those that were reached. Conflict: (code `cannot-reopen`) the
            checkpoint lies within a construct that cannot begin in its middle, or is undone as a whole; code
            `deadline-passed`.
    """
    run, state = turn.run, turn.state
    check_deadline(turn, ROLLBACK)
    point = state.checkpoints.get(verb.checkpoint)
    if point is None:
        known = ", ".join(repr(name) for name in state.checkpoints) or "none"
        message = f"execution {state.id} has not reached a checkpoint {verb.checkpoint!r}"
        raise NotFound(message, code="unknown-checkpoint", hint=f"reached so far: {known}")
    _after(run, point.seq)
    letters = [key for key, step in state.steps.items() if step.status is StepStatus.FAILED]
    if state.status is ExecutionStatus.PAUSED:
        turn.emit(ExecutionResumed(turn.at, verb.by, verb.reason))
    details = {"checkpoint": verb.checkpoint, "seq": point.seq}
    if state.status is ExecutionStatus.FAILED:
        for key in letters:
            turn.command(ResolveDeadLetter(f"{state.id}/{key}/{state.steps[key].order}"))
    had_ended = state.status in ENDED_EXECUTION
    turn.emit(Intervened(turn.at, ROLLBACK, verb.by, verb.reason, details))
    why = f"rollback to {verb.checkpoint!r} by {verb.by}"
    if had_ended:
        rebuild(turn)
    for region in (run.root, run.hooks):
        cancel_all(turn, region, why)
    later = [key for key, step in state.steps.items() if step.order > point.seq and step.status in ENDED_STEP]
    compensate_instances(turn, later, why, then=ROLLBACK, by=verb.by)
    undone = len(state.to_undo)
    turn.said = f"rolled back to {verb.checkpoint!r}"
    if undone:
        turn.said = f"undoes {undone} {'step' if undone == 1 else 'steps'}, and goes on from {verb.checkpoint!r} then"


def finish_rollback(turn: Turn) -> None:
    """What came after the checkpoint is undone: forget it, and go on. What could not be undone fails the execution."""
    state = turn.state
    name = state.rolling_back
    if state.compensation == "failed":
        problem = state.compensation_problem or "at least one compensation failed"
        message = f"it could not be rolled back to {name!r}: {problem}"
        turn.emit(ExecutionFailed(turn.at, ErrorInfo("rollback_failed", message)))
        turn.command(EndExecution())
        return
    redo = _after(turn.run, state.checkpoints[name].seq)
    turn.emit(RolledBack(turn.at, name))
    for key in redo.reset:
        reset_step(turn, key, anew=True)
    for key, iteration in redo.reopened.items():
        reopen(turn, key, iteration)
    rebuild(turn)
    for key in redo.reopened:
        wake(turn, key)


def _after(run: Run, seq: int) -> Redo:
    """What did not stand as it does at that event.

    Raises:
        Conflict: code `cannot-reopen`.
    """
    tree = Tree(run)
    redo = Redo()
    _after_in(tree, tree.root, seq, redo)
    current = {one.key for one, _ in tree.everything()}
    redo.reset.update((key, None) for key in run.state.steps if key not in current and not _stands(run, key, seq))
    return redo


def _after_in(tree: Tree, region: Region, seq: int, redo: Redo) -> None:
    for one, step in tree.of(region):
        if 0 < step.order <= seq:
            continue
        if not _had_begun(tree, one, step, seq):
            redo.reset.update(dict.fromkeys((one.key, *inside_keys(tree, one))))
            continue
        _check_goes_on(one, step)
        rounds = [-1]
        for inner in tree.inside(one, step):
            _after_in(tree, inner, seq, redo)
            if _any_before(tree, inner, seq) and inner.path.rpartition(",")[2].isdigit():
                rounds.append(int(inner.path.rpartition(",")[2]))
        redo.reopened[one.key] = max(rounds)


def _check_goes_on(one: Instance, step: StepState) -> None:
    """Refuse what lies within a construct that cannot begin in its middle, or that is undone as a whole.

    Raises:
        Conflict: code `cannot-reopen`.
    """
    if step.block == "fallback":
        because = "for which something else stands in"
    elif not is_reopenable(one):
        what = "with a lock" if one.node.step.mutex is not None else f"of type {one.node.step.type!r}"
        because = f"{what}, which cannot go on from there"
    elif one.node.undo is not None and step.status is StepStatus.COMPLETED:
        because = "which has completed and is undone as a whole"
    else:
        return
    message = f"the checkpoint lies within {one.key!r}, {because}"
    raise Conflict(message, code="cannot-reopen", hint="roll back to one before or behind it")


def _had_begun(tree: Tree, one: Instance, step: StepState, seq: int) -> bool:
    """Whether something inside of it had ended by then: what had only begun begins again."""
    return any(_any_before(tree, inner, seq) for inner in tree.inside(one, step))


def _any_before(tree: Tree, region: Region, seq: int) -> bool:
    return any(0 < step.order <= seq for _, step in tree.everything(region))


def _stands(run: Run, key: str, seq: int) -> bool:
    return 0 < run.state.steps[key].order <= seq
