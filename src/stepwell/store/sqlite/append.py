"""Writing a batch: the one transaction behind `ports.Store.append`.

However many changes a batch has, each kind of row is written by a handful of statements; a change that only adds
history costs its one row.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

import apsw
import msgspec

from stepwell.base.errors import StoreError
from stepwell.ports.records import Batch, Change, DuplicateStart, Handle, InboxItem, Summary, Wait
from stepwell.store.sqlite import dead_letters as sqlite_dead_letters
from stepwell.store.sqlite import locks as sqlite_locks
from stepwell.store.sqlite import results as sqlite_results
from stepwell.store.sqlite.rows import SQL, RowStatement, select
from stepwell.store.sqlite.shards import check_fences, fence_lost
from stepwell.store.sqlite.thread import transaction

_CREATE: Final = RowStatement("create_executions")
_UPDATE: Final = RowStatement("update_summaries")
_HISTORY: Final = RowStatement("write_history")
_HISTORY_OF_SHARD: Final = RowStatement("write_history_of_shard")
_SNAPSHOTS: Final = RowStatement("write_snapshots")
_BEGIN_WAITS: Final = RowStatement("begin_waits")
_END_WAITS: Final = RowStatement("end_waits")
_POST: Final = RowStatement("post")
_CONSUME: Final = RowStatement("consume")
_MOVE: Final = RowStatement("move_to_versions")
_rare_of: Final = attrgetter(
    "dead_letters",
    "dead_letters_resolved",
    "locks_taken",
    "locks_released",
    "locks_released_all",
    "moved_to",
    "results_kept",
)
"""What few changes do. Every change is asked, so it is asked at once and not one after another."""
_encode: Final = msgspec.json.Encoder().encode


class Appended(NamedTuple):
    """What became of a batch: the answer of `ports.Store.append`, and the shards whose owners are to be woken."""

    posted: bool
    shards: Collection[int]


def only_history(batch: Batch) -> Sequence[Any] | None:
    """The values to write when those are nothing but history rows of one shard, as they are while executions are at
    work; None for every other batch.

    For the event loop: were it done in the writer's thread, the two would take the interpreter lock from each other.
    """
    fences, changes = batch.fences, batch.changes
    if len(fences) != 1 or batch.consumed or batch.posts or len(changes) > _HISTORY_OF_SHARD.largest:
        return None
    values: list[Any] = []
    for change in changes:
        handle = change.handle
        if (
            handle.key is None
            or handle.shard not in fences
            or not change.events
            or change.summary is not None
            or change.snapshot is not None
            or change.waits_begun
            or change.waits_ended
            or any(_rare_of(change))
        ):
            return None
        values += (handle.key, change.seq, change.events)
    return values


def append(connection: apsw.Connection, batch: Batch, history: Sequence[Any] | None = None) -> Appended:
    """Write the batch. See `ports.Store.append`.

    Args:
        history: what `only_history` made of it.
    """
    try:
        if history:
            _write_history(connection, batch, history)
            return Appended(False, ())
        with transaction(connection):
            created, appended = _write(connection, batch)
    except apsw.ConstraintError as error:
        raise _contradiction(connection, batch, error) from error
    for handle, key in created.items():
        handle.key = key
    return appended


def post(connection: apsw.Connection, items: Sequence[InboxItem]) -> None:
    """Put items into inboxes, within a transaction."""
    _POST.run(connection, [value for item in items for value in _inbox_row(item)])


def _write_history(connection: apsw.Connection, batch: Batch, values: Sequence[Any]) -> None:
    """With one statement, which is a transaction by itself; it writes nothing without the fence."""
    ((shard, fence),) = batch.fences.items()
    if not _HISTORY_OF_SHARD.run(connection, values, (shard, fence)):
        raise fence_lost({shard: fence})


def _write(connection: apsw.Connection, batch: Batch) -> tuple[Mapping[Handle, int], Appended]:
    _check_fences(connection, batch)
    changes = batch.changes
    summaries = {change.handle: change.summary for change in changes if change.summary is not None}
    created = _create(connection, changes, summaries)
    history: list[Any] = []
    more = []
    for change in changes:
        key = _key(change.handle, created)
        if change.events:
            history += (key, change.seq, change.events)
        if change.waits_begun or change.waits_ended or change.snapshot is not None or _is_rare(change):
            more.append(change)
    _HISTORY.run(connection, history)
    _update(connection, summaries, created)
    if batch.consumed:
        _CONSUME.run(connection, batch.consumed)
    early = bool(more) and _write_more(connection, more, created)
    told = _write_rare(connection, more, created) if more else ()
    posts = [*told, *batch.posts]
    post(connection, posts)
    return created, Appended(early or bool(told), {item.shard for item in posts})


def _is_rare(change: Change) -> bool:
    """Whether it does what few changes do."""
    return any(_rare_of(change))


def _check_fences(connection: apsw.Connection, batch: Batch) -> None:
    check_fences(connection, batch.fences)
    for change in batch.changes:
        if change.handle.shard not in batch.fences:
            raise StoreError(
                f"execution {change.handle.id} is of shard {change.handle.shard}, for which no lease was given",
                code="store-conflict",
            )


def _create(
    connection: apsw.Connection, changes: Sequence[Change], summaries: Mapping[Handle, Summary]
) -> Mapping[Handle, int]:
    """Insert the new executions; their keys. SQLite numbers the rows of a transaction one after another."""
    new = [change for change in changes if change.create is not None]
    if not new:
        return {}
    values: list[Any] = []
    for change in new:
        values += _execution_row(change, summaries[change.handle])
    _CREATE.run(connection, values)
    first = connection.last_insert_rowid() - len(new) + 1
    return {change.handle: first + place for place, change in enumerate(new)}


def _execution_row(change: Change, summary: Summary) -> tuple[Any, ...]:
    created, handle = change.create, change.handle
    assert created is not None, "only new executions get a row"
    return (
        handle.id,
        handle.shard,
        created.workflow,
        created.version,
        created.digest,
        created.created_at,
        created.start_key,
        _encode(created.tags).decode(),
        created.parent,
        created.forked_from,
        *_summary_values(summary),
    )


def _summary_values(summary: Summary) -> tuple[Any, ...]:
    return (
        summary.status,
        int(summary.hot),
        summary.wake_at,
        summary.started_at,
        summary.finished_at,
        summary.error,
    )


def _update(connection: apsw.Connection, summaries: Mapping[Handle, Summary], created: Mapping[Handle, int]) -> None:
    """The last summary of each execution that is not new; a new one was inserted with it."""
    values: list[Any] = []
    for handle, summary in summaries.items():
        if handle not in created:
            values += (_key(handle, created), *_summary_values(summary))
    _UPDATE.run(connection, values)


def _key(handle: Handle, created: Mapping[Handle, int]) -> int:
    key = handle.key if handle.key is not None else created.get(handle)
    if key is None:
        raise StoreError(f"execution {handle.id} was never created", code="store-conflict")
    return key


class _Filed(NamedTuple):
    """A wait as it is filed; the fields in the order of the table's."""

    event_type: str
    key: int
    execution: int
    step: str


def _write_more(connection: apsw.Connection, changes: Sequence[Change], created: Mapping[Handle, int]) -> bool:
    """Snapshots and waits, of which only the last word of the batch counts; whether early events were filed."""
    snapshots: dict[int, tuple[int, int, bytes]] = {}
    waits: dict[_Filed, Wait | None] = {}
    for change in changes:
        key = _key(change.handle, created)
        if change.snapshot is not None:
            snapshots[key] = (key, change.seq, change.snapshot)
        for wait in change.waits_ended:
            waits[_Filed(wait.event_type, wait.key, key, wait.step)] = None
        for wait in change.waits_begun:
            waits[_Filed(wait.event_type, wait.key, key, wait.step)] = wait
    _SNAPSHOTS.run(connection, [value for row in snapshots.values() for value in row])
    _END_WAITS.run(connection, [value for filed, wait in waits.items() if wait is None for value in filed])
    begun = [(filed, wait) for filed, wait in waits.items() if wait is not None]
    _BEGIN_WAITS.run(connection, [value for filed, _ in begun for value in filed])
    return bool(begun) and _hand_over_early(connection, [(*filed, wait.since) for filed, wait in begun])


def _write_rare(
    connection: apsw.Connection, changes: Sequence[Change], created: Mapping[Handle, int]
) -> Sequence[InboxItem]:
    """What few changes do; what is to be put into inboxes by it: who gets a lock, is refused one, must make room."""
    rare = [change for change in changes if _is_rare(change)]
    if not rare:
        return ()
    keys = {change.handle.id: _key(change.handle, created) for change in rare}
    moves = {change.handle.id: change.moved_to for change in rare if change.moved_to is not None}
    _MOVE.run(connection, [value for id_, to in moves.items() for value in (keys[id_], to.version, to.digest)])
    sqlite_dead_letters.apply(connection, rare)
    sqlite_results.apply(connection, rare)
    return sqlite_locks.apply(connection, rare, keys)


def _hand_over_early(connection: apsw.Connection, begun: Sequence[tuple[Any, ...]]) -> bool:
    """Put the events that came before these waits into the inbox, in the order they came; whether there were any."""
    connection.execute(SQL["file_early_events"], (_encode(begun).decode(),))
    return connection.changes() > 0


def _inbox_row(item: InboxItem) -> tuple[Any, ...]:
    return item.shard, item.kind, item.execution, item.step, item.payload


def _contradiction(connection: apsw.Connection, batch: Batch, error: apsw.ConstraintError) -> Exception:
    """Why the schema refused the batch."""
    seen = set[str]()
    for change in batch.changes:
        key = change.create.start_key if change.create is not None else None
        if key is None:
            continue
        if key in seen or select(connection, "find_start", (key,)):
            return DuplicateStart(key)
        seen.add(key)
    return StoreError(
        f"the batch contradicts what is stored: {error}",
        code="store-conflict",
        hint="an execution or a history row is there already; fencing should prevent it, so please report this",
    )
