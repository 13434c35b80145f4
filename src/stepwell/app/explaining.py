"""`execution why`: what an execution waits for, since when, and what would wake it; or why it ended as it did."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Final

from stepwell.app.endings import ENDINGS
from stepwell.app.explanation import Explanation, Fetched, Reason, View
from stepwell.app.reading import Reading
from stepwell.app.reasons import REASONS, awaited_execution
from stepwell.app.recorded import Recorded
from stepwell.app.report import shown_status
from stepwell.base.errors import NotFound
from stepwell.decider.plan import Plan
from stepwell.decider.restore import run_of
from stepwell.execution.state import ExecutionState
from stepwell.execution.status import ENDED_EXECUTION, ExecutionStatus
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.records import Lock
from stepwell.ports.store import Store

_PAGE: Final = 1_000
_MOST_CHILDREN: Final = 50
"""Sub-workflows that are looked into, of all executions that are explained together."""


def explain(view: View) -> Explanation:
    """The reasons that are found in what is known of an execution."""
    state = view.state
    rules = ENDINGS if state.status in ENDED_EXECUTION else REASONS
    found: list[Reason] = [reason for rule in rules for reason in rule(view)]
    return Explanation(
        execution=state.id,
        workflow=state.workflow,
        version=state.version,
        status=shown_status(state),
        created_at=state.created_at,
        ended_at=state.completed_at,
        engine=view.engine,
        reasons=found,
    )


class Explaining:
    """Explains what is in a store.

    Args:
        now: the instant of looking.
        options: what commands need to find the same store, with a space before it.
        fetched: see `View`.
    """

    def __init__(
        self,
        store: Store,
        reading: Reading,
        now: int,
        options: str = "",
        fetched: Fetched = lambda id_: None,
    ) -> None:
        self._fetched = fetched
        self._store = store
        self._reading = reading
        self._now = now
        self._options = options
        self._children_left = _MOST_CHILDREN

    async def explanation(self, execution: str) -> Explanation:
        """Why the execution does what it does.

        Raises:
            NotFound: code `unknown-execution`.
        """
        recorded = await self._reading.recorded(execution)
        view = View(
            run_of(Plan(recorded.definition), recorded.state),
            recorded.events,
            self._now,
            engine=await self._engine(recorded.shard),
            place=await self._place(recorded),
            locks=await self._locks(recorded.state),
            children=await self._children(recorded.state),
            options=self._options,
            fetched=self._fetched,
        )
        return explain(view)

    async def _engine(self, shard: int) -> str | None:
        """Who owns the shard, unless it is known to be gone."""
        for owner in await self._store.owners():
            if owner["shard"] == shard and not owner.get("gone") and owner["expires_at"] > self._now:
                return f"process {owner['pid']} on {owner['host']}" if "pid" in owner else str(owner["owner"])
        return None

    async def _place(self, recorded: Recorded) -> int | None:
        """Its place in the line for the engine's limit of workflows: those before it are older, and have not begun."""
        state = recorded.state
        if state.status is not ExecutionStatus.PENDING:
            return None
        pending = set[str]()
        query = ExecutionQuery(statuses=(ExecutionStatus.PENDING.value,), limit=_PAGE)
        while True:
            page = await self._store.list(query)
            pending |= {item.id for item in page.items}
            if page.next is None:
                break
            query = ExecutionQuery(statuses=query.statuses, limit=_PAGE, cursor=page.next)
        line = [each for each in await self._store.hot(recorded.shard) if each in pending]
        return line.index(state.id) + 1 if state.id in line else None

    async def _locks(self, state: ExecutionState) -> Mapping[str, Sequence[Lock]]:
        wanted = {step.message for step in state.steps.values() if step.held == "mutex"}
        if state.held_for and state.status is ExecutionStatus.PENDING:
            wanted.add(state.held_for)
        return {name: await self._store.locks(name) for name in sorted(wanted)}

    async def _children(self, state: ExecutionState) -> Mapping[str, Explanation]:
        """Those of the sub-workflows that it waits for; one whose start has not come to its engine is not there yet."""
        found: dict[str, Explanation] = {}
        for child in map(awaited_execution, state.steps.values()):
            if not child or not self._children_left:
                continue
            self._children_left -= 1
            with contextlib.suppress(NotFound):
                found[child] = await self.explanation(child)
        return found
