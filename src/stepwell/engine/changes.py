"""What a decision writes beside its events: waits, locks, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.compensation_places import node_of
from stepwell.decider.keys import INSTEAD, split_key
from stepwell.decider.run import Run
from stepwell.engine.children import POSTING, post_of
from stepwell.execution.codec import Codec
from stepwell.execution.commands import (
    AwaitEvent,
    Command,
    EndExecution,
    ForgetWait,
    KeepResult,
    ReleaseLock,
    ResolveDeadLetter,
    RunStep,
    TakeLock,
)
from stepwell.execution.matching import match_key_of_filter
from stepwell.execution.state import ExecutionState, StepState
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.ports.records import Change, DeadLetter, InboxItem, KeptResult, LockRequest, Wait

_UNANSWERED: Final = frozenset({"", "up", "compensate", "stand_in"})
"""How the failure of a step was not handled by the step itself."""


def note_commands(change: Change, commands: Sequence[Command], run: Run, codec: Codec, at: int) -> list[InboxItem]:
    """Put into the change what the commands ask of the store; returns what they put into inboxes."""
    state = run.state
    posts: list[InboxItem] = []
    for command in commands:
        kind = type(command)
        if kind is RunStep:  # by far the most
            continue
        if kind in POSTING and (post := post_of(command, run, change.handle, codec)) is not None:
            posts.append(post)
        if isinstance(command, EndExecution):
            change.locks_released_all = run.plan.uses_locks or bool(state.held_for)  # by an earlier version
            if state.status is ExecutionStatus.FAILED:
                change.dead_letters = dead_letters(run, codec)
        elif isinstance(command, AwaitEvent):
            change.waits_begun = (*change.waits_begun, _wait(command, state))
        elif isinstance(command, ForgetWait):
            wait = _wait(command, state)
            change.waits_begun = tuple(begun for begun in change.waits_begun if begun != wait)  # in this very turn
            change.waits_ended = (*change.waits_ended, wait)
        elif isinstance(command, TakeLock):
            request = LockRequest(command.name, command.limit, command.step, command.at or at, command.otherwise)
            change.locks_taken = (*change.locks_taken, request)
        elif isinstance(command, ReleaseLock):
            claim = command.name, command.step
            change.locks_taken = tuple(
                asked for asked in change.locks_taken if (asked.name, asked.holder) != claim
            )  # in this very turn
            change.locks_released = (*change.locks_released, claim)
        elif isinstance(command, ResolveDeadLetter):
            change.dead_letters_resolved = (*change.dead_letters_resolved, command.id)
        elif isinstance(command, KeepResult):
            change.results_kept = (*change.results_kept, _kept(command, state, codec, at))
    return posts


def _wait(command: AwaitEvent | ForgetWait, state: ExecutionState) -> Wait:
    return Wait(command.step, command.event_type, match_key_of_filter(command.filter), state.created_at)


def _kept(command: KeepResult, state: ExecutionState, codec: Codec, at: int) -> KeptResult:
    value = codec.encode_value([command.result, command.scope])
    return KeptResult(key=command.key, execution=state.id, made_at=at, expires_at=command.expires_at, value=value)


def dead_letters(run: Run, codec: Codec) -> list[DeadLetter]:
    """What failed for good in an execution that has failed, and nothing handled: work of steps and of compensations."""
    letters = []
    for key, step in run.state.steps.items():
        if step.status is not StepStatus.FAILED or step.error is None or step.handled not in _UNANSWERED:
            continue
        kind = _kind_of_work(run, key, step)
        if kind is None:
            continue
        letters.append(
            DeadLetter(
                execution=run.state.id,
                workflow=run.state.workflow,
                version=run.state.version,
                step=key,
                at=step.completed_at or 0,
                seq=step.order,
                attempts=step.attempts,
                kind=kind,
                error=_masked(step.error),
                input=codec.encode_value(step.input) if step.input is not None else None,
            )
        )
    return letters


def _kind_of_work(run: Run, key: str, step: StepState) -> Literal["step", "compensation"] | None:
    """What kind of work the instance did; None when it did none itself: a construct, or a control step of the root."""
    if split_key(key)[1].rpartition(",")[2] == INSTEAD:
        return "compensation" if run.state.compensation_instead else None  # else something else took its place
    node = node_of(run, key)
    if node is None:
        return None
    if node.for_compensation:
        return "compensation" if step.block in (None, "undo") else None
    return "step" if node.kind == "leaf" and step.block is None else None


def _masked(error: ErrorInfo) -> ErrorInfo:
    return msgspec.structs.replace(error, message=str(masked(error.message)), details=masked(error.details))
