"""Why an execution ended as it did. One function for each kind of reason; `ENDINGS` lists them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from stepwell.app.explanation import Reason, View, clause_of
from stepwell.decider.keys import INSTEAD, split_key, undo_key, undone_key
from stepwell.decider.verbs_legal import is_legal
from stepwell.execution.history import CompensationEnded, ExecutionCancelled
from stepwell.execution.state import StepState
from stepwell.execution.status import ExecutionStatus, StepStatus

_MOST: Final = 20
"""Steps of one kind that are told; more are counted."""

_HANDLED: Final[Mapping[str, str]] = {
    "": "nothing handled it",
    "continue": "its action let the execution go on",
    "edge": "another step dealt with it",
    "fallback": "something else stood in for it",
    "compensate": "its action asked for compensation",
    "up": "the step around it had to answer for it",
}
_OUTCOMES: Final[Mapping[str, str]] = {
    "done": "everything was undone",
    "failed": "not everything could be undone",
    "nothing": "there was nothing to undo",
}


def it_completed(view: View) -> Iterator[Reason]:
    """It came to its end."""
    state = view.state
    if state.status is ExecutionStatus.COMPLETED:
        failed = sum(step.status is StepStatus.FAILED for step in state.steps.values())
        text = "it came to its end" + (
            ", although steps failed" if failed else ": every step ended well or was skipped"
        )
        yield Reason(kind="completed", text=text, since=state.completed_at)


def it_failed(view: View) -> Iterator[Reason]:
    """What ended it."""
    state = view.state
    if state.status is ExecutionStatus.FAILED and state.error is not None:
        may_retry = state.failed_step is not None and is_legal(state, "retry")
        again = f"stepwell execution retry {state.id}{view.options}" if may_retry else None
        yield Reason(kind="failed", text=f"it failed: {clause_of(state.error)}", since=state.completed_at, wakes=again)


def it_was_cancelled(view: View) -> Iterator[Reason]:
    """Somebody ended it."""
    state = view.state
    if state.status is ExecutionStatus.CANCELLED:
        told = view.latest(ExecutionCancelled)
        by = f" by {told.by}" if told is not None and told.by else ""
        why = f": {state.cancel_reason}" if state.cancel_reason else ""
        yield Reason(kind="cancelled", text=f"it was cancelled{by}{why}", since=state.completed_at)


def steps_failed(view: View) -> Iterator[Reason]:
    """The steps that failed, that which ended it first, and how each was handled."""
    failed = [(key, step) for key, step in view.state.steps.items() if step.status is StepStatus.FAILED]
    failed = [each for each in failed if not _undoes(view, each[0])]
    failed.sort(key=lambda each: (each[0] != view.state.failed_step, each[1].order))
    for key, step in failed[:_MOST]:
        yield _failure(view, key, step)
    if len(failed) > _MOST:
        yield Reason(kind="step_failed", text=f"{len(failed) - _MOST:,} more steps failed")


def _failure(view: View, key: str, step: StepState) -> Reason:
    error = clause_of(step.error) if step.error is not None else "it failed"
    tries = f"after {step.attempts:,} attempts" if step.attempts > 1 else ""
    handled = _HANDLED.get(step.handled, step.handled)
    if step.handled == "edge":
        handled = f"{handled}: {_dealt_with(view, key)}"
    text = "; ".join(filter(None, (f"it failed{' ' if tries else ''}{tries}: {error}", handled)))
    return Reason(kind="step_failed", step=key, text=text, since=step.completed_at)


def _dealt_with(view: View, key: str) -> str:
    node = view.plan.node(split_key(key)[0])
    names = [link.target.name for link in node.links if link.on in ("failure", "timeout", "complete")] if node else []
    return ", ".join(repr(name) for name in dict.fromkeys(names))


def work_was_cut_off(view: View) -> Iterator[Reason]:
    """The steps that were stopped before they had ended."""
    stopped = [(key, step) for key, step in view.state.steps.items() if step.status is StepStatus.CANCELLED]
    cut = [each for each in stopped if not _undoes(view, each[0])]
    for key, step in cut[:_MOST]:
        yield Reason(kind="step_cancelled", step=key, text=f"it was stopped: {step.reason}", since=step.completed_at)
    if len(cut) > _MOST:
        yield Reason(kind="step_cancelled", text=f"{len(cut) - _MOST:,} more steps were stopped")


def it_was_undone(view: View) -> Iterator[Reason]:
    """What compensation did."""
    state = view.state
    if not state.compensation_reason:
        return
    outcome = _OUTCOMES.get(state.compensation or "", "it did not come to its end")
    problem = f" ({state.compensation_problem})" if state.compensation_problem else ""
    text = f"compensation: {outcome}{problem}; it began because {state.compensation_reason}"
    yield Reason(kind="compensation", text=text, since=view.at(CompensationEnded))
    for key, step in state.steps.items():
        undone = undone_key(key)
        if undone is not None:
            yield Reason(kind="undoing", step=undone, text=f"undoing it: {_fate(step)}", since=step.completed_at)
        elif _undoes(view, key):
            yield Reason(kind="undoing", step=key, text=_fate(step), since=step.completed_at)
    for key in state.to_undo:
        if undo_key(key) not in state.steps:
            yield Reason(kind="undoing", step=key, text="it was not undone: the compensation ended before")


def _fate(step: StepState) -> str:
    if step.status is StepStatus.FAILED and step.error is not None:
        return f"it failed: {clause_of(step.error)}"
    if step.status is StepStatus.SKIPPED:
        return f"it was skipped: {step.message or step.reason}"
    if step.status is StepStatus.CANCELLED:
        return f"it was stopped: {step.reason}"
    return f"it {'has' if step.status is StepStatus.COMPLETED else 'is'} {step.status}"


def _undoes(view: View, key: str) -> bool:
    """Whether the step belongs to the compensation."""
    name, path, _ = split_key(key)
    return undone_key(key) is not None or path == INSTEAD or name in view.plan.undoing.nodes


ENDINGS: Final[Sequence[Callable[[View], Iterator[Reason]]]] = (
    it_completed,
    it_failed,
    it_was_cancelled,
    steps_failed,
    work_was_cut_off,
    it_was_undone,
)
"""In the order in which they are told."""
