"""Writing a batch of changes: the one write that has to be quick.

Most batches are one statement, which is a transaction by itself: one way to the server and back, whatever they hold.
Only where waits begin, locks are asked for or given back, or something rare is done, several are needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from stepwell.base.errors import StoreError
from stepwell.ports.records import Batch, Change, DuplicateStart, Handle, InboxItem, Lease, Summary, Wait
from stepwell.store.postgres import (
    dead_letters as postgres_dead_letters,
)
from stepwell.store.postgres import (
    locks as postgres_locks,
)
from stepwell.store.postgres import (
    results as postgres_results,
)
from stepwell.store.postgres.advisory import hold, lock_key
from stepwell.store.postgres.database import Connection
from stepwell.store.postgres.inbox import inbox_columns, lock_inboxes, lock_keys, post_locked
from stepwell.store.postgres.readers import Readers
from stepwell.store.postgres.shards import fence_lost
from stepwell.store.postgres.statements import SQL, columns
from stepwell.store.postgres.texts import digest_of, kept
from stepwell.store.postgres.writer import Mark, Writer

_KEYS_AT_ONCE: Final = 1_000
"""How many keys of executions a number of the sequence stands for."""
_BUCKETS: Final = 64
"""Waits and events of one type wait for each other in so many groups: a server can hold only so many locks."""
_rare_of: Final = attrgetter(
    "waits_begun",
    "dead_letters",
    "dead_letters_resolved",
    "locks_taken",
    "locks_released",
    "locks_released_all",
    "moved_to",
    "results_kept",
)
"""What takes more than one statement. Every change is asked, so it is asked at once and not one after another."""
_encode_texts: Final = msgspec.json.Encoder().encode


class Appended(NamedTuple):
    """What became of a batch: the answer of `ports.Store.append`, and the shards whose owners are to be woken."""

    posted: bool
    shards: Collection[int]


class _Filed(NamedTuple):
    """What a wait is found by."""

    type_digest: bytes
    key: int
    execution: int
    step_digest: bytes


class _Rows(NamedTuple):
    """A batch as it is written: of each table the columns, and what takes statements of its own.

    Attributes:
        new: the keys of new executions.
        keys: those of all.
    """

    history: Sequence[Sequence[Any]]
    others: Sequence[Sequence[Any]]
    only_history: bool
    new: Mapping[Handle, int]
    keys: Mapping[Handle, int]
    begun: Mapping[_Filed, Wait]
    rare: Sequence[Change]
    posts: Sequence[InboxItem]


class Appender:
    """Appends under the fences of the shards that its writer owns.

    Whether they still are its own is not asked of each shard: whoever takes one of them raises the epoch of the writer,
    and one that finds its epoch changed looks again which are left to it.
    """

    def __init__(self, writer: Writer, readers: Readers) -> None:
        self._writer = writer
        self._readers = readers
        self._epoch = -1
        self._fences: dict[int, int] = {}
        self._keys: list[range] = []

    async def writer(self) -> int:
        """The number of the writer, for whom shards are acquired."""
        return await self._writer.id()

    def own(self, leases: Iterable[Lease]) -> None:
        """These shards were acquired for the writer."""
        self._fences |= {lease.shard: lease.fence for lease in leases}

    def give_up(self, shards: Iterable[int]) -> None:
        """These shards are to be written no more."""
        for shard in shards:
            self._fences.pop(shard, None)

    async def append(self, batch: Batch) -> Appended:
        """See `ports.Store.append`."""
        await self._check_fences(batch.fences)
        _check_shards(batch)
        rows = await self._rows(batch)
        try:
            while (appended := await self._try(batch, rows)) is None:
                await self._look_again()
        except asyncpg.UniqueViolationError as error:
            raise await self._contradiction(batch, error) from error
        for handle, key in rows.new.items():
            handle.key = key
        return appended

    async def _try(self, batch: Batch, rows: _Rows) -> Appended | None:
        """None when the writer's epoch was another one, and nothing was written."""
        await self._check_fences(batch.fences)
        epoch = self._epoch
        known = Appended(False, {item.shard for item in rows.posts})

        async def alone(connection: Connection, mark: Mark) -> Appended | None:
            is_written = await _write(connection, mark, epoch, rows, rows.posts)
            return known if is_written or await _is_committed(connection, mark) else None

        async def several(connection: Connection, mark: Mark) -> Appended | None:
            nonlocal known
            await connection.execute("BEGIN")
            names = await postgres_locks.names_of(connection, rows.rare, rows.keys)
            await hold(connection, [*_wait_locks(rows.begun.values()), *postgres_locks.lock_keys(names)])
            if not await _write(connection, mark, epoch, rows, ()):
                is_committed = await _is_committed(connection, mark)
                await connection.execute("ROLLBACK")
                return known if is_committed else None
            known = await _write_more(connection, rows, names)
            await connection.execute("COMMIT")
            return known

        return await self._writer.run_alone(several if rows.begun or rows.rare else alone, lambda: known)

    async def _check_fences(self, fences: Mapping[int, int]) -> None:
        """Raises: FenceLost: some of them are not the writer's own."""
        if self._epoch < 0 or not fences.items() <= self._fences.items():
            await self._look_again()
            if lost := dict(fences.items() - self._fences.items()):
                raise fence_lost(dict(sorted(lost.items())))

    async def _look_again(self) -> None:
        """Which shards the writer owns, and since which epoch that has not changed."""
        writer = await self._writer.id()
        rows = await self._readers.run(lambda connection: connection.fetch(SQL["fences"], writer))
        if not rows:
            raise StoreError(
                "the database does not know this process any more: it was restored or replaced while it was in use",
                code="store-gone",
                hint="stop every engine that uses it, and start again",
            )
        self._epoch = rows[0][0]
        self._fences = {shard: fence for _, shard, fence in rows if shard is not None}

    # What is written

    async def _rows(self, batch: Batch) -> _Rows:
        changes = batch.changes
        if rows := _only_history(batch):
            return rows
        new = await self._new_keys([change.handle for change in changes if change.create is not None])
        keys = {change.handle: _key(change.handle, new) for change in changes}
        summaries = {change.handle: change.summary for change in changes if change.summary is not None}
        created = [_execution_row(change, new[change.handle], summaries) for change in changes if change.create]
        updated = [
            (keys[handle], *_summary_values(summary)) for handle, summary in summaries.items() if handle not in new
        ]
        history = [(keys[change.handle], change.seq, change.events) for change in changes if change.events]
        snapshots = {
            keys[change.handle]: (change.seq, change.snapshot) for change in changes if change.snapshot is not None
        }
        waits = _waits(changes, keys)
        others = (
            *_columns(created, 18),
            *_columns(updated, 7),
            *_columns([(key, *snapshot) for key, snapshot in snapshots.items()], 3),
            *_columns([filed for filed, wait in waits.items() if wait is None], 4),
            batch.consumed,
        )
        return _Rows(
            history=_columns(history, 3),
            others=others,
            only_history=False,
            new=new,
            keys=keys,
            begun={filed: wait for filed, wait in waits.items() if wait is not None},
            rare=[change for change in changes if any(_rare_of(change))],
            posts=batch.posts,
        )

    async def _new_keys(self, handles: Sequence[Handle]) -> Mapping[Handle, int]:
        """A key for each new execution, in order."""
        missing = len(handles) - sum(map(len, self._keys))
        if missing > 0:
            blocks = -(-missing // _KEYS_AT_ONCE)
            rows = await self._readers.run(lambda connection: connection.fetch(SQL["new_keys"], blocks))
            self._keys += [range(first, first + _KEYS_AT_ONCE) for (first,) in rows]
        keys: dict[Handle, int] = {}
        for handle in handles:
            first, *rest = self._keys
            keys[handle] = first[0]
            self._keys = [first[1:], *rest] if len(first) > 1 else rest
        return keys

    async def _contradiction(self, batch: Batch, error: asyncpg.UniqueViolationError) -> Exception:
        """Why the schema refused the batch."""
        seen = set[str]()
        for change in batch.changes:
            start_key = change.create.start_key if change.create is not None else None
            if start_key is None:
                continue
            if start_key in seen or await self._is_taken(start_key):
                return DuplicateStart(start_key)
            seen.add(start_key)
        return StoreError(
            f"the batch contradicts what is stored: {error}",
            code="store-conflict",
            hint="an execution or a history row is there already; fencing should prevent it, so please report this",
        )

    async def _is_taken(self, start_key: str) -> bool:
        found = await self._readers.run(lambda connection: find_start(connection, start_key))
        return found is not None


async def find_start(connection: Connection, start_key: str) -> str | None:
    """See `ports.Store.find_start`."""
    found: str | None = await connection.fetchval(SQL["find_start"], digest_of(start_key))
    return found


def wait_lock(event_type: str, key: int) -> int:
    """What waits with this match key and events that they could want must not do at the same time."""
    return lock_key("wait", event_type, key % _BUCKETS)


async def _write(connection: Connection, mark: Mark, epoch: int, rows: _Rows, posts: Sequence[InboxItem]) -> bool:
    """Write what one statement can write; whether the epoch was right, without which it writes nothing."""
    if rows.only_history:
        done = await connection.fetchval(SQL["append_history"], *mark, epoch, *rows.history)
    else:
        posted = (lock_keys({item.shard for item in posts}), *inbox_columns(posts))
        done = await connection.fetchval(SQL["append"], *mark, epoch, *rows.history, *rows.others, *posted)
    return bool(done)


async def _is_committed(connection: Connection, mark: Mark) -> bool:
    """Whether an earlier try was committed, before the epoch changed; then there is nothing left to do."""
    return bool(await connection.fetchval(SQL["is_committed"], *mark))


async def _write_more(connection: Connection, rows: _Rows, names: Collection[str]) -> Appended:
    """What takes statements of its own; the last of them put things into inboxes."""
    early = await _begin_waits(connection, rows.begun) if rows.begun else []
    moves = {_key(change.handle, rows.keys): change.moved_to for change in rows.rare if change.moved_to is not None}
    if moves:
        moved = [(key, to.version, to.digest) for key, to in moves.items()]
        await connection.execute(SQL["move_to_versions"], *columns(moved))
    await postgres_dead_letters.apply(connection, rows.rare)
    await postgres_results.apply(connection, rows.rare)
    told = await postgres_locks.apply(connection, rows.rare, rows.keys, names) if names else ()
    posts = [*told, *rows.posts]
    shards = {item.shard for item in posts} | {shard for shard, *_ in early}
    if shards:
        await lock_inboxes(connection, shards)
    if early:
        await connection.execute(SQL["post_events"], "early_event", *columns(early))
    await post_locked(connection, posts)
    return Appended(bool(early or told), {item.shard for item in posts})


async def _begin_waits(connection: Connection, begun: Mapping[_Filed, Wait]) -> Sequence[Sequence[Any]]:
    """File the waits; shard, execution, step and event of each that came before."""
    await connection.execute(SQL["begin_waits"], *columns([(*filed, kept(wait.step)) for filed, wait in begun.items()]))
    wanted = [
        (filed.type_digest, filed.key, filed.execution, kept(wait.step), wait.since) for filed, wait in begun.items()
    ]
    return list(await connection.fetch(SQL["early_events"], *columns(wanted)))


def _wait_locks(waits: Iterable[Wait]) -> set[int]:
    return {wait_lock(wait.event_type, wait.key) for wait in waits}


def _check_shards(batch: Batch) -> None:
    fences = batch.fences
    for change in batch.changes:
        if change.handle.shard not in fences:
            raise StoreError(
                f"execution {change.handle.id} is of shard {change.handle.shard}, for which no lease was given",
                code="store-conflict",
            )


def _only_history(batch: Batch) -> _Rows | None:
    """The batch when it is nothing but history rows, as most are while executions are at work."""
    if batch.consumed or batch.posts:
        return None
    keys: list[int] = []
    for change in batch.changes:
        key = change.handle.key
        if (
            key is None
            or not change.events
            or change.summary is not None
            or change.snapshot is not None
            or change.waits_ended
            or any(_rare_of(change))
        ):
            return None
        keys.append(key)
    history = (keys, [change.seq for change in batch.changes], [change.events for change in batch.changes])
    return _Rows(history, (), only_history=True, new={}, keys={}, begun={}, rare=(), posts=())


def _waits(changes: Sequence[Change], keys: Mapping[Handle, int]) -> dict[_Filed, Wait | None]:
    """What becomes of each wait: it begins, or (None) it ends. Only the last word of the batch counts."""
    waits: dict[_Filed, Wait | None] = {}
    for change in changes:
        for wait in change.waits_ended:
            waits[_filed(wait, keys[change.handle])] = None
        for wait in change.waits_begun:
            waits[_filed(wait, keys[change.handle])] = wait
    return waits


def _filed(wait: Wait, execution: int) -> _Filed:
    return _Filed(digest_of(wait.event_type), wait.key, execution, digest_of(wait.step))


def _execution_row(change: Change, key: int, summaries: Mapping[Handle, Summary]) -> tuple[Any, ...]:
    created, handle = change.create, change.handle
    assert created is not None, "only new executions get a row"
    return (
        key,
        handle.id,
        handle.shard,
        created.workflow,
        created.version,
        created.digest,
        created.created_at,
        kept(created.start_key),
        digest_of(created.start_key) if created.start_key is not None else None,
        _encode_texts([kept(tag) for tag in created.tags]).decode() if created.tags else None,
        kept(created.parent),
        kept(created.forked_from),
        *_summary_values(summaries[handle]),
    )


def _summary_values(summary: Summary) -> tuple[Any, ...]:
    return (
        summary.status,
        summary.hot,
        summary.wake_at,
        summary.started_at,
        summary.finished_at,
        kept(summary.error),
    )


def _key(handle: Handle, new: Mapping[Handle, int]) -> int:
    key = handle.key if handle.key is not None else new.get(handle)
    if key is None:
        raise StoreError(f"execution {handle.id} was never created", code="store-conflict")
    return key


def _columns(rows: Sequence[Sequence[Any]], width: int) -> Sequence[Sequence[Any]]:
    return columns(rows) if rows else ((),) * width
