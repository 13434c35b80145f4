"""Reminds people of questions that wait for them, and lets others answer when they do not.

What is due stands in the document about a question, so it outlasts the process, and of several servers on a store one
does it. A question that is asked is noted by the server whose engine asks; what a crash kept from being noted is found
when a server opens the store.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.approval_care import CARE, Care, care_key, care_written, read_care
from stepwell.app.approvals import Approvals
from stepwell.app.telling import People
from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, parse_duration
from stepwell.base.errors import Conflict, NotFound, StepwellError
from stepwell.base.instants import from_rfc3339
from stepwell.base.values import masked
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.alarm import Alarm
from stepwell.execution.history import ApprovalRequested, HistoryEvent
from stepwell.ports.ledger import Document, JournalEntry, Ledger, Write
from stepwell.ports.work import Observer

JOURNAL: Final = "approval"
"""The kind of journal entries about reminders and escalations; the subject is the execution."""
SHORTEST: Final = MINUTE
"""Nobody is reminded more often, whatever an expression gives."""
_MINDED: Final = frozenset({"reminder", "escalation"})
_log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    """A question that was asked at an instant, and is to be minded."""

    key: str
    at: int
    question: Mapping[str, Any]


class ApprovalMinder(Observer):
    """Notes what is to be minded, and acts when it is due."""

    def __init__(self, ledger: Ledger, approvals: Approvals, people: People, clock: Clock) -> None:
        self._ledger = ledger
        self._approvals = approvals
        self._people = people
        self._clock = clock
        self._rung = asyncio.Event()
        self._asked: deque[_Asked] = deque()
        self._alarm = Alarm(clock, self._rung.set)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ApprovalMinder]:
        """Mind, as long as this lasts."""
        minding = asyncio.create_task(self._mind())
        try:
            yield self
        finally:
            self._alarm.clear()
            minding.cancel()
            await asyncio.gather(minding, return_exceptions=True)

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        for event in events:
            if type(event) is ApprovalRequested and _MINDED & event.question.keys():
                self._asked.append(_Asked(care_key(execution, event.step), event.at, masked(event.question)))
                self._rung.set()

    async def _find(self) -> None:
        """Questions that were asked when nobody minded them."""
        cursor: str | None = None
        while True:
            page = await self._approvals.list(limit=1_000, cursor=cursor)
            for item in page["items"]:
                execution, step = item["execution_id"], item["step"]
                question = await self._approvals.settings(execution, step)
                if _MINDED & question.keys() and item["since"] is not None:
                    self._asked.append(_Asked(care_key(execution, step), from_rfc3339(item["since"]), question))
            cursor = page["next"]
            if cursor is None:
                return

    async def _note(self, asked: _Asked) -> None:
        """Note when something is due about a question, unless that was done before."""
        document = await self._ledger.document(CARE, asked.key)
        care = read_care(document)
        if care.minded:
            return
        care = msgspec.structs.replace(
            care,
            minded=True,
            remind_at=_later(asked.at, asked.question.get("reminder"), "after"),
            escalate_at=_later(asked.at, asked.question.get("escalation"), "after"),
        )
        now = self._clock.now()
        with suppress(Conflict):
            await self._ledger.write([care_written(asked.key, care, document, now)], now)

    async def _mind(self) -> None:
        await self._find()
        while True:
            try:
                while self._asked:
                    await self._note(self._asked[0])
                    self._asked.popleft()
                for document in await self._ledger.due_documents(CARE, self._clock.now()):
                    await self._act_on(document)
                self._alarm.set(await self._ledger.next_due(CARE))
            except StepwellError as error:
                _log.warning("questions are not minded at the moment: %s", error)
                self._alarm.set(self._clock.now() + 30_000_000)
            await self._rung.wait()
            self._rung.clear()

    async def _act_on(self, document: Document) -> None:
        """Act; a question whose settings cannot be used is minded no more, and keeps nobody from the others."""
        try:
            await self._act(document)
        except StepwellError:
            raise
        except Exception:
            _log.exception("nobody can be reminded of the question %s", document.key)
            care = msgspec.structs.replace(read_care(document), remind_at=None, escalate_at=None)
            await self._settle(care_written(document.key, care, document, self._clock.now()), ())

    async def _act(self, document: Document) -> None:
        execution, _, step = document.key.partition("/")
        now, care = self._clock.now(), read_care(document)
        try:
            question = await self._approvals.question(execution, step)
        except (NotFound, Conflict):  # it asks no more
            await self._settle(Write(kind=CARE, key=document.key, body=None, expected=document.revision), ())
            return
        raw = await self._approvals.settings(execution, step)
        entries: list[JournalEntry] = []
        if care.escalate_at is not None and care.escalate_at <= now:
            care, told = self._escalated(care, raw["escalation"]), raw["escalation"]
            entries.append(await self._tell(document, question, told, care.escalated, "escalated"))
        if care.remind_at is not None and care.remind_at <= now:
            every = raw["reminder"].get("every")
            again = now + max(parse_duration(every), SHORTEST) if every is not None else None
            care = msgspec.structs.replace(care, remind_at=again, reminded=care.reminded + 1)
            people = (care.claimed_by,) if care.claimed_by else tuple(map(str, question["assigned_to"] or ()))
            entries.append(await self._tell(document, question, raw["reminder"], people, "reminded"))
        await self._settle(care_written(document.key, care, document, now), entries)

    def _escalated(self, care: Care, escalation: dict[str, Any]) -> Care:
        to = escalation["to"]
        people = tuple(str(each) for each in (to if isinstance(to, list) else [to]))
        return msgspec.structs.replace(care, escalated=(*care.escalated, *people), escalate_at=None, claimed_by=None)

    async def _tell(
        self, document: Document, question: dict[str, Any], said: dict[str, Any], people: Sequence[str], what: str
    ) -> JournalEntry:
        execution, step = question["execution_id"], question["step"]
        deliveries = await self._people.tell(
            f"approval:{document.key}:{document.revision}",
            title=f"{question['workflow']}: a question waits",
            message=f"{question['prompt']}\n{question['respond']}",
            channels=said.get("channels"),
            recipients=people,
            priority="high" if what == "escalated" else "normal",
        )
        body = {"what": what, "step": step, "people": list(people), "deliveries": deliveries}
        return JournalEntry(kind=JOURNAL, subject=execution, at=self._clock.now(), body=json.dumps(body))

    async def _settle(self, write: Write, entries: Sequence[JournalEntry]) -> None:
        """Somebody else may have been quicker: then he has told people, too, under the same key."""
        with suppress(Conflict):
            await self._ledger.write([write], self._clock.now(), entries=entries)


def _later(asked: int, settings: Any, key: str) -> int | None:
    try:
        return asked + parse_duration(settings[key]) if isinstance(settings, dict) else None
    except (KeyError, ValueError):
        return None
