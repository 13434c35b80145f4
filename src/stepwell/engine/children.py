"""Sub-workflows: their starts and ends pass through the inbox, each in the transaction that decided it.

So a crash can neither lose one nor do it twice. A sub-workflow lives in the shard of the execution that started it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from stepwell.base.errors import ErrorInfo, StepwellError, StoreError
from stepwell.decider.create import Start
from stepwell.decider.plan import Plan
from stepwell.decider.run import Run
from stepwell.execution.codec import Codec
from stepwell.execution.commands import AnswerParent, Command, CompensateChild, EndExecution, StartChild, TellChild
from stepwell.execution.inputs import ChildCompensated, ChildEnded, CompensateSelf
from stepwell.ports.records import Handle, InboxItem

START: Final = "start_child"
ENDED: Final = "child_ended"
TELL: Final = "tell"
UNDO: Final = "compensate_self"
UNDONE: Final = "child_compensated"

NamedPlans = Callable[[str, str | None], Awaitable[Plan]]
"""Gives the plan of a registered workflow by name and version (None: the default one); raises StepwellError when it is
not there or must not be started."""


class ChildRequest(msgspec.Struct, frozen=True, array_like=True):
    """What an inbox item of kind `start_child` holds."""

    parent: str
    step: str
    child: str
    workflow: str
    version: str | None
    input: Any
    depth: int


class ChildEnd(msgspec.Struct, frozen=True, array_like=True):
    """What an inbox item of kind `child_ended` holds."""

    child: str
    status: str
    output: Any = None
    error: ErrorInfo | None = None


POSTING: Final = frozenset({StartChild, TellChild, CompensateChild, AnswerParent, EndExecution})
"""The commands that may put something into an inbox. To ask of what type a command is takes longer the more are asked
about before it; most begin or end a wait, and put nothing there."""


def post_of(command: Command, run: Run, handle: Handle, codec: Codec) -> InboxItem | None:
    """What a command puts into an inbox, if anything."""
    state = run.state
    match command:
        case StartChild():
            request = ChildRequest(
                state.id, command.step, command.child, command.workflow, command.version, command.input, command.depth
            )
            return InboxItem(shard=handle.shard, kind=START, payload=codec.encode_value(request))
        case TellChild():
            payload = codec.encode_value([command.verb, command.by, command.reason])
            return InboxItem(shard=handle.shard, kind=TELL, payload=payload, execution=command.child)
        case CompensateChild():
            payload = codec.encode_value([state.id, command.reason])
            return InboxItem(shard=handle.shard, kind=UNDO, payload=payload, execution=command.child, step=command.step)
        case AnswerParent():
            payload = codec.encode_value([command.outcome, command.message])
            return InboxItem(
                shard=handle.shard, kind=UNDONE, payload=payload, execution=command.parent, step=command.step
            )
        case EndExecution() if state.parent is not None:
            end = ChildEnd(state.id, state.status.value, state.output, state.error)
            return _to_parent(handle.shard, state.parent, state.parent_step, end, codec)
        case _:
            return None


def _to_parent(shard: int, parent: str, step: str | None, end: ChildEnd, codec: Codec) -> InboxItem:
    return InboxItem(shard=shard, kind=ENDED, payload=codec.encode_value(end), execution=parent, step=step)


def child_ended(item: InboxItem, codec: Codec) -> ChildEnded:
    """What such an item means to the execution that it is for."""
    end = msgspec.convert(codec.decode_value(item.payload), ChildEnd)
    return ChildEnded(item.step or "", end.child, end.status, end.output, end.error)


def compensate_self(item: InboxItem, codec: Codec) -> CompensateSelf:
    """What such an item means to the sub-workflow that it is for."""
    parent, reason = msgspec.convert(codec.decode_value(item.payload), tuple[str, str])
    return CompensateSelf(parent, item.step or "", reason)


def child_compensated(item: InboxItem, codec: Codec) -> ChildCompensated:
    """What such an item means to the execution that asked."""
    outcome, message = msgspec.convert(codec.decode_value(item.payload), tuple[str, str])
    return ChildCompensated(item.step or "", outcome, message)


def unknown_child(item: InboxItem, codec: Codec) -> InboxItem:
    """The answer to who asks a sub-workflow to undo itself that was never started: there is nothing to undo."""
    asked = compensate_self(item, codec)
    payload = codec.encode_value(["nothing", ""])
    return InboxItem(shard=item.shard, kind=UNDONE, payload=payload, execution=asked.parent, step=asked.step)


class Children:
    """Starts sub-workflows that were asked for.

    Args:
        named: finds their plans; None when there is no registry, so that none can be started.
        begin: creates an execution: its plan, the start, and the inbox item that is consumed with it.
        refuse: consumes the inbox item, and posts what the parent is told instead.
    """

    def __init__(
        self,
        codec: Codec,
        named: NamedPlans | None,
        begin: Callable[[Plan, Start, InboxItem], object],
        refuse: Callable[[InboxItem, InboxItem], None],
    ) -> None:
        self._codec = codec
        self._named = named
        self._begin = begin
        self._refuse = refuse

    async def start(self, item: InboxItem, seed: bytes, default_timeout: int | None) -> None:
        """Start what the item asks for, or tell the parent why it cannot be.

        Raises:
            StoreError: the store cannot be read; the item stays.
        """
        request = msgspec.convert(self._codec.decode_value(item.payload), ChildRequest)
        try:
            plan = await self._plan(request)
            start = Start(
                id=request.child,
                input=request.input,
                seed=seed,
                default_timeout=default_timeout,
                parent=request.parent,
                parent_step=request.step,
                depth=request.depth,
            )
            self._begin(plan, start, item)
        except StepwellError as error:
            if isinstance(error, StoreError) and error.code != "unusable-definition":
                raise
            told = ErrorInfo(error.code.replace("-", "_"), str(error))
            end = ChildEnd(request.child, "failed", error=told)
            self._refuse(item, _to_parent(item.shard, request.parent, request.step, end, self._codec))

    async def _plan(self, request: ChildRequest) -> Plan:
        if self._named is None:
            raise StepwellError("there is no registry of workflows here", code="unknown-workflow")
        return await self._named(request.workflow, request.version)
