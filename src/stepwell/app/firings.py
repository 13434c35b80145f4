"""What triggers made of events and times, noted for people: every start, and what was filtered or refused.

What starts something is always noted, in the transaction that asks for the start. What does not could come a thousand
times a second, so of one trigger at most `MOST_PER_MINUTE` of a kind are noted by a process; those left out are
counted, and the next one that is noted says how many they were.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from stepwell.app.triggers import Firing, Kind, Outcome
from stepwell.base.durations import MINUTE
from stepwell.base.instants import to_rfc3339
from stepwell.ports.ledger import JournalEntry, JournalQuery, JournalRow, Ledger

FIRING: Final = "firing"
"""The kind of journal entry."""

MOST_PER_MINUTE: Final = 20
_LOOKED_AT: Final = 2_000
"""So many entries are looked at for one page."""


class Firings:
    """The firings of a store. `counts` counts since this was made; `list` reads what is noted."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._counts: Counter[tuple[str, int, Outcome]] = Counter()
        self._noted: dict[tuple[str, int, Outcome], _Allowance] = {}

    def entries(
        self, kind: Kind, firings: Sequence[Firing], now: int, about: Mapping[str, Any]
    ) -> Sequence[JournalEntry]:
        """What is to be noted of firings.

        Args:
            kind: of the triggers.
            about: what they fired for: the event, or the schedule and the time that was due.
        """
        return list(self._entries(kind, firings, now, about))

    def count(self, firings: Sequence[Firing]) -> None:
        """Count what the triggers made of something that was accepted."""
        self._counts.update((each.workflow, each.trigger, each.outcome) for each in firings)

    def counts(self) -> list[dict[str, Any]]:
        """How often the triggers of each workflow fired, were filtered and so on, since this was made."""
        found: dict[tuple[str, int], dict[str, Any]] = {}
        for (workflow, trigger, outcome), count in sorted(self._counts.items()):
            line = found.setdefault(
                (workflow, trigger),
                {"workflow": workflow, "trigger": trigger, "started": 0, "present": 0, "filtered": 0, "refused": 0},
            )
            line[outcome] = count
        return list(found.values())

    async def list(
        self,
        *,
        workflow: str | None = None,
        outcome: str | None = None,
        schedule: str | None = None,
        sees: Callable[[str], bool] = lambda workflow: True,
        limit: int = 50,
        before: int | None = None,
    ) -> dict[str, Any]:
        """A page of firings, newest first: `{"items": [...], "next": number or None}`.

        Args:
            sees: whether the reader may see those of a workflow.
            before: go on where a page ended: its `next`.
        """
        items: list[dict[str, Any]] = []
        looked_at = 0
        while len(items) < limit and looked_at < _LOOKED_AT:
            query = JournalQuery(
                kind=FIRING, subject=workflow, before=before, text=_text_of(outcome, schedule), newest_first=True
            )
            rows = await self._ledger.journal(query)
            for row in rows:
                before, looked_at = row.number, looked_at + 1
                report = _report(row)
                if sees(row.subject) and _is(report, outcome, schedule):
                    items.append(report)
                if len(items) == limit:
                    break
            else:
                if len(rows) < query.limit:
                    return {"items": items, "next": None}
        return {"items": items, "next": before}

    def _entries(
        self, kind: Kind, firings: Sequence[Firing], now: int, about: Mapping[str, Any]
    ) -> Iterator[JournalEntry]:
        for firing in firings:
            unnoted: int | None = 0
            if firing.outcome in ("filtered", "refused"):
                place = firing.workflow, firing.trigger, firing.outcome
                unnoted = self._noted.setdefault(place, _Allowance()).take(now)
            if unnoted is not None:
                yield JournalEntry(
                    kind=FIRING, subject=firing.workflow, at=now, body=_body(kind, firing, about, unnoted)
                )


class _Allowance:
    """How many more may be noted in this minute, and how many were left out."""

    def __init__(self) -> None:
        self._minute = 0
        self._noted = 0
        self._left_out = 0

    def take(self, now: int) -> int | None:
        """How many were left out before this one; None when this one is left out too."""
        if now // MINUTE != self._minute:
            self._minute, self._noted = now // MINUTE, 0
        if self._noted >= MOST_PER_MINUTE:
            self._left_out += 1
            return None
        self._noted += 1
        left_out, self._left_out = self._left_out, 0
        return left_out


def _body(kind: Kind, firing: Firing, about: Mapping[str, Any], unnoted: int) -> str:
    body = {
        "workflow": firing.workflow,
        "version": firing.version,
        "trigger": firing.trigger,
        "kind": kind,
        "outcome": firing.outcome,
        "execution_id": firing.execution_id,
        "reason": firing.reason,
        **about,
        "unnoted": unnoted,
    }
    return json.dumps(body, separators=(",", ":"))


def _report(row: JournalRow) -> dict[str, Any]:
    return {"number": row.number, "at": to_rfc3339(row.at), **json.loads(row.body)}


def _text_of(outcome: str | None, schedule: str | None) -> str | None:
    """A text that the wanted entries contain."""
    if schedule is not None:
        return f'"schedule":{json.dumps(schedule)}'
    return f'"outcome":{json.dumps(outcome)}' if outcome is not None else None


def _is(report: Mapping[str, Any], outcome: str | None, schedule: str | None) -> bool:
    return (outcome is None or report["outcome"] == outcome) and (
        schedule is None or report.get("schedule") == schedule
    )
