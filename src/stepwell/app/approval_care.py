"""What people do about a question before it is answered: somebody claims it, or hands it on; and links that answer it.

Who may answer stands in the history of the execution, with the question. That somebody answers for one of those,
because the question was handed on to him or nobody answered in time, stands here; the answer says for whom it is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from stepwell.app.access import Forbidden
from stepwell.app.approvals import Approvals
from stepwell.base.clock import Clock
from stepwell.base.durations import DAY
from stepwell.base.errors import Conflict, NotFound, StoreError
from stepwell.base.instants import to_rfc3339
from stepwell.base.namespaces import namespace_of
from stepwell.base.values import Sealed
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.ports.ledger import Document, Ledger, Write

CARE: Final = "approval"
"""The kind of document; its key is `{execution}/{step}`."""
LOOKED_AT_AFTER: Final = 30 * DAY
"""What was noted about a question is looked at again after so long, and forgotten when that asks no more."""
MOST_LOOKED_AT: Final = 2_000
"""Questions that are looked at for a page of those that are wanted."""
_TRIES: Final = 10


class Handed(msgspec.Struct, frozen=True, kw_only=True):
    """A question that was handed on: `to` may answer in the place of `of`."""

    to: str
    of: str
    by: str
    at: int


class Care(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is noted about a question.

    Attributes:
        claimed_by: nobody else may answer as long as he has it.
        handed: to whom it was handed on.
        escalated: these may answer too, since nobody did in time.
        remind_at, escalate_at: when that is due next; None for never.
        reminded: how often those who are asked were reminded.
        minded: whether the two instants were set.
        telling_until: a server has begun to tell people; until then it is on that one, and then on any other.
    """

    claimed_by: str | None = None
    claimed_at: int | None = None
    handed: tuple[Handed, ...] = ()
    escalated: tuple[str, ...] = ()
    remind_at: int | None = None
    escalate_at: int | None = None
    reminded: int = 0
    minded: bool = False
    telling_until: int | None = None

    def next_at(self, now: int) -> int:
        """When something is to be done about it."""
        if self.telling_until is not None:
            return self.telling_until
        dues = [due for due in (self.remind_at, self.escalate_at) if due is not None]
        return min(dues, default=now + LOOKED_AT_AFTER)

    def report(self) -> dict[str, Any]:
        """As users see it."""
        return {
            "claimed_by": self.claimed_by,
            "claimed_at": to_rfc3339(self.claimed_at) if self.claimed_at is not None else None,
            "handed_on": [{"to": each.to, "of": each.of, "at": to_rfc3339(each.at)} for each in self.handed],
            "escalated_to": list(self.escalated),
            "reminded": self.reminded,
        }


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """What a link to answer a question says: which one, who answers, until when."""

    execution: str
    step: str
    by: str
    until: int


def care_key(execution: str, step: str) -> str:
    """The key of the document about a question."""
    return f"{execution}/{step}"


def read_care(document: Document | None) -> Care:
    """What is noted in a document; nothing when there is none."""
    return Care() if document is None else msgspec.json.decode(document.body, type=Care)


def care_written(key: str, care: Care, document: Document | None, now: int) -> Write:
    """The write that notes it, unless somebody else was quicker."""
    expected = document.revision if document is not None else 0
    return Write(kind=CARE, key=key, body=msgspec.json.encode(care), due_at=care.next_at(now), expected=expected)


class InboxQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which questions to list. None means any.

    Attributes:
        namespaces: those of the workflows.
        person: those that this person may answer.
        cursor: where a list went on.
    """

    namespaces: Sequence[str] | None = None
    workflow: str | None = None
    execution: str | None = None
    person: str | None = None
    limit: int = 50
    cursor: str | None = None


class ApprovalCare:
    """Claims, hands on and answers the questions of a store."""

    def __init__(self, ledger: Ledger, approvals: Approvals, codec: Codec, clock: Clock) -> None:
        self._ledger = ledger
        self._approvals = approvals
        self._codec = codec
        self._clock = clock

    async def inbox(self, query: InboxQuery) -> dict[str, Any]:
        """A page of the questions that wait for an answer, each with what is noted about it, those of the oldest
        executions first: `{"items": [...], "next": cursor or null}`. After many that are not wanted a page may end
        early.

        Raises:
            UsageError: the cursor is not one that a list returned.
        """
        if query.execution is not None:
            return {"items": await self._of_execution(query, query.execution), "next": None}
        items: list[dict[str, Any]] = []
        cursor, looked_at = query.cursor, 0
        while True:
            wanted = query.limit - len(items)
            page = await self._approvals.list(namespaces=query.namespaces, limit=wanted, cursor=cursor)
            items += [each for each in await self.shown(page["items"]) if _is_wanted(each, query)]
            cursor, looked_at = page["next"], looked_at + wanted
            if cursor is None or len(items) == query.limit or looked_at >= MOST_LOOKED_AT:
                return {"items": items, "next": cursor}

    async def _of_execution(self, query: InboxQuery, execution: str) -> list[dict[str, Any]]:
        try:
            asked = await self._approvals.of_execution(execution)
        except NotFound:
            return []
        return [each for each in await self.shown(asked) if _is_wanted(each, query)]

    async def shown(self, questions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The questions, each with what is noted about it."""
        shown = []
        for question in questions:
            document = await self._ledger.document(CARE, care_key(question["execution_id"], question["step"]))
            shown.append({**question, **read_care(document).report()})
        return shown

    async def claim(self, execution: str, step: str, by: str) -> dict[str, Any]:
        """Nobody else may answer from now on, until it is released. Who has it keeps it.

        Raises:
            NotFound, Conflict: as `Approvals.question`; Conflict (code `claimed`): somebody else has it. Forbidden:
            (code `not-asked`) this person may not answer.
        """

        def claimed(care: Care, question: dict[str, Any]) -> Care:
            _check_free(care, by)
            acting_for(question, care, by)
            at = care.claimed_at if care.claimed_by == by else self._clock.now()
            return msgspec.structs.replace(care, claimed_by=by, claimed_at=at)

        return await self._change(execution, step, claimed)

    async def release(self, execution: str, step: str, by: str, *, is_admin: bool) -> dict[str, Any]:
        """Others may answer again.

        Raises:
            NotFound, Conflict: as `Approvals.question`. Forbidden: (code `not-asked`) somebody else has it.
        """

        def released(care: Care, question: dict[str, Any]) -> Care:
            if care.claimed_by not in (None, by) and not is_admin:
                raise Forbidden(f"{care.claimed_by} has claimed it", code="not-asked")
            return msgspec.structs.replace(care, claimed_by=None, claimed_at=None)

        return await self._change(execution, step, released)

    async def hand_on(self, execution: str, step: str, to: str, by: str, *, is_admin: bool) -> dict[str, Any]:
        """Let `to` answer, too, in the place of who hands it on; he has it no longer if he had claimed it.

        Raises:
            NotFound, Conflict: as `Approvals.question`. Forbidden: (code `not-asked`) this person may not answer, so
            he cannot hand it on.
        """

        def handed(care: Care, question: dict[str, Any]) -> Care:
            asked = question["assigned_to"] or [by]
            of = str(asked[0]) if is_admin and by not in asked else acting_for(question, care, by) or by
            if any((each.to, each.of) == (to, of) for each in care.handed):
                return care
            kept = {"claimed_by": None, "claimed_at": None} if care.claimed_by == by else {}
            more = Handed(to=to, of=of, by=by, at=self._clock.now())
            return msgspec.structs.replace(care, handed=(*care.handed, more), **kept)

        return await self._change(execution, step, handed)

    async def answer(self, execution: str, step: str, response: Any, by: str) -> Event:
        """The event that answers the question, to be published.

        Raises:
            NotFound, Conflict, UsageError: as `Approvals.answer`; Conflict (code `claimed`): somebody else has it.
            Forbidden: (code `not-asked`) this person may not answer.
        """
        question = await self._approvals.question(execution, step)
        care = read_care(await self._ledger.document(CARE, care_key(execution, step)))
        _check_free(care, by)
        place = acting_for(question, care, by)
        return await self._approvals.answer(execution, step, response, by, self._clock.now(), acting_for=place)

    # ── Links ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def link(self, execution: str, step: str, person: str, valid_for: int) -> tuple[str, Link]:
        """A token with which whoever has it answers as this person; it is encrypted and cannot be forged.

        Raises:
            NotFound, Conflict: as `Approvals.question`. Forbidden: (code `not-asked`) this person may not answer.
        """
        question = await self._approvals.question(execution, step)
        acting_for(question, read_care(await self._ledger.document(CARE, care_key(execution, step))), person)
        link = Link(execution=execution, step=step, by=person, until=self._clock.now() + valid_for)
        sealed = self._codec.encode_value(Sealed(msgspec.to_builtins(link)))
        return base64.urlsafe_b64encode(sealed).decode().rstrip("="), link

    def read_link(self, token: str) -> Link:
        """What a token says.

        Raises:
            NotFound: (code `invalid-link`) it was not made here. Conflict: (code `link-expired`).
        """
        try:
            sealed = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
            link = msgspec.convert(self._codec.decode_value(sealed).value, Link)
        except (binascii.Error, ValueError, AttributeError, StoreError, msgspec.MsgspecError):
            raise NotFound("this link was not made here", code="invalid-link") from None
        if link.until <= self._clock.now():
            raise Conflict(f"this link was good until {to_rfc3339(link.until)}", code="link-expired")
        return link

    async def _change(self, execution: str, step: str, change: Any) -> dict[str, Any]:
        key = care_key(execution, step)
        for _ in range(_TRIES):
            question = await self._approvals.question(execution, step)
            document = await self._ledger.document(CARE, key)
            care = read_care(document)
            changed: Care = change(care, question)
            if changed != care:
                try:
                    now = self._clock.now()
                    await self._ledger.write([care_written(key, changed, document, now)], now)
                except Conflict:
                    continue  # somebody else was quicker: what does he leave?
            return {**question, **changed.report()}
        raise Conflict("the question changes all the time; try again", code="changed-meanwhile")


def acting_for(question: dict[str, Any], care: Care, by: str) -> str | None:
    """In whose place this person answers; None when he is asked himself.

    Raises:
        Forbidden: (code `not-asked`) he may not answer.
    """
    asked = [str(each) for each in question["assigned_to"] or ()]
    if not asked or by in asked:
        return None
    for each in care.handed:
        if each.to == by and each.of in asked:
            return each.of
    if by in care.escalated:
        return asked[0]
    message = f"{by or 'nobody in particular'} may not answer; it is for {', '.join(asked)}"
    raise Forbidden(message, code="not-asked", hint="one of them may hand it on")


def _is_wanted(question: dict[str, Any], query: InboxQuery) -> bool:
    workflow, person = question["workflow"], query.person
    if query.workflow is not None and workflow != query.workflow:
        return False
    if query.namespaces is not None and namespace_of(workflow) not in query.namespaces:
        return False
    if person is None or not question["assigned_to"]:
        return True
    handed = [each["to"] for each in question["handed_on"]]
    return person in (*map(str, question["assigned_to"]), *handed, *question["escalated_to"])


def _check_free(care: Care, by: str) -> None:
    if care.claimed_by not in (None, by):
        message = f"{care.claimed_by} has claimed it"
        raise Conflict(message, code="claimed", hint="it can be released, or handed on, by whoever has it")
