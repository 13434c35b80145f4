"""The audit log: who did what, to what, with which outcome. Chained, so that changing it later is found out.

It never holds a value that somebody sent: only names, ids and outcomes.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

import msgspec

from stepwell.app.access import Caller, Proof
from stepwell.app.who import this_user
from stepwell.base.errors import UsageError
from stepwell.base.instants import to_rfc3339
from stepwell.ports.ledger import JournalEntry, JournalQuery, JournalRow, Ledger

KIND: Final = "audit"
LONGEST: Final = 200
"""Of a name that comes from outside, in characters."""

Outcome = Literal["done", "refused", "failed"]
"""`refused`: the caller may not, or asked for what makes no sense. `failed`: the server could not."""


class Doer(msgspec.Struct, frozen=True, kw_only=True):
    """Who does something, and from where.

    Attributes:
        address: the network address that the request came from.
        request: the id of the request.
    """

    name: str
    proof: Proof = "none"
    id: str = ""
    address: str = ""
    request: str = ""


class Act(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an entry says. `on` names what it was done to, as `execution:ID` or `api-key:ID`."""

    what: str
    on: str = ""
    outcome: Outcome = "done"
    who: str
    proof: Proof = "none"
    id: str = ""
    address: str = ""
    request: str = ""
    status: int | None = None
    detail: dict[str, Any] | None = None


def doer_of(caller: Caller, address: str = "", request: str = "") -> Doer:
    """A caller of the server, as the log names it."""
    return Doer(name=caller.name, proof=caller.proof, id=caller.id, address=address, request=request)


def local_doer() -> Doer:
    """Who uses the command line on a store."""
    return Doer(name=this_user(), proof="system")


def act_entry(
    doer: Doer,
    what: str,
    on: str,
    at: int,
    *,
    outcome: Outcome = "done",
    status: int | None = None,
    detail: dict[str, Any] | None = None,
) -> JournalEntry:
    """The entry for the journal. `detail` holds no value that somebody sent."""
    act = Act(
        what=what,
        on=_safe(on),
        outcome=outcome,
        who=_safe(doer.name),
        proof=doer.proof,
        id=_safe(doer.id),
        address=doer.address,
        request=_safe(doer.request),
        status=status,
        detail=detail,
    )
    body = msgspec.json.encode(act).decode()
    return JournalEntry(kind=KIND, subject=act.on, at=at, body=body, chained=True)


def _safe(text: str) -> str:
    """A name from outside: of bounded length, on one line, and Unicode text."""
    shown = "".join(each if each.isprintable() else "�" for each in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[: LONGEST - 1] + "…"


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list, newest first. None means any.

    Attributes:
        on: exactly, such as `execution:ID`.
        what: what it begins with.
        since, until: instants; `since` included, `until` excluded.
    """

    who: str | None = None
    what: str | None = None
    on: str | None = None
    outcome: Outcome | None = None
    since: int | None = None
    until: int | None = None
    limit: int = 50
    cursor: str | None = None


class Audit:
    """The audit log of a store. Entries that are noted at the same time share a transaction."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: list[tuple[JournalEntry, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def note(self, entry: JournalEntry) -> None:
        """Add an entry; it is durable when this returns.

        Raises:
            StoreError: it could not be written.
        """
        noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, noted))
        if self._writer is None:
            self._writer = asyncio.create_task(self._write(), name="audit log")
        await noted

    async def close(self) -> None:
        """Wait until everything is written."""
        if self._writer is not None:
            await self._writer

    async def list(self, query: AuditQuery) -> dict[str, Any]:
        """A page of entries, newest first: `{"items": [...], "next": cursor or null}`.

        Raises:
            UsageError: (code `invalid-cursor`) the cursor is not one that a list returned.
        """
        items: list[dict[str, Any]] = []
        before = _number_of(query.cursor)
        while True:
            rows = await self._ledger.journal(_journal_query(query, before))
            for row in rows:
                if _is_wanted(act := _act_of(row), query):
                    if len(items) == query.limit:
                        return {"items": items, "next": str(before)}
                    items.append(_report(row, act))
                before = row.number
            if len(rows) < _BATCH:
                return {"items": items, "next": None}

    async def _write(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            try:
                await self._ledger.write([], waiting[0][0].at, entries=[entry for entry, _ in waiting])
            except Exception as error:  # whoever waits is told
                for _, noted in waiting:
                    if not noted.done():
                        noted.set_exception(error)
            else:
                for _, noted in waiting:
                    if not noted.done():
                        noted.set_result(None)
        self._writer = None


_BATCH: Final = 500


def _journal_query(query: AuditQuery, before: int | None) -> JournalQuery:
    who = f'"who":{msgspec.json.encode(_safe(query.who)).decode()}' if query.who is not None else None
    what = f'"what":{msgspec.json.encode(query.what).decode()[:-1]}' if query.what is not None else None
    return JournalQuery(
        kind=KIND,
        subject=query.on,
        before=before,
        since=query.since,
        until=query.until,
        text=who or what,
        newest_first=True,
        limit=_BATCH,
    )


def _is_wanted(act: Act, query: AuditQuery) -> bool:
    return (
        (query.who is None or act.who == _safe(query.who))
        and (query.what is None or act.what.startswith(query.what))
        and (query.outcome is None or act.outcome == query.outcome)
    )


def _act_of(row: JournalRow) -> Act:
    try:
        return msgspec.json.decode(row.body, type=Act)
    except msgspec.ValidationError:  # a later version noted it
        return Act(what="unknown", who="unknown", detail={"body": row.body})


def _report(row: JournalRow, act: Act) -> dict[str, Any]:
    return {
        "number": row.number,
        "at": to_rfc3339(row.at),
        "who": act.who,
        "proof": act.proof,
        "id": act.id or None,
        "what": act.what,
        "on": act.on or None,
        "outcome": act.outcome,
        "status": act.status,
        "address": act.address or None,
        "request": act.request or None,
        "detail": act.detail,
    }


def _number_of(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    if not (cursor.isascii() and cursor.isdigit() and len(cursor) <= 18):
        raise UsageError("the cursor is not one that a list returned", code="invalid-cursor")
    return int(cursor)


class Refusals:
    """Notes what did not prove who called: so many of an address and so many in all within a minute, and of the rest
    how many there were. So a flood of them does not fill the store.

    Args:
        of_address, in_all: the most that are noted within a minute.
    """

    def __init__(self, audit: Audit, of_address: int = 10, in_all: int = 100) -> None:
        self._audit = audit
        self._of_address = of_address
        self._in_all = in_all
        self._minute = 0
        self._noted: dict[str, int] = {}
        self._unnoted = 0

    async def note(self, what: str, code: str, address: str, request: str, at: int) -> None:
        """Note that a request was refused, or count it.

        Args:
            code: of the error.
        """
        minute = at // 60_000_000
        if minute != self._minute:
            self._minute, self._noted = minute, {}
        of_address = self._noted.get(address, 0)
        if of_address >= self._of_address or sum(self._noted.values()) >= self._in_all:
            self._unnoted += 1
            return
        self._noted[address] = of_address + 1
        detail: dict[str, Any] = {"code": code}
        if self._unnoted:
            detail["not_noted_before"], self._unnoted = self._unnoted, 0
        doer = Doer(name="unknown", address=address, request=request)
        await self._audit.note(act_entry(doer, what, "", at, outcome="refused", status=401, detail=detail))
