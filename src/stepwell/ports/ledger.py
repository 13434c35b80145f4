"""What a server keeps beside executions: documents, which change, and a journal, which only grows.

Schedules, API keys, subscriptions and the like are documents of a kind. They are small, and each change of them is one
compare-and-set transaction that may also ask for starts and be journalled: what fires a schedule moves it on, asks for
the execution and notes the firing, or does nothing of it. So two nodes that find it due fire it once.

All instants are integers of microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

import msgspec

from stepwell.ports.records import InboxItem

ANNOUNCED: Final = frozenset({"policy", "service", "schedule", "subscription", "registration"})
"""The kinds of documents whose changes others may be told of (`Ledger.listen_to_documents`): few are made of these, and
every node goes by them. `registration` stands for what is registered under names."""

DEAD_EVENT: Final = "dead-event"
"""The kind of the documents that are dead letters too: `Tallies.census` and `Store.status` count them among those."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A document as it is kept.

    Attributes:
        kind: what it is: `schedule`, `api-key`, ...
        key: unique within its kind. Neither is empty or contains NUL.
        revision: rises with every change: by 1, from 1 on, but it may begin higher when a document of the kind was
            deleted before. So it is never given twice for one key, also when it was deleted in between.
        body: as whoever wrote it encoded it.
        due_at: when something is to be done about it; None for never.
        updated_at: when it was last changed.
    """

    kind: str
    key: str
    revision: int
    body: bytes
    due_at: int | None = None
    updated_at: int


class Write(msgspec.Struct, frozen=True, kw_only=True):
    """A change of a document, or a new one. All of it is replaced, `due_at` too.

    Attributes:
        body: None deletes it.
        due_at: not for one that is deleted.
        expected: the revision that it must have: 0 when it must not be there, None when that does not matter.
    """

    kind: str
    key: str
    body: bytes | None
    due_at: int | None = None
    expected: int | None = None


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """Something to be noted for ever, or until its kind is forgotten.

    Attributes:
        kind: what it tells of: `audit`, `log`, `firing`, `delivery`, ...
        subject: what it is about: the id of an execution, the key of a document, nothing. Without NUL, as `kind` is.
        body: text, JSON as a rule; it is searched as it stands.
        chained: it carries on the chain of its kind: see `link`.
    """

    kind: str
    subject: str
    at: int
    body: str
    chained: bool = False


class JournalRow(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is kept.

    Attributes:
        number: rising in the order in which entries were noted, over all kinds, and never given twice.
        hash: of a chained entry, what `base.chain.link` gives for it and the chained entry of its kind before it.
    """

    number: int
    kind: str
    subject: str
    at: int
    body: str
    hash: bytes | None = None


class JournalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What to read of a journal. None means any.

    Attributes:
        after, before: numbers, both excluded.
        since, until: instants; `since` included, `until` excluded.
        text: contained in the body, letters of either case alike (of ASCII letters).
        newest_first: otherwise in order of number.
    """

    kind: str
    subject: str | None = None
    after: int = 0
    before: int | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None
    newest_first: bool = False
    limit: int = 100


class Chain(msgspec.Struct, frozen=True, kw_only=True):
    """Where the chain of a kind ends. Kept apart from its entries, so that a missing end is found out.

    Attributes:
        length: how many chained entries of the kind there are.
        number, hash: of the last of them.
    """

    kind: str
    length: int
    number: int
    hash: bytes


class FeedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row of history as it was committed.

    Attributes:
        number: rising in the order of commits, over all executions. Whoever has read up to a number, and reads on from
            there, misses nothing.
        seq: of the last event in it.
        events: as the codec encoded them.
    """

    number: int
    execution: str
    workflow: str
    seq: int
    events: bytes


class Ledger(Protocol):
    """The part of a store that keeps documents and the journal, and tells what was committed."""

    async def write(
        self,
        writes: Sequence[Write],
        now: int,
        *,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
    ) -> Sequence[int]:
        """Change documents, put items into inboxes and note entries, in one transaction; durable when it returns.

        Items for `ANYWHERE` go to a shard with a living owner, if there is one, as `Store.publish` has it.

        Several writes of one document take effect one after another. Deleting what is not there does nothing.

        Returns:
            The revision that each document has after its write, in the order of `writes`; of a deleted one the last
            that it had, 0 when it was not there.

        Raises:
            Conflict: (code `changed-meanwhile`) a document has another revision than expected, is there though it must
                not be, or is not there though it must; nothing was written.
            UsageError: (code `invalid-text`) a kind or key is empty; a kind, key or subject contains NUL; a text is not
                Unicode.
        """
        ...

    async def document(self, kind: str, key: str) -> Document | None:
        """The document, if it is there. Quick enough for the event loop."""
        ...

    async def documents(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = 1_000
    ) -> Sequence[Document]:
        """Documents of a kind whose key begins with `prefix` and is greater than `after`, in order of key (by code
        points).

        Raises:
            UsageError: the limit is not positive; so for all that take one.
        """
        ...

    async def due_documents(self, kind: str, now: int, limit: int = 100) -> Sequence[Document]:
        """Documents of a kind whose `due_at` has come, the longest due first, then by key. Quick enough for the event
        loop."""
        ...

    async def next_due(self, kind: str) -> int | None:
        """The earliest `due_at` of a kind; None when nothing is ever due. Quick enough for the event loop."""
        ...

    def listen_to_documents(self, kinds: Collection[str], callback: Callable[[], None]) -> bool:
        """Call `callback` on the event loop, soon after documents of these kinds were changed, here or elsewhere.

        Args:
            kinds: of `ANNOUNCED`.

        Returns:
            Whether calls come. A call may be missing all the same; where none come, one has to look often.
        """
        return False

    async def journal(self, query: JournalQuery) -> Sequence[JournalRow]:
        """What was noted. May be slow."""
        ...

    async def forget_journal(self, kind: str, before: int) -> int:
        """Delete the entries of a kind that were noted at an instant before `before`, but for chained ones. Returns how
        many."""
        ...

    async def chains(self) -> Sequence[Chain]:
        """Where the chain of each kind ends, by kind. What must be between its beginning and its end follows from
        `base.chain`: an entry that was changed, dropped or added is found by reading the journal once."""
        ...

    async def feed(self, after: int, limit: int = 1_000) -> Sequence[FeedRow]:
        """What was committed after the row with that number, of all executions, in order. No row is ever
        deleted. Quick enough for the event loop when the limit is low."""
        ...

    async def feed_end(self) -> int:
        """The number of the last row that was committed; 0 when there is none."""
        ...
