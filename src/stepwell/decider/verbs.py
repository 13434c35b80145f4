"""What operators ask for: halting an execution, ending it, letting it go on, and running parts of it again."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, assert_never

from stepwell.base.errors import Conflict
from stepwell.decider.advance import cancel_all, stop, tell_children
from stepwell.decider.compensation import (
    abandon_compensation,
    begin_compensation,
    cancel_compensation,
    start_compensation,
)
from stepwell.decider.control import CONTROL
from stepwell.decider.region import Instance
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.verbs_legal import check_legal, refusal
from stepwell.decider.verbs_redo import (
    carry_out,
    check_deadline,
    check_reopens,
    cut_off,
    failed_again,
    from_step,
    rebuild,
    reset_step,
)
from stepwell.decider.verbs_rollback import roll_back
from stepwell.decider.verbs_steps import complete_step, skip_step
from stepwell.decider.verbs_tree import SHOWN, Tree
from stepwell.execution.commands import EndExecution
from stepwell.execution.history import (
    CancelRequested,
    ExecutionCancelled,
    ExecutionPaused,
    ExecutionResumed,
    Intervened,
)
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.execution.verbs import (
    Cancel,
    Compensate,
    CompleteStep,
    Migrate,
    Pause,
    Rerun,
    Resume,
    Retry,
    Rollback,
    SkipStep,
    Terminate,
    Verb,
    name_of,
)


def operate(turn: Turn, verb: Verb) -> None:
    """Do what an operator asks for. What follows from it is decided as after any other input.

    Raises:
        Conflict, NotFound: it makes no sense here; nothing has changed. The codes are those of `check_legal` and of the
            function for the verb.
    """
    check_legal(turn.state, name_of(verb))
    match verb:
        case Pause():
            _pause(turn, verb)
        case Resume():
            _resume(turn, verb)
        case Cancel():
            _cancel(turn, verb)
        case Terminate():
            _terminate(turn, verb)
        case Retry():
            _retry(turn, verb)
        case Rerun():
            _rerun(turn, verb)
        case Rollback():
            roll_back(turn, verb)
        case SkipStep():
            skip_step(turn, verb)
        case CompleteStep():
            complete_step(turn, verb)
        case Compensate():
            _compensate(turn, verb)
        case Migrate():
            raise AssertionError("an execution is migrated by `verbs_migrate`, which has the other plan")
        case _:
            assert_never(verb)


# ── Halting and ending ───────────────────────────────────────────────────────────────────────────────────────────────


def _pause(turn: Turn, verb: Pause) -> None:
    state = turn.state
    if state.status is ExecutionStatus.PAUSED:
        turn.said = f"it is paused already: {state.pause_reason}" if state.pause_reason else "it is paused already"
        return
    turn.emit(ExecutionPaused(turn.at, verb.by, verb.reason))
    tell_children(turn, "pause", verb.by, verb.reason)
    turn.said = f"paused; {_running(turn)} may still end" if state.in_flight else "paused"


def _resume(turn: Turn, verb: Resume) -> None:
    failed = [key for key in turn.state.paused_steps if key in turn.state.steps]
    turn.emit(ExecutionResumed(turn.at, verb.by, verb.reason))
    for key in failed:
        if turn.state.steps[key].block is None:  # a construct begins another try, beside what ran inside it in this one
            reset_step(turn, key, anew=False)
    if failed:
        rebuild(turn)
    tell_children(turn, "resume", verb.by, verb.reason)
    turn.said = f"resumed; tried again: {_listed(failed)}" if failed else "resumed"


def _cancel(turn: Turn, verb: Cancel) -> None:
    state, config = turn.state, turn.run.plan.definition.config
    if state.status is ExecutionStatus.COMPENSATING:
        turn.said = "cancelled" if state.compensation_awaited else _GOES_ON
        cancel_compensation(turn, verb.by, verb.reason)
        return
    if state.status is ExecutionStatus.PENDING:
        _end(turn, verb)
        return
    stops = verb.stop if verb.stop is not None else config.cancellation == "cancel_running"
    if state.cancel is not None and (state.cancel.stop or not stops):
        turn.said = "it is being cancelled already"
        return
    compensates = verb.compensate if verb.compensate is not None else config.compensate_on_cancel
    turn.emit(CancelRequested(turn.at, verb.by, verb.reason, stops, compensates))
    why = f"cancelled by {verb.by}" + (f": {verb.reason}" if verb.reason else "")
    if not stops:  # a sub-workflow starts nothing new either, and ends as its own definition says
        tell_children(turn, "cancel", verb.by, verb.reason)
    for region in (turn.run.root, turn.run.hooks):
        if stops:
            cancel_all(turn, region, why)
        else:
            stop(turn, region, why)
    ended = "has" if state.in_flight == 1 else "have"
    turn.said = f"cancelled as soon as {_running(turn)} {ended} ended" if state.in_flight else "cancelled"


def _running(turn: Turn) -> str:
    number = turn.state.in_flight
    return f"{number} running {'step' if number == 1 else 'steps'}"


_GOES_ON = "it goes on undoing what was done, and is cancelled then; `terminate` would end it at once"


def conclude_cancelling(turn: Turn) -> None:
    """Nothing runs any more of an execution that is being cancelled: undo what was done, or end."""
    cancel = turn.state.cancel
    assert cancel is not None, "asked for only then"
    if cancel.compensate:
        begin_compensation(turn, cancel.reason or "it was cancelled", by=cancel.by)
        return
    turn.emit(ExecutionCancelled(turn.at, cancel.by, cancel.reason))
    turn.command(EndExecution())


def _terminate(turn: Turn, verb: Terminate) -> None:
    why = f"terminated by {verb.by}" + (f": {verb.reason}" if verb.reason else "")
    abandon_compensation(turn, why)
    tell_children(turn, "terminate", verb.by, verb.reason)
    for region in (turn.run.root, turn.run.hooks, turn.run.undoing):
        cancel_all(turn, region, why)
    _end(turn, verb)


def _end(turn: Turn, verb: Cancel | Terminate) -> None:
    turn.emit(ExecutionCancelled(turn.at, verb.by, verb.reason))
    turn.command(EndExecution())
    turn.said = "cancelled" if isinstance(verb, Cancel) else "terminated"


def _compensate(turn: Turn, verb: Compensate) -> None:
    start_compensation(turn, verb.by, verb.reason)
    turn.said = "its compensation has begun"


# ── Running again ────────────────────────────────────────────────────────────────────────────────────────────────────


def _retry(turn: Turn, verb: Retry) -> None:
    """Try failed steps again.

    Raises:
        NotFound: code `unknown-step`. Conflict: (code `step-not-failed`) one of them has not failed; (code
            `cannot-reopen`) it stands in what cannot go on from there; (code `nothing-to-retry`) no step failed so that
            it could be tried again; (code `deadline-passed`).
    """
    run = turn.run
    check_deadline(turn, "retry")
    tree = Tree(run)
    named = [tree.find(name) for name in verb.steps]
    chosen = [one.key for one in named]
    for one in named:
        _check_failed(run, one, chosen)
    redo = failed_again(tree, chosen or None)
    if not redo.reset and not chosen:
        redo = cut_off(tree)
    if not redo.reset:
        because = run.state.error.message if run.state.error is not None else "no step failed"
        raise refusal(run.state, "retry", "nothing-to-retry", because)
    covers = {chosen[0]: verb.settings} if verb.settings is not None else {}
    _check_settings(run, covers)
    failed = chosen or [key for key in redo.reset if _has_failed(run, key)] or list(redo.reset)
    said = Intervened(turn.at, "retry", verb.by, verb.reason, {"steps": failed, "settings": bool(covers)})
    carry_out(turn, redo, said, anew=False, settings=covers)
    turn.said = f"tried again: {_listed(failed)}"


def _check_failed(run: Run, one: Instance, chosen: Collection[str]) -> None:
    """Raises: Conflict: see `_retry`."""
    status = run.state.steps[one.key].status
    if status is not StepStatus.FAILED:
        raise Conflict(f"step {one.key!r} has not failed: it is {status}", code="step-not-failed")
    owner = one.region.owner
    while owner is not None and owner.key not in chosen:
        check_reopens(owner, run.state.steps[owner.key], one.key)
        owner = owner.region.owner


def _has_failed(run: Run, key: str) -> bool:
    step = run.state.steps.get(key)
    return step is not None and step.status is StepStatus.FAILED


def _rerun(turn: Turn, verb: Rerun) -> None:
    """Run a step and all that comes after it again.

    Raises:
        NotFound, Conflict: see `Tree.find` and `from_step`; code `deadline-passed`.
    """
    check_deadline(turn, "rerun")
    tree = Tree(turn.run)
    one = tree.find(verb.step)
    covers = {one.key: verb.settings} if verb.settings is not None else {}
    _check_settings(turn.run, covers)
    redo = from_step(tree, one, keep_items=verb.keep_items)
    told = {"step": one.key, "keep_items": verb.keep_items, "settings": bool(covers)}
    said = Intervened(turn.at, "rerun", verb.by, verb.reason, told)
    again = [key for key in redo.reset if key in turn.state.steps and key != one.key]
    carry_out(turn, redo, said, anew=True, settings=covers)
    turn.said = f"run again: {_listed([one.key, *again])}"


def _check_settings(run: Run, covers: Mapping[str, Any]) -> None:
    """Only what is done with settings can get other ones."""
    for key in covers:
        node = run.plan.node_of(key)
        if node is not None and (node.kind == "leaf" or node.kind in CONTROL):
            continue
        kind = node.kind if node is not None else "unknown"
        message = f"step {key!r} is a {kind}: its settings cannot be edited"
        raise Conflict(message, code="no-settings", hint="name a step inside it")


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:SHOWN]) + (f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else "")
