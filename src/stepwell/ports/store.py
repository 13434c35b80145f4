"""The contract of a store: the only place where executions are kept.

All instants and durations are integers of microseconds. Every method that reads or writes may raise `StoreError` (or
what it names); after an error nothing of the call was written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

from stepwell.execution.event import Event
from stepwell.ports.ledger import JournalEntry, Ledger, Write
from stepwell.ports.listings import DeadLetterPage, DeadLetterQuery, ExecutionQuery, Page, WaitPage
from stepwell.ports.records import (
    Attendance,
    Batch,
    DeadLetter,
    Discarded,
    HistoryRow,
    InboxItem,
    KeptResult,
    Lease,
    Lifecycle,
    Lock,
    Presence,
    Published,
    Registered,
    Registration,
    StoredDefinition,
    StoredExecution,
    StoreStatus,
)
from stepwell.ports.tallies import Tallies


class Store(Ledger, Tallies, Protocol):
    """Keeps definitions, executions, waits, events and ownership.

    `append` is the only write of executions. Reads by key are quick enough for the event loop; lists are done elsewhere
    (a reader thread, another connection) and may be slow.
    """

    async def open(self, *, migrate: bool = True) -> None:
        """Connect, and bring the schema up to date when `migrate` (see there for stores that are shared).

        Raises:
            StoreError: not reachable, not a stepwell store, read-only, written by a newer version (code
                `store-too-new`), or older than this version and `migrate` is False (code `store-outdated`).
        """
        ...

    async def migrate(self) -> None:
        """Make the store when it is not there, and bring its schema up to date; it is not open then.

        For a store that engines on several machines share this is the only way: `open` makes a new one, and refuses one
        that is outdated, for the engines that use it would be left behind.

        Raises:
            StoreError: as `open` has it.
        """
        await self.open(migrate=True)
        await self.close()

    @property
    def outage(self) -> str | None:
        """What keeps the store from being reached at this moment, where that is known; None when nothing does. Calls
        take as long as it lasts."""
        return None

    @property
    def away_for(self) -> float:
        """For how many seconds the store could not be reached; 0 when it can be, as far as is known."""
        return 0.0

    def hasten(self) -> None:
        """The process is about to end: from now on an outage is not sat out for long."""
        return

    async def close(self) -> None:
        """Finish what was appended, give up all leases, disconnect. May be called twice."""
        ...

    # Ownership

    async def acquire(self, shard: int | None, owner: str, now: int, ttl: int, *, behind: int = 0) -> Lease:
        """Own a shard, under a fencing number higher than any before; None asks for a shard without unfinished
        executions and requests to start some (inbox items of kind `start`), made when there is none.

        Args:
            behind: with None, the lowest number that the shard may have: those below are shared out among nodes.

        Raises:
            Conflict: (code `shard-owned`) its owner is alive: the lease has neither expired nor been released, and its
                process is not known to be gone.
        """
        ...

    async def renew(self, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
        """The leases, prolonged.

        Raises:
            FenceLost: one of them was taken over. Its `shards` are those that were.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give the shards up; leases that were lost are ignored."""
        ...

    async def attend(self, presence: Presence, leases: Sequence[Lease], now: int, ttl: int) -> Attendance:
        """A node says that it is there: until `now + ttl` it counts as alive, and all its leases are prolonged that are
        still its own. What it learns is as of the same transaction. One statement, made every few seconds by each node.

        Nodes whose time has run out, or whose process is known to be gone, do not count and may be forgotten. Listeners
        of the other nodes (`listen_to_nodes`) are called when this one was not alive before, or leaves now.

        Args:
            leases: what the node believes to own.
        """
        ...

    async def claim(self, shards: Sequence[int], owner: str, now: int, ttl: int) -> Sequence[Lease]:
        """Own, as `acquire` does, those of these shards that have no living owner; the others are left out. In order of
        number, in one transaction."""
        ...

    async def depart(self, name: str) -> None:
        """The node of this name is there no more, and what it owned has no owner. Listeners of other nodes are called.
        Nothing happens when there is none."""
        ...

    def listen_to_nodes(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop, soon after another node came or went, or gave shards up (`release`): there
        may be something to claim. A call may be missing; nobody may rely on one."""
        ...

    # Executions

    async def append(self, batch: Batch) -> bool:
        """Write the batch in one transaction, durably: when this returns, it survives a power cut.

        Sets `handle.key` of every created execution. For every wait begun, the stored events that it could want and
        that were received since its `since` are put into its shard's inbox (kind `early_event`) in the same
        transaction, so that no crash can come between. True when anything was put into an inbox so, or as follows.

        Locks are granted in the order in which they were asked for: while fewer hold a lock than the first in line
        allows, it gets the lock, and an item `lock_granted` is put into its shard's inbox, once, in this transaction.
        What a batch takes and gives back is granted to nobody in between. Who is refused (see `LockRequest`) is told
        in the same way, with an item `lock_refused`. Who is to make room for another gets one item `tell`, with
        `["cancel", "stepwell", "replaced by ..."]` as MessagePack, in the transaction in which the other asks; whoever
        comes then does not have him told again.

        Raises:
            FenceLost: fences are no longer their shards'; `shards` names those. DuplicateStart: a start key is taken.
            StoreError: it could not be written (disk full, read-only, unreachable). In every case nothing was written.
        """
        ...

    async def load(self, execution: str) -> StoredExecution | None:
        """The execution with its latest snapshot and the history after it."""
        ...

    async def history(self, execution: str, after: int = 0, limit: int = 1_000) -> Sequence[HistoryRow]:
        """Rows whose `seq` is greater than `after`, in order; empty when there are none or no such execution."""
        ...

    async def children(self, execution: str) -> Sequence[str]:
        """The executions that steps of this one started as sub-workflows, oldest first."""
        ...

    async def find_start(self, start_key: str) -> str | None:
        """The id of the execution that was started with this key."""
        ...

    async def hot(self, shard: int) -> Sequence[str]:
        """Executions of the shard with work in flight, oldest first: what a new owner must load."""
        ...

    async def unfinished(self, shard: int) -> int:
        """How many executions of the shard have not ended."""
        ...

    async def shards(self) -> Sequence[int]:
        """The shards that hold executions which have not ended, or have work in flight all the same, or in whose inbox
        something asks for a start or for the compensation of one that has ended, in order."""
        ...

    async def due(self, shards: Collection[int], now: int, limit: int) -> Sequence[str]:
        """Parked executions of the shards whose `wake_at` has come, the longest due first."""
        ...

    async def next_wake(self, shards: Collection[int]) -> int | None:
        """The earliest `wake_at` of the shards."""
        ...

    async def list(self, query: ExecutionQuery) -> Page:
        """A page of executions, newest first.

        Raises:
            UsageError: the cursor is not one that a list returned.
        """
        ...

    # Dead letters and locks

    async def dead_letters(self, query: DeadLetterQuery) -> DeadLetterPage:
        """A page of dead letters, newest first.

        Raises:
            UsageError: the cursor is not one that a list returned.
        """
        ...

    async def dead_letter(self, id_: str) -> DeadLetter | None:
        """The dead letter with this id, discarded or not."""
        ...

    async def discard_dead_letter(self, id_: str, discarded: Discarded) -> bool:
        """Note that nothing is to be done about it, and forget its input. False when there is none with this id, or it
        was discarded before."""
        ...

    async def locks(self, name: str | None = None) -> Sequence[Lock]:
        """Who holds locks, and who stands in line; of each lock in the order in which they asked."""
        ...

    # The cache of results

    async def kept_result(self, key: str, now: int) -> KeptResult | None:
        """The result under this key, unless it has expired."""
        ...

    async def forget_results(self, now: int) -> int:
        """Delete the results that have expired. Returns how many."""
        ...

    # Events and the inbox

    async def waiting(
        self,
        event_type: str,
        *,
        namespaces: Sequence[str] | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> WaitPage:
        """A page of the steps that wait for events of this type, those of the oldest executions first.

        Args:
            namespaces: those of the workflows; None means any.

        Raises:
            UsageError: the cursor is not one that a list returned.
        """
        ...

    async def publish(
        self,
        event: Event,
        now: int,
        keep_until: int,
        posts: Sequence[InboxItem] = (),
        entries: Sequence[JournalEntry] = (),
        writes: Sequence[Write] = (),
    ) -> Published:
        """Store the event (once per source and id) and put it into the inbox of every waiting step's shard.

        Durable when it returns. Every wait that was appended before, and could match, gets it; one that is appended
        after gets it then.

        Args:
            posts: put into inboxes in the same transaction, unless the event is a duplicate. Those for `ANYWHERE` go to
                a shard with a living owner, if there is one.
            entries: noted in the journal in the same transaction, unless the event is a duplicate.
            writes: of documents, in the same transaction, unless the event is a duplicate.

        Raises:
            Conflict: (code `changed-meanwhile`) as `write` has it of the documents; nothing was stored.
            UsageError: as `write` has it of the entries and documents.
        """
        ...

    async def forget_events(self, now: int) -> int:
        """Delete events whose keeping time has passed and that no execution could want any more: it would have to be
        unfinished, and created before the event was received. Returns how many."""
        ...

    async def post(self, items: Sequence[InboxItem]) -> None:
        """Put items into inboxes, durably, and wake the owners."""
        ...

    async def inbox(self, shard: int, after: int = 0, limit: int = 1_000) -> Sequence[InboxItem]:
        """Items not yet consumed, with an id greater than `after`, in order."""
        ...

    async def inboxes(self, after: Mapping[int, int], limit: int = 1_000) -> Sequence[InboxItem]:
        """Items not yet consumed of several shards, each with an id greater than the number given for its shard; in
        order of id."""
        ...

    def listen(self, callback: Callable[[], None], inbox: int | None = None) -> bool:
        """Call `callback` on the event loop whenever somebody else may have put something into an owned inbox.

        Args:
            inbox: the number, below `ANYWHERE`, of an inbox that belongs to no shard: call when something may have been
                put there, and not for owned ones.

        Returns:
            Whether a call always comes; where one may be missing, one has to look now and then.
        """
        ...

    # Definitions

    async def put_definition(self, definition: StoredDefinition) -> None:
        """Store the definition under its digest; nothing happens when it is there."""
        ...

    async def definition(self, digest: str) -> StoredDefinition | None:
        """The definition with this digest."""
        ...

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
        """Store the definition under its digest, and under its name and version for ever. A version that is there
        already, with the same content, stays as it is.

        Raises:
            Conflict: (code `version-exists`) the version is there with other content.
        """
        ...

    async def registered(self, name: str, version: str | None = None) -> Registration | None:
        """The version of this name; without a version its default: the one that was chosen, else the newest active one
        by semantic version, else the newest deprecated one."""
        ...

    async def registrations(
        self, *, name: str | None = None, tag: str | None = None, lifecycle: Lifecycle | None = None
    ) -> Sequence[Registration]:
        """What is registered, by name, the newest version of each first. None means any."""
        ...

    async def registry_mark(self) -> Any:
        """Equal to what it was, as long as nothing that is registered has changed; cheaper than reading it."""
        return await self.registrations()

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
        """Move a version on in its life. Nothing happens when it is there already. A retired version is no longer its
        name's chosen default.

        Args:
            expected: the version as it was read; None when it does not matter what it is now.

        Raises:
            NotFound: (code `unknown-version`) it is not registered. Conflict: (code `illegal-lifecycle`) it cannot move
            there from where it is (`store.lifecycle`); (code `changed-meanwhile`) it is not as expected.
        """
        ...

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
        """Choose the version that the name alone means.

        Args:
            expected: the version as it was read; None when it does not matter what it is now.

        Raises:
            NotFound: (code `unknown-version`) it is not registered. Conflict: (code `version-draft`, `version-retired`)
            it must not be started; (code `changed-meanwhile`) it is not as expected.
        """
        ...

    # Care

    async def status(self) -> StoreStatus:
        """Figures about the store; works on an outdated schema too."""
        ...

    async def owners(self) -> Sequence[Mapping[str, Any]]:
        """Who owns which shard, as `status` says it; of an open store, and without counting anything."""
        return (await self.status()).owners

    async def check(self) -> Sequence[str]:
        """What is wrong with the store itself (damaged pages, broken references), one sentence each; empty is well."""
        ...

    async def executions_after(self, key: int, limit: int) -> Sequence[StoredExecution]:
        """For verification: executions in order of key, each with its latest snapshot and its whole history."""
        ...
