"""Forks: another execution that begins with the history of one, up to and including a chosen event."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from stepwell.base.errors import Conflict, NotFound
from stepwell.base.ids import execution_id
from stepwell.decider.decide import decide_fork
from stepwell.decider.restore import run_of
from stepwell.decider.turn import Decision
from stepwell.engine.hot import Hot
from stepwell.engine.loaded import PlanSource
from stepwell.engine.operating import unknown_execution
from stepwell.execution.codec import Codec
from stepwell.execution.evolve import fold
from stepwell.execution.history import ExecutionForked, HistoryEvent
from stepwell.ports.records import Handle, NewExecution
from stepwell.ports.store import Store

_PAGE = 1_000


class Forked(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a fork.

    Attributes:
        execution: the id of the new one.
        origin: that of the one it began with.
        seq: the number of the last event of that which the two share.
    """

    execution: str
    origin: str
    seq: int


class Prepared(msgspec.Struct, frozen=True):
    """A fork that has only to be written."""

    forked: Forked
    hot: Hot
    decision: Decision
    create: NewExecution
    at: int


async def prepare_fork(
    store: Store,
    codec: Codec,
    plans: PlanSource,
    at: int,
    entropy: Callable[[int], bytes],
    execution: str,
    at_event: int,
    by: str,
    reason: str,
) -> Prepared:
    """Everything about a fork but its place: the shard of its handle is to be set.

    A turn is one: the events that were decided together with the chosen one are part of the fork too.

    Args:
        at_event: the number of the event.

    Raises:
        NotFound: (code `unknown-execution`, `unknown-event`). Conflict: at that point there is nothing to go on with.
    """
    stored = await store.load(execution)
    if stored is None:
        raise unknown_execution(execution)
    events = await _history_to(store, codec, execution, at_event)
    state = fold(events)
    run = run_of(await plans(state.digest), state)
    said = ExecutionForked(at, by, reason, execution_id(entropy(16)), execution, entropy(16), at - events[-1].at)
    try:
        decision = decide_fork(run, said)
    except Conflict as conflict:
        stands = "being cancelled" if state.cancel is not None else state.status
        message = f"execution {execution} cannot be forked at event {len(events)}: there it is {stands}"
        hint = "choose an earlier event: `stepwell execution history` shows them"
        raise Conflict(message, code=conflict.code, hint=hint) from None
    hot = Hot(Handle(said.id, -1), run)
    create = NewExecution(
        workflow=state.workflow,
        version=state.version,
        digest=state.digest,
        created_at=at,
        tags=run.plan.definition.tags,
        forked_from=execution,
    )
    whole = Decision([*events, *decision.events], decision.commands, f"forked at event {len(events)}")
    forked = Forked(execution=said.id, origin=execution, seq=len(events))
    return Prepared(forked, hot, whole, create, at)


async def _history_to(store: Store, codec: Codec, execution: str, at_event: int) -> list[HistoryEvent]:
    """The history to the end of the turn that the event belongs to.

    Raises:
        NotFound: code `unknown-event`.
    """
    events: list[HistoryEvent] = []
    while len(events) < at_event:
        rows = await store.history(execution, len(events), _PAGE)
        if not rows:
            break
        for row in rows:
            events += codec.decode_events(row.events)
            if len(events) >= at_event:
                break
    if at_event < 1 or len(events) < at_event:
        known = f" to {len(events)}" if events else ""
        message = f"execution {execution} has no event {at_event}: they are numbered from 1{known}"
        raise NotFound(message, code="unknown-event", hint="`stepwell execution history` shows them")
    return events
