"""What a decision writes beside its events: waits, locks, dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from stepwell.base.errors import ErrorInfo
from stepwell.base.values import masked
from stepwell.decider.run import Run
from stepwell.engine.children import post_of
from stepwell.execution.codec import Codec
from stepwell.execution.commands import AwaitEvent, Command, EndExecution, ForgetWait, ReleaseLock, RunStep, TakeLock
from stepwell.execution.matching import match_key_of_filter
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ExecutionStatus, StepStatus
from stepwell.ports import Change, DeadLetter, InboxItem, LockRequest, Wait

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
        post = post_of(command, run, change.handle, codec)
        if post is not None:
            posts.append(post)
        if isinstance(command, AwaitEvent):
            change.waits_begun = (*change.waits_begun, _wait(command, state))
        elif isinstance(command, ForgetWait):
            wait = _wait(command, state)
            change.waits_begun = tuple(begun for begun in change.waits_begun if begun != wait)  # in this very turn
            change.waits_ended = (*change.waits_ended, wait)
        elif isinstance(command, TakeLock):
            request = LockRequest(command.name, command.limit, command.step, at)
            change.locks_taken = (*change.locks_taken, request)
        elif isinstance(command, ReleaseLock):
            change.locks_released = (*change.locks_released, (command.name, command.step))
        elif isinstance(command, EndExecution):
            change.locks_released_all = run.plan.uses_locks
            if state.status is ExecutionStatus.FAILED:
                change.dead_letters = dead_letters(run, codec)
    return posts


def _wait(command: AwaitEvent | ForgetWait, state: ExecutionState) -> Wait:
    return Wait(command.step, command.event_type, match_key_of_filter(command.filter), state.created_at)


def dead_letters(run: Run, codec: Codec) -> list[DeadLetter]:
    """What failed for good in an execution that has failed, and nothing handled: work of steps and of compensations."""
    letters = []
    for key, step in run.state.steps.items():
        if step.status is not StepStatus.FAILED or step.block is not None or step.handled not in _UNANSWERED:
            continue
        node = run.plan.node_of(key)
        if node is None or node.kind != "leaf" or step.error is None:
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
                kind="compensation" if node.for_compensation else "step",
                error=_masked(step.error),
                input=codec.encode_value(step.input) if step.input is not None else None,
            )
        )
    return letters


def _masked(error: ErrorInfo) -> ErrorInfo:
    return msgspec.structs.replace(error, message=str(masked(error.message)), details=masked(error.details))
