"""`skip-step` and `complete-step`: an operator says how a step has ended."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from stepwell.base.errors import Conflict, NotFound
from stepwell.decider.advance import ended
from stepwell.decider.joins import note_unasked
from stepwell.decider.keys import split_key
from stepwell.decider.leaf import end_well
from stepwell.decider.region import Instance
from stepwell.decider.run import Run
from stepwell.decider.turn import Turn
from stepwell.decider.verbs_redo import Redo, carry_out, check_deadline, failed_again
from stepwell.decider.verbs_tree import Tree, inside_keys, live_regions, unknown_step
from stepwell.execution.history import Intervened, StepSkipped
from stepwell.execution.status import ENDED_EXECUTION, StepStatus
from stepwell.execution.verbs import CompleteStep, SkipStep, name_of

_OVER: Final = frozenset({StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.CANCELLED, StepStatus.COMPENSATED})


def skip_step(turn: Turn, verb: SkipStep) -> None:
    """Let a step count as skipped by its own condition: what depends on it goes on.

    Raises:
        Conflict, NotFound: see `_redo`.
    """

    def skip(one: Instance) -> None:
        turn.emit(StepSkipped(turn.at, one.key, "operator", verb.reason or f"skipped by {verb.by}"))
        ended(turn, one)

    _settle_by_hand(turn, verb, skip)


def complete_step(turn: Turn, verb: CompleteStep) -> None:
    """Let a step count as completed, with the given output; what it publishes and its edges see that output.

    Raises:
        Conflict, NotFound: see `_redo`.
    """
    _settle_by_hand(turn, verb, lambda one: end_well(turn, one, verb.output, verb.output, turn.at))


def _settle_by_hand(turn: Turn, verb: SkipStep | CompleteStep, settle: Callable[[Instance], None]) -> None:
    check_deadline(turn, name_of(verb))
    key, redo = _redo(turn.run, verb)
    said = Intervened(turn.at, name_of(verb), verb.by, verb.reason, {"step": key})
    carry_out(turn, redo, said, anew=False, settled=key)
    one = _out_of_line(turn.run, key)
    assert one is not None, "what was reset stands in an open region"
    turn.run.settled = ""
    settle(one)
    done = "is skipped" if isinstance(verb, SkipStep) else "has completed with the output given"
    turn.said = f"step {key!r} {done}"


def _redo(run: Run, verb: SkipStep | CompleteStep) -> tuple[str, Redo]:
    """The key of the step that is meant, and what has to run again so that it is pending.

    Raises:
        NotFound: code `unknown-step`. Conflict: (code `step-running`) it runs; (code `step-ended`) it has ended in
            another way than by failing; (code `step-not-due`) it is one of several that run in circles, and not its
            turn; (code `no-step`) it is a part of a state machine; `ambiguous-step`; `already-ended` for a step that an
            ended execution had no failure of.
    """
    tree = Tree(run)
    one = _named(run, tree, verb.step)
    if one.node.kind == "machine_wait":
        message = f"{one.key!r} is how a state machine waits for an event, and no step of the workflow"
        raise Conflict(message, code="no-step", hint="publish the event, or settle the machine as a whole")
    step = run.state.steps.get(one.key)
    has_ended = run.state.status in ENDED_EXECUTION
    redo = failed_again(tree, None) if has_ended else Redo()
    if step is None:
        _check_pending(run, one)
    elif step.status in _OVER and (step.status is not StepStatus.CANCELLED or one.key not in redo.reset):
        raise Conflict(f"step {one.key!r} has ended: it is {step.status}", code="step-ended")
    elif step.status is StepStatus.RUNNING and not verb.force:
        hint = "wait for its end, or stop it with --force"
        raise Conflict(f"step {one.key!r} is running", code="step-running", hint=hint)
    else:
        if step.status is StepStatus.FAILED and not has_ended:
            redo = failed_again(tree, {one.key})
        if not has_ended or one.key in redo.reset or one.key in redo.reopened:
            _reset_whole(tree, redo, one)
    _check_around(run, redo, one)
    if has_ended and one.key not in redo.reset:
        message = f"execution {run.state.id} has ended, and not because of step {one.key!r}"
        raise Conflict(message, code="already-ended", hint="`rerun` runs a step and all behind it again")
    return one.key, redo


def _reset_whole(tree: Tree, redo: Redo, one: Instance) -> None:
    """The step as such is settled: nothing inside it goes on."""
    redo.reset.update(dict.fromkeys((one.key, *inside_keys(tree, one))))
    redo.reopened = {key: index for key, index in redo.reopened.items() if key not in redo.reset}


def _check_around(run: Run, redo: Redo, one: Instance) -> None:
    """What the step stands in must be running, or run again."""
    owner = one.region.owner
    while owner is not None:
        step = run.state.steps[owner.key]
        if step.status is not StepStatus.RUNNING and owner.key not in redo.reopened:
            message = f"step {one.key!r} stands in {owner.key!r}, which has ended: it is {step.status}"
            raise Conflict(message, code="step-ended", hint="`rerun` runs a step and all behind it again")
        owner = owner.region.owner


def _named(run: Run, tree: Tree, text: str) -> Instance:
    try:
        return tree.find(text)
    except Conflict as conflict:
        one = _pending(run, text) if conflict.code == "never-executed" else None
        if one is None:
            raise
        return one
    except NotFound:
        raise unknown_step(run, text) from None


def _check_pending(run: Run, one: Instance) -> None:
    if one.region.graph.is_cyclic and not any(due is one for due in _due(run)):
        message = f"step {one.key!r} runs in circles with others, and it is not its turn"
        raise Conflict(message, code="step-not-due", hint="wait until it is due")


def _pending(run: Run, key: str) -> Instance | None:
    """The step, in the region that is open and in which it has not begun."""
    due = next((one for one in _due(run) if one.key == key), None)
    if due is not None:
        return due
    name, path, visit = split_key(key)
    for region in live_regions(run):
        if region.path == path and name in region.graph.nodes:
            return Instance(region.graph.nodes[name], region, visit)
    return None


def _due(run: Run) -> list[Instance]:
    """What is in line to begin, now or after a delay."""
    return [*(one for *_, one in run.ready if one.in_line), *(one for one, _ in run.delayed)]


def _out_of_line(run: Run, key: str) -> Instance | None:
    """The step, which will not begin by itself any more."""
    one = _pending(run, key)
    if one is None:
        return None
    if any(due is one for due in _due(run)):
        one.in_line = False
        one.region.due -= 1
        run.delayed = [(due, delay) for due, delay in run.delayed if due is not one]
    else:
        note_unasked(one.region, one.node, one.visit)
    return one
