"""Operators' verbs where an engine runs: on its own executions directly, on those of others through their inbox."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stepwell.app.dead_events import unknown
from stepwell.app.dead_letters import is_event
from stepwell.app.operating import Done, Move, Operators, requeued
from stepwell.app.reading import Reading
from stepwell.app.requeuing import Requeuing
from stepwell.app.session import Session
from stepwell.app.triggering import PublishedEvent
from stepwell.app.triggers import Fired
from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict, StepwellError
from stepwell.decider.verbs_legal import check_legal
from stepwell.engine.forking import Forked
from stepwell.execution.event import Event
from stepwell.execution.verbs import Retry, Verb, name_of
from stepwell.ports.ledger import Write
from stepwell.ports.listings import ExecutionQuery
from stepwell.ports.store import Store

_PAGE: Final = 200

ItemOutcome = Literal["done", "unchanged", "refused", "possible"]


class ActionItem(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one execution of many; `possible` when it was only looked at."""

    execution_id: str
    outcome: ItemOutcome
    message: str
    code: str | None = None
    status: str | None = None


class Interventions:
    """Does what operators ask for."""

    def __init__(self, session: Session, operators: Operators, reading: Reading, clock: Clock) -> None:
        async def publish(event: Event, writes: Sequence[Write], also: Sequence[Fired]) -> PublishedEvent:
            return await session.triggering.publish_by(
                session.engine, event, clock.now(), also=also, writes=writes, kind="topic"
            )

        self._requeuing = Requeuing(
            session.store, session.triggering, session.codec, clock, publish, session.engine.write
        )
        self._session = session
        self._operators = operators
        self._reading = reading

    @property
    def _store(self) -> Store:
        return self._session.store

    async def ask(self, execution: str, verb: Verb) -> Done:
        """Do what is asked for; durable when it returns.

        Raises:
            NotFound: there is no such execution, step, checkpoint. Conflict: it makes no sense now. NoAnswer.
        """
        try:
            return Done(await self._session.engine.operate(execution, verb), True)
        except Conflict as conflict:
            if conflict.code != "run-elsewhere":
                raise
        return await self._operators.ask(execution, verb)

    async def move(
        self, execution: str, to: str, names: Mapping[str, str], *, by: str, reason: str, dry_run: bool
    ) -> Move:
        """See `Operators.move`."""
        return await self._operators.move(
            execution, to, names, by=by, reason=reason, dry_run=dry_run, ask=lambda id_, verb: self.ask(id_, verb)
        )

    async def fork(self, execution: str, at_event: int, *, by: str, reason: str) -> Forked:
        """See `Engine.fork`."""
        return await self._session.engine.fork(execution, at_event, by=by, reason=reason)

    async def retry_letter(self, id_: str, settings: dict[str, Any] | None, *, by: str, reason: str) -> Done:
        """Try the step of a dead letter again, with what is put over its settings; an event with what is put over its
        data.

        Raises:
            NotFound: code `unknown-dead-letter`. What `ask` raises; of an event what `Requeuing.retry` does.
        """
        if is_event(id_):
            return requeued(await self._requeuing.retry(id_, settings, by=by, reason=reason), has_engine=True)
        letter = await self._store.dead_letter(id_)
        if letter is None:
            raise unknown(id_)
        return await self.ask(letter.execution, Retry(by=by, reason=reason, steps=(letter.step,), settings=settings))

    async def many(
        self, query: ExecutionQuery, most: int, verb: Verb, *, dry_run: bool
    ) -> tuple[list[ActionItem], bool]:
        """Ask up to `most` of the executions that a query finds, the newest first; what became of each, and whether
        there are more.

        Args:
            dry_run: only look whether they could be asked.
        """
        act = self._look if dry_run else self._act
        items: list[ActionItem] = []
        chosen = [id_ async for id_ in self._found(query, most + 1)]
        for id_ in chosen[:most]:
            items.append(await act(id_, verb))  # noqa: PERF401 - each is one transaction, one after the other
        return items, len(chosen) > most

    async def _found(self, query: ExecutionQuery, most: int) -> AsyncIterator[str]:
        cursor: str | None = None
        while most > 0:
            asked = msgspec.structs.replace(query, limit=min(_PAGE, most), cursor=cursor)
            page = await self._store.list(asked)
            for item in page.items:
                yield item.id
            most -= len(page.items)
            cursor = page.next
            if cursor is None:
                return

    async def _act(self, execution: str, verb: Verb) -> ActionItem:
        try:
            answer = (await self.ask(execution, verb)).answer
        except StepwellError as error:
            return _refused(execution, error)
        outcome: ItemOutcome = "done" if answer.changed else "unchanged"
        return ActionItem(execution_id=execution, outcome=outcome, message=answer.said, status=answer.status)

    async def _look(self, execution: str, verb: Verb) -> ActionItem:
        try:
            check_legal(await self._reading.state(execution), name_of(verb))
        except StepwellError as error:
            return _refused(execution, error)
        return ActionItem(execution_id=execution, outcome="possible", message=f"{name_of(verb)} is possible")


def _refused(execution: str, error: StepwellError) -> ActionItem:
    return ActionItem(execution_id=execution, outcome="refused", message=error.message, code=error.code)
