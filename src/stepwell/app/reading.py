"""Looking at a store without running anything: executions, histories, and whether all is well."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final, NamedTuple

from stepwell.app.chains import broken_chains
from stepwell.app.definitions import MOST_PLANS, Definitions
from stepwell.app.recorded import Recorded
from stepwell.app.report import event_report, execution_report
from stepwell.base.errors import NotFound, StepwellError
from stepwell.base.instants import to_rfc3339
from stepwell.decider.plan import Plan
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.loaded import snapshot_of, state_of
from stepwell.execution.codec import Codec
from stepwell.execution.evolve import fold
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION
from stepwell.ports.listings import ExecutionListing, ExecutionQuery
from stepwell.ports.records import StoredExecution
from stepwell.ports.store import Store

PAGE: Final = 500


class Reported(NamedTuple):
    """An execution as users see it.

    Attributes:
        seq: of its last history event; whoever has seen it with this number has seen all.
        workflow: the name of what it runs.
    """

    seq: int
    workflow: str
    report: dict[str, Any]


class Reading:
    """Reads what is recorded."""

    def __init__(self, store: Store, codec: Codec, definitions: Definitions) -> None:
        self._store = store
        self._codec = codec
        self._definitions = definitions
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    async def execution(self, execution: str) -> dict[str, Any]:
        """The execution as users see it (see `app.report`).

        Raises:
            NotFound: code `unknown-execution`.
        """
        stored = await self._stored(execution)
        return execution_report(await self._plan(stored.created.digest), state_of(self._codec, stored))

    async def reported(self, execution: str) -> Reported:
        """The same, with what it may be recognised and guarded by.

        Raises:
            NotFound: code `unknown-execution`.
        """
        stored = await self._stored(execution)
        state, plan = state_of(self._codec, stored), await self._plan(stored.created.digest)
        return Reported(state.seq, state.workflow, execution_report(plan, state))

    async def past(self, execution: str, seq: int) -> Reported:
        """The execution as it stood when its history event number `seq` had happened.

        Raises:
            NotFound: code `unknown-execution`; `unknown-event` when it has no event with that number.
        """
        recorded = await self.recorded(execution, whole=True)
        if not 1 <= seq <= len(recorded.events):
            message = f"execution {execution} has no event {seq}: they are numbered from 1 to {len(recorded.events)}"
            raise NotFound(message, code="unknown-event")
        state = fold(recorded.events[:seq])
        return Reported(seq, state.workflow, execution_report(await self._plan(state.digest), state))

    async def workflow_of(self, execution: str) -> str:
        """The name of the workflow that it runs.

        Raises:
            NotFound: code `unknown-execution`.
        """
        return (await self._stored(execution)).created.workflow

    async def definition(self, execution: str) -> WorkflowDefinition:
        """What the execution runs.

        Raises:
            NotFound: code `unknown-execution`.
        """
        return await self._definitions.stored((await self._stored(execution)).created.digest)

    async def executions(self, query: ExecutionQuery) -> dict[str, Any]:
        """A page of executions: `{"items": [...], "next": cursor or null}`."""
        page = await self._store.list(query)
        return {"items": [_listing(item) for item in page.items], "next": page.next}

    async def history(self, execution: str, after: int = 0, *, is_known: bool = False) -> AsyncIterator[dict[str, Any]]:
        """The history events numbered greater than `after`, as users see them.

        Args:
            is_known: that there is such an execution need not be looked up.

        Raises:
            NotFound: code `unknown-execution`.
        """
        if not is_known:
            await self._stored(execution)
        while rows := await self._store.history(execution, after, PAGE):
            for row in rows:
                events = self._codec.decode_events(row.events)
                first = row.seq - len(events) + 1
                for number, event in enumerate(events, start=first):
                    if number > after:
                        yield event_report(number, event)
            after = rows[-1].seq

    async def recorded(self, execution: str, *, whole: bool = False) -> Recorded:
        """The execution as it is recorded, with the end of its history, or the `whole` of it.

        Raises:
            NotFound: code `unknown-execution`.
        """
        stored = await self._stored(execution)
        state = state_of(self._codec, stored)
        rows = list(stored.history)
        if whole and stored.snapshot is not None:
            rows = []
            while more := await self._store.history(execution, rows[-1].seq if rows else 0, PAGE):
                rows += more
        events = [event for row in rows for event in self._codec.decode_events(row.events)]
        return Recorded(stored.handle.shard, await self._definitions.stored(state.digest), state, events)

    async def state(self, execution: str) -> ExecutionState:
        """What is recorded of the execution.

        Raises:
            NotFound: code `unknown-execution`.
        """
        return state_of(self._codec, await self._stored(execution))

    async def is_over(self, execution: str) -> bool:
        """Whether the execution has ended."""
        stored = await self._stored(execution)
        return stored.summary.status in {status.value for status in ENDED_EXECUTION}

    async def shard_of(self, execution: str) -> int:
        """The shard an execution belongs to."""
        return (await self._stored(execution)).handle.shard

    async def verify(self) -> AsyncIterator[str]:
        """What is wrong with the store, one sentence at a time: damaged pages, histories that are none, snapshots or
        summaries that say something else than the history, journals whose chain is broken."""
        for problem in await self._store.check():
            yield problem
        async for problem in broken_chains(self._store):
            yield problem
        key = 0
        while stored := await self._store.executions_after(key, 100):
            for execution in stored:
                for problem in self._verify(execution):
                    yield problem
            key = stored[-1].handle.key or 0

    def _verify(self, stored: StoredExecution) -> Sequence[str]:
        name = f"execution {stored.handle.id}"
        try:
            events = [event for row in stored.history for event in self._codec.decode_events(row.events)]
            state = fold(events)
            at_snapshot = fold(events[: stored.snapshot_seq]) if stored.snapshot is not None else None
            snapshot = snapshot_of(self._codec, stored)
        except StepwellError as error:
            return [f"{name}: {error}"]
        problems = []
        if stored.history and stored.history[-1].seq != state.seq:
            problems.append(f"{name}: its history has gaps: {state.seq} events, numbered to {stored.history[-1].seq}")
        if snapshot != at_snapshot:
            problems.append(f"{name}: its snapshot at event {stored.snapshot_seq} differs from its history")
        if _ended(state) != (stored.summary.finished_at is not None):
            problems.append(f"{name}: it is listed as {stored.summary.status}, its history says {state.status}")
        return problems

    async def _plan(self, digest: str) -> Plan:
        """What an execution runs, for showing it; those looked at last are kept."""
        plan = self._plans.get(digest)
        if plan is None:
            plan = self._plans[digest] = Plan(await self._definitions.stored(digest))
            if len(self._plans) > MOST_PLANS:
                self._plans.popitem(last=False)
        return plan

    async def _stored(self, execution: str) -> StoredExecution:
        stored = await self._store.load(execution)
        if stored is None:
            raise NotFound(
                f"there is no execution {execution!r} in this store",
                code="unknown-execution",
                hint="`stepwell execution list` shows them; --store names another store",
            )
        return stored


def _ended(state: ExecutionState) -> bool:
    return state.status in ENDED_EXECUTION


def _listing(item: ExecutionListing) -> dict[str, Any]:
    finished = item.summary.finished_at
    return {
        "execution_id": item.id,
        "workflow": item.created.workflow,
        "version": item.created.version,
        "status": item.summary.status,
        "created_at": to_rfc3339(item.created.created_at),
        "completed_at": to_rfc3339(finished) if finished is not None else None,
        "error": item.summary.error,
        "tags": list(item.created.tags),
        "parent": item.created.parent,
        "forked_from": item.created.forked_from,
    }
