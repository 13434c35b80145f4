"""The PostgreSQL store but for executions at work: lists, dead letters, results, definitions, documents, the journal,
the feed, counting and care."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from stepwell.ports.ledger import ANNOUNCED, Chain, Document, FeedRow, JournalEntry, JournalQuery, JournalRow, Write
from stepwell.ports.listings import DeadLetterPage, DeadLetterQuery, ExecutionQuery, Page, WaitPage
from stepwell.ports.records import (
    DeadLetter,
    Deed,
    Discarded,
    InboxItem,
    KeptResult,
    Lifecycle,
    Registered,
    Registration,
    StoredDefinition,
    StoredExecution,
    StoreStatus,
)
from stepwell.ports.tallies import Census, Ended, EndedQuery
from stepwell.store.lifecycle import found, wanted
from stepwell.store.postgres import (
    care as postgres_care,
)
from stepwell.store.postgres import (
    dead_letters as postgres_dead_letters,
)
from stepwell.store.postgres import (
    ledger as postgres_ledger,
)
from stepwell.store.postgres import (
    lists as postgres_lists,
)
from stepwell.store.postgres import (
    registry as postgres_registry,
)
from stepwell.store.postgres import (
    results as postgres_results,
)
from stepwell.store.postgres import (
    tallies as postgres_tallies,
)
from stepwell.store.postgres.core import RECONNECT, PostgresCore
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.errors import translated
from stepwell.store.postgres.feed import Feed, shift_numbers
from stepwell.store.postgres.writer import end

_Result = TypeVar("_Result")


class PostgresKept(PostgresCore):
    """See `ports.Store`, part of whose contract this is. `status` and `check` also work before `open`."""

    def __init__(self, url: str, *, reconnect: int = RECONNECT, outlasts: bool = False) -> None:
        super().__init__(url, reconnect=reconnect, outlasts=outlasts)
        self._feed = Feed()

    async def _on_connected(self, connection: Connection) -> None:
        await super()._on_connected(connection)
        await shift_numbers(connection)

    # ── Lists ────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def list(self, query: ExecutionQuery) -> Page:
        return await self._read(lambda connection: postgres_lists.page(connection, query))

    async def waiting(
        self,
        event_type: str,
        *,
        namespaces: Sequence[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> WaitPage:
        return await self._read(
            lambda connection: postgres_lists.waiting(connection, event_type, namespaces, limit, cursor)
        )

    # ── Dead letters ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        return await self._read(lambda connection: postgres_dead_letters.page(connection, query))

    async def dead_letter(self, id_: str) -> DeadLetter | None:
        return await self._read(lambda connection: postgres_dead_letters.dead_letter(connection, id_))

    async def discard_dead_letter(self, id_: str, discarded: Discarded) -> bool:
        return await self._write(lambda connection: postgres_dead_letters.discard(connection, id_, discarded))

    # ── The cache of results ─────────────────────────────────────────────────────────────────────────────────────────

    async def kept_result(self, key: str, now: int) -> KeptResult | None:
        return await self._read(lambda connection: postgres_results.kept_result(connection, key, now))

    async def forget_results(self, now: int) -> int:
        return await self._in_parts(
            lambda connection: postgres_results.forget(connection, now), postgres_results.FORGET_AT_ONCE
        )

    # ── Definitions ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def put_definition(self, definition: StoredDefinition) -> None:
        await self._write(lambda connection: postgres_registry.put_definition(connection, definition))

    async def definition(self, digest: str) -> StoredDefinition | None:
        return await self._read(lambda connection: postgres_registry.definition(connection, digest))

    async def register(
        self,
        definition: StoredDefinition,
        *,
        tags: Sequence[str],
        lifecycle: Literal["draft", "active"],
        at: int,
        by: str,
        reason: str | None = None,
    ) -> Registered:
        deed = Deed(what=lifecycle, at=at, by=by, reason=reason)
        registered = await self._write(
            lambda connection: postgres_registry.register(connection, definition, tags, deed, lifecycle)
        )
        self._announce(["registration"])
        return registered

    async def registered(self, name: str, version: str | None = None) -> Registration | None:
        return found(await self._read(lambda connection: postgres_registry.versions(connection, name)), version)

    async def registrations(
        self, *, name: str | None = None, tag: str | None = None, lifecycle: Lifecycle | None = None
    ) -> Sequence[Registration]:
        return wanted(await self._read(postgres_registry.everything), name, tag, lifecycle)

    async def registry_mark(self) -> Any:
        return await self._read(postgres_registry.mark)

    async def set_lifecycle(
        self,
        name: str,
        version: str,
        to: Lifecycle,
        *,
        at: int,
        by: str,
        reason: str | None = None,
        expected: Registration | None = None,
    ) -> Registration:
        deed = Deed(what=to, at=at, by=by, reason=reason)
        moved = await self._write(
            lambda connection: postgres_registry.set_lifecycle(connection, name, version, to, deed, expected)
        )
        self._announce(["registration"])
        return moved

    async def set_default(
        self,
        name: str,
        version: str,
        *,
        at: int,
        by: str,
        reason: str | None = None,
        expected: Registration | None = None,
    ) -> Registration:
        deed = Deed(what="default", at=at, by=by, reason=reason)
        chosen = await self._write(
            lambda connection: postgres_registry.set_default(connection, name, version, deed, expected)
        )
        self._announce(["registration"])
        return chosen

    # ── What is kept beside executions ───────────────────────────────────────────────────────────────────────────────

    async def write(
        self,
        writes: Sequence[Write],
        now: int,
        *,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
    ) -> Sequence[int]:
        written = await self._write(lambda connection: postgres_ledger.write(connection, writes, now, posts, entries))
        self._ring(written.shards)
        self._announce(write.kind for write in writes)
        return written.revisions

    async def document(self, kind: str, key: str) -> Document | None:
        return await self._read(lambda connection: postgres_ledger.document(connection, kind, key))

    async def documents(
        self, kind: str, *, prefix: str = "", after: str = "", limit: int = 1_000
    ) -> Sequence[Document]:
        return await self._read(lambda connection: postgres_ledger.documents(connection, kind, prefix, after, limit))

    async def due_documents(self, kind: str, now: int, limit: int = 100) -> Sequence[Document]:
        return await self._read(lambda connection: postgres_ledger.due_documents(connection, kind, now, limit))

    async def next_due(self, kind: str) -> int | None:
        return await self._read(lambda connection: postgres_ledger.next_due(connection, kind))

    def listen_to_documents(self, kinds: Collection[str], callback: Callable[[], None]) -> bool:
        self._bell.listen_to_documents(kinds, callback)
        if self._is_open:
            self._bell.begin()
        return True

    async def journal(self, query: JournalQuery) -> Sequence[JournalRow]:
        return await self._read(lambda connection: postgres_ledger.journal(connection, query))

    async def forget_journal(self, kind: str, before: int) -> int:
        return await self._in_parts(
            lambda connection: postgres_ledger.forget_journal(connection, kind, before), postgres_ledger.FORGET_AT_ONCE
        )

    async def chains(self) -> Sequence[Chain]:
        return await self._read(postgres_ledger.chains)

    async def feed(self, after: int, limit: int = 1_000) -> Sequence[FeedRow]:
        return await self._read(lambda connection: self._feed.after(connection, after, limit))

    async def feed_end(self) -> int:
        return await self._read(self._feed.end)

    # ── Counting and care ────────────────────────────────────────────────────────────────────────────────────────────

    async def census(self) -> Census:
        return await self._read(postgres_tallies.census)

    async def ended(self, query: EndedQuery) -> Sequence[Ended]:
        return await self._read(lambda connection: postgres_tallies.ended(connection, query))

    async def durations(self, query: EndedQuery, parts: Sequence[float]) -> Sequence[int | None]:
        return await self._read(lambda connection: postgres_tallies.durations(connection, query, parts))

    async def status(self) -> StoreStatus:
        return await self._aside(lambda connection: postgres_care.status(connection, self._database))

    async def owners(self) -> Sequence[Mapping[str, Any]]:
        return await self._read(postgres_care.owners)

    async def check(self) -> Sequence[str]:
        return await self._aside(lambda connection: postgres_care.check(connection, self._database))

    async def executions_after(self, key: int, limit: int) -> Sequence[StoredExecution]:
        return await self._read(lambda connection: postgres_lists.executions_after(connection, key, limit))

    def _announce(self, kinds: Iterable[str]) -> None:
        """Tell those who listen to documents of these kinds."""
        if changed := ANNOUNCED.intersection(kinds):
            self._bell.ring_documents(changed)

    async def _aside(self, work: Callable[[Connection], Awaitable[_Result]]) -> _Result:
        """What `work` gives, on a connection of its own, whether the store is open or not."""
        connection = await self._link.first()
        try:
            with translated(self.location):
                return await work(connection)
        finally:
            await end(connection)

    async def _in_parts(self, forget: Callable[[Connection], Awaitable[int]], at_once: int) -> int:
        """Delete until there is less than could be deleted in one transaction; returns how many."""
        forgotten = 0
        while True:
            count = await self._write(forget)
            forgotten += count
            if count < at_once:
                return forgotten
