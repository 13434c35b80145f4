"""Reminds people of questions that wait for them, and lets others answer when they do not.

What is due stands in the document about a question, so it outlasts the process, and of several servers on a store one
does it: it notes that it has begun, tells people, and notes that it has. One that is gone in between leaves it to
another, which tells them again, under the same key.

A question that is asked is noted by the server whose engine asks. What a crash kept from being noted is looked for by a
server that opens the store; in a cluster by the one that leads, also whenever another is gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

import msgspec

from stepwell.app.approval_care import CARE, Care, care_key, care_written, read_care
from stepwell.app.approvals import Approvals
from stepwell.app.telling import People
from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, SECOND, parse_duration
from stepwell.base.errors import Conflict, NotFound, StepwellError, StoreError
from stepwell.base.instants import from_rfc3339
from stepwell.base.values import masked
from stepwell.definition.model import WorkflowDefinition
from stepwell.engine.alarm import Alarm
from stepwell.execution.codec import UNREADABLE
from stepwell.execution.history import ApprovalRequested, HistoryEvent
from stepwell.ports.ledger import Document, JournalEntry, Ledger, Write
from stepwell.ports.work import Observer

JOURNAL: Final = "approval"
"""The kind of journal entries about reminders and escalations; the subject is the execution."""
SHORTEST: Final = MINUTE
"""Nobody is reminded more often, whatever an expression gives."""
LOOK_EVERY: Final = MINUTE
"""Between two looks at what other servers have noted."""
COUNT_EVERY: Final = 5 * SECOND
"""Between two looks at who leads and who is gone, which ask nobody."""
TOLD_WITHIN: Final = 2 * MINUTE
"""So long a server has to tell people, once it has begun."""
AGAIN_AFTER: Final = 30 * SECOND
"""After something went wrong."""
_MINDED: Final = frozenset({"reminder", "escalation"})
_TRIES: Final = 10
_log = logging.getLogger(__name__)


class _Asked(NamedTuple):
    """A question that was asked at an instant, and is to be minded."""

    key: str
    at: int
    question: Mapping[str, Any]


class _Due(NamedTuple):
    """What people are to be told.

    Attributes:
        what: `escalated` or `reminded`.
        at: when that was due.
        said: the setting that wants it.
        again: when it is due the next time; None for never.
    """

    what: str
    at: int
    said: Mapping[str, Any]
    people: Sequence[str]
    again: int | None

    def settled(self, care: Care) -> Care:
        """What is noted once they were told; nothing else if somebody else has settled it."""
        if self.what == "escalated":
            if care.escalate_at != self.at:
                return care
            escalated = (*care.escalated, *self.people)
            return msgspec.structs.replace(care, escalated=escalated, escalate_at=None, claimed_by=None)
        if care.remind_at != self.at:
            return care
        return msgspec.structs.replace(care, remind_at=self.again, reminded=care.reminded + 1)


class ApprovalMinder(Observer):
    """Notes what is to be minded, and acts when it is due.

    Args:
        leads: whether this server is the one that looks for what was not noted; of several on a store one is.
        nodes: the names of the servers that share the store, this one among them.
    """

    def __init__(
        self,
        ledger: Ledger,
        approvals: Approvals,
        people: People,
        clock: Clock,
        leads: Callable[[], bool] = lambda: True,
        nodes: Callable[[], Collection[str]] = tuple,
    ) -> None:
        self._ledger = ledger
        self._approvals = approvals
        self._people = people
        self._clock = clock
        self._leads = leads
        self._nodes = nodes
        self._found_with: frozenset[str] | None = None
        self._rung = asyncio.Event()
        self._asked: deque[_Asked] = deque()
        self._alarm = Alarm(clock, self._rung.set)
        self._minding: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ApprovalMinder]:
        """Mind, as long as this lasts."""
        self._minding = asyncio.create_task(self._mind(), name="stepwell questions")
        try:
            yield self
        finally:
            self._alarm.clear()
            self._minding.cancel()
            await asyncio.gather(self._minding, return_exceptions=True)

    def problem(self) -> str | None:
        """Why nobody is reminded of questions; None when people are."""
        return "nobody minds questions" if self._minding is None or self._minding.done() else None

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None:
        for event in events:
            if type(event) is ApprovalRequested and _MINDED & event.question.keys():
                self._asked.append(_Asked(care_key(execution, event.step), event.at, masked(event.question)))
                self._rung.set()

    async def _mind(self) -> None:
        looks_at = 0
        while True:
            now = self._clock.now()
            try:
                await self._find_what_was_left()
                has_new = await self._note_all()
                if has_new or now >= looks_at:
                    looks_at = await self._act_on_due(now)
            except StepwellError as error:
                _log.warning("questions are not minded at the moment: %s", error)
                looks_at = now + AGAIN_AFTER
            self._alarm.set(min(looks_at, now + COUNT_EVERY))
            await self._rung.wait()
            self._rung.clear()

    # What is to be minded

    async def _find_what_was_left(self) -> None:
        """Find what was asked when nobody minded it: when this server begins to lead, and when another is gone."""
        if not self._leads():
            self._found_with = None
            return
        nodes = frozenset(self._nodes())
        if self._found_with is None or self._found_with - nodes:
            await self._find()
        self._found_with = nodes

    async def _find(self) -> None:
        cursor: str | None = None
        while True:
            page = await self._approvals.list(limit=1_000, cursor=cursor)
            for item in page["items"]:
                execution, step = item["execution_id"], item["step"]
                question = await self._settings(execution, step)
                if question is not None and _MINDED & question.keys() and item["since"] is not None:
                    self._asked.append(_Asked(care_key(execution, step), from_rfc3339(item["since"]), question))
            cursor = page["next"]
            if cursor is None:
                return

    async def _settings(self, execution: str, step: str) -> Mapping[str, Any] | None:
        """What is asked; None when it is not asked any more."""
        try:
            return await self._approvals.settings(execution, step)
        except (NotFound, Conflict):
            return None

    async def _note_all(self) -> bool:
        """Note what was asked; whether there was anything."""
        has_new = bool(self._asked)
        while self._asked:
            await self._note(self._asked[0])
            self._asked.popleft()
        return has_new

    async def _note(self, asked: _Asked) -> None:
        """Note when something is due about a question, unless that was done before."""

        def noted(care: Care) -> Care:
            if care.minded:
                return care
            return msgspec.structs.replace(
                care,
                minded=True,
                remind_at=_later(asked.at, asked.question.get("reminder"), "after"),
                escalate_at=_later(asked.at, asked.question.get("escalation"), "after"),
            )

        await self._change(asked.key, noted)

    # What is due

    async def _act_on_due(self, now: int) -> int:
        """Do what is due; when to look again."""
        passed: set[tuple[str, int]] = set()
        while True:
            due = await self._ledger.due_documents(CARE, self._clock.now())
            todo = [each for each in due if (each.key, each.revision) not in passed]
            if not todo:
                break
            for document in todo:
                passed.add((document.key, document.revision))
                await self._act_on(document)
        wake = await self._ledger.next_due(CARE)
        if wake is None:
            return now + LOOK_EVERY
        return min(wake, now + LOOK_EVERY) if wake > now else now + AGAIN_AFTER

    async def _act_on(self, document: Document) -> None:
        """Act; a question whose settings cannot be used is minded no more, and keeps nobody from the others."""
        try:
            await self._act(document)
        except msgspec.MsgspecError as error:  # written by a newer version
            _log.error("what is noted about the question %s cannot be read: %s", document.key, error)
        except StepwellError as error:
            if not (isinstance(error, StoreError) and error.code in UNREADABLE):
                raise
            await self._give_up(document, error)
        except Exception as error:
            await self._give_up(document, error)

    async def _give_up(self, document: Document, error: Exception) -> None:
        _log.error("nobody can be reminded of the question %s", document.key, exc_info=error)

        def unminded(care: Care) -> Care:
            return msgspec.structs.replace(care, remind_at=None, escalate_at=None, telling_until=None)

        await self._change(document.key, unminded)

    async def _act(self, document: Document) -> None:
        execution, _, step = document.key.partition("/")
        try:
            question = await self._approvals.question(execution, step)
            raw = await self._approvals.settings(execution, step)
        except (NotFound, Conflict):  # it asks no more
            await self._forget(document)
            return
        due = list(_due(read_care(document), question, raw, self._clock.now()))
        until = await self._begun(document)
        if until is None:
            return
        entries: list[JournalEntry] = []
        for each in due:
            if self._clock.now() >= until:  # it stood still meanwhile: another server has told them
                return
            entries.append(await self._tell(document.key, question, each))

        def settled(care: Care) -> Care:
            for each in due:
                care = each.settled(care)
            return msgspec.structs.replace(care, telling_until=None) if care.telling_until == until else care

        await self._change(document.key, settled, entries)

    async def _begun(self, document: Document) -> int | None:
        """Until when it is on this server to tell people; None when another was quicker, or something has changed."""
        now = self._clock.now()
        until = now + TOLD_WITHIN
        care = msgspec.structs.replace(read_care(document), telling_until=until)
        try:
            await self._ledger.write([care_written(document.key, care, document, now)], now)
        except Conflict:
            return None
        return until

    async def _tell(self, key: str, question: dict[str, Any], due: _Due) -> JournalEntry:
        deliveries = await self._people.tell(
            f"approval:{key}:{due.what}:{due.at}",
            title=f"{question['workflow']}: a question waits",
            message=f"{question['prompt']}\n{question['respond']}",
            channels=due.said.get("channels"),
            recipients=due.people,
            priority="high" if due.what == "escalated" else "normal",
        )
        body = {"what": due.what, "step": question["step"], "people": list(due.people), "deliveries": deliveries}
        subject = question["execution_id"]
        return JournalEntry(kind=JOURNAL, subject=subject, at=self._clock.now(), body=json.dumps(body))

    # Documents

    async def _forget(self, document: Document) -> None:
        gone = Write(kind=CARE, key=document.key, body=None, expected=document.revision)
        try:
            await self._ledger.write([gone], self._clock.now())
        except Conflict:
            _log.debug("what is noted about %s was changed, or forgotten, by another", document.key)

    async def _change(self, key: str, change: Callable[[Care], Care], entries: Sequence[JournalEntry] = ()) -> None:
        """Change what is noted about a question, whoever else does at this moment; and write down the entries.

        Raises:
            Conflict: others change it all the time. StoreError: the store cannot be used.
        """
        for _ in range(_TRIES):
            document = await self._ledger.document(CARE, key)
            care = read_care(document)
            changed, now = change(care), self._clock.now()
            writes = [care_written(key, changed, document, now)] if changed != care else []
            try:
                if writes or entries:
                    await self._ledger.write(writes, now, entries=entries)
            except Conflict:
                continue  # what did he leave?
            return
        raise Conflict(f"what is noted about {key} changes all the time", code="changed-meanwhile")


def _due(care: Care, question: Mapping[str, Any], raw: Mapping[str, Any], now: int) -> Sequence[_Due]:
    """What is due about a question.

    Args:
        raw: its settings.

    Raises:
        ValueError, KeyError: they cannot be used.
    """
    due: list[_Due] = []
    people = tuple(map(str, question["assigned_to"] or ()))
    if care.escalate_at is not None and care.escalate_at <= now:
        to = raw["escalation"]["to"]
        others = tuple(str(each) for each in (to if isinstance(to, list) else [to]))
        due.append(_Due("escalated", care.escalate_at, raw["escalation"], others, None))
    if care.remind_at is not None and care.remind_at <= now:
        every = raw["reminder"].get("every")
        again = now + max(parse_duration(every), SHORTEST) if every is not None else None
        has_it = care.claimed_by if not due else None  # an escalation takes it from whoever has it
        due.append(_Due("reminded", care.remind_at, raw["reminder"], (has_it,) if has_it else people, again))
    return due


def _later(asked: int, settings: Any, key: str) -> int | None:
    try:
        return asked + parse_duration(settings[key]) if isinstance(settings, dict) else None
    except (KeyError, ValueError):
        return None
