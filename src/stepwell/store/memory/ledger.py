"""Documents and the journal, in memory."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from stepwell.ports.ledger import Chain, Document, JournalEntry, JournalQuery, JournalRow, Write
from stepwell.store.cursors import check_limit
from stepwell.store.ledger_rules import carried_on, check_question, lowered, rewritten


class Documents:
    """The documents of a store. See `ports.Ledger`."""

    def __init__(self) -> None:
        self._kinds: dict[str, dict[str, Document]] = {}
        self._deleted: dict[str, int] = {}  # of each kind the highest revision that was deleted

    def write(self, writes: Sequence[Write], now: int) -> Sequence[int]:
        """Make all the changes, or none; the revisions."""
        changed: dict[tuple[str, str], Document | None] = {}
        deleted, revisions = dict(self._deleted), []
        for write in writes:
            place = write.kind, write.key
            known = changed[place] if place in changed else self.get(*place)
            after = changed[place] = rewritten(write, known, deleted.get(write.kind, 0), now)
            if after is None and known is not None:
                deleted[write.kind] = max(known.revision, deleted.get(write.kind, 0))
            last = after or known
            revisions.append(last.revision if last is not None else 0)
        self._deleted = deleted
        for (kind, key), document in changed.items():
            self._put(kind, key, document)
        return revisions

    def get(self, kind: str, key: str) -> Document | None:
        """See `ports.Ledger.document`."""
        check_question(kind, key)
        return self._kinds.get(kind, {}).get(key)

    def listed(self, kind: str, prefix: str, after: str, limit: int) -> Sequence[Document]:
        """See `ports.Ledger.documents`."""
        check_limit(limit, "documents")
        check_question(kind, prefix, after)
        of_kind = self._kinds.get(kind, {})
        keys = sorted(key for key in of_kind if key > after and key.startswith(prefix))
        return [of_kind[key] for key in keys[:limit]]

    def due(self, kind: str, now: int, limit: int) -> Sequence[Document]:
        """See `ports.Ledger.due_documents`."""
        check_limit(limit, "documents")
        due = [(each.due_at, key) for key, each in self._kinds.get(kind, {}).items() if _is_due(each, now)]
        return [self._kinds[kind][key] for _, key in sorted(due)[:limit]]

    def next_due(self, kind: str) -> int | None:
        """See `ports.Ledger.next_due`."""
        of_kind = self._kinds.get(kind, {}).values()
        return min((each.due_at for each in of_kind if each.due_at is not None), default=None)

    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._kinds.values()))

    def count_of(self, kind: str) -> int:
        """How many there are of a kind."""
        return len(self._kinds.get(kind, {}))

    def _put(self, kind: str, key: str, document: Document | None) -> None:
        if document is not None:
            self._kinds.setdefault(kind, {})[key] = document
        else:
            self._kinds.get(kind, {}).pop(key, None)


class Journal:
    """The journal of a store. See `ports.Ledger`."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[JournalRow]] = {}
        self._chains: dict[str, Chain] = {}
        self._so_far = 0

    def note(self, entries: Sequence[JournalEntry]) -> None:
        """Add the entries, in order."""
        for entry in entries:
            self._so_far += 1
            chain = None
            if entry.chained:
                chain = self._chains[entry.kind] = carried_on(self._chains.get(entry.kind), entry, self._so_far)
            row = JournalRow(
                number=self._so_far,
                kind=entry.kind,
                subject=entry.subject,
                at=entry.at,
                body=entry.body,
                hash=chain.hash if chain is not None else None,
            )
            self._kinds.setdefault(entry.kind, []).append(row)

    def find(self, query: JournalQuery) -> Sequence[JournalRow]:
        """See `ports.Ledger.journal`."""
        check_limit(query.limit, "journal entries")
        check_question(query.kind, query.subject, query.text)
        rows = self._kinds.get(query.kind, [])
        later = rows[bisect_right(rows, query.after, key=lambda row: row.number) :]
        text = lowered(query.text) if query.text is not None else None
        found = [row for row in later if _is_wanted(row, query, text)]
        return (found[::-1] if query.newest_first else found)[: query.limit]

    def forget(self, kind: str, before: int) -> int:
        """See `ports.Ledger.forget_journal`."""
        rows = self._kinds.get(kind, [])
        kept = [row for row in rows if row.at >= before or row.hash is not None]
        self._kinds[kind] = kept
        return len(rows) - len(kept)

    def chains(self) -> Sequence[Chain]:
        """See `ports.Ledger.chains`."""
        return [chain for _, chain in sorted(self._chains.items())]

    def count(self) -> int:
        """How many entries there are."""
        return sum(map(len, self._kinds.values()))


def _is_due(document: Document, now: int) -> bool:
    return document.due_at is not None and document.due_at <= now


def _is_wanted(row: JournalRow, query: JournalQuery, text: str | None) -> bool:
    return (
        (query.subject is None or row.subject == query.subject)
        and (query.before is None or row.number < query.before)
        and (query.since is None or row.at >= query.since)
        and (query.until is None or row.at < query.until)
        and (text is None or text in lowered(row.body))
    )
