"""Group commit: everything decided since the last commit is written in one transaction, while deciding goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.errors import Conflict, FenceLost, StepwellError, StoreError
from stepwell.decider.turn import Decision
from stepwell.engine.hot import Hot
from stepwell.engine.ownership import Ownership
from stepwell.ports.measures import Measures
from stepwell.ports.records import Batch, Change, DuplicateStart, InboxItem
from stepwell.ports.store import Store

_log = logging.getLogger(__name__)
MOST_IN_ONE_COMMIT: Final = 2_000
"""More would make the callers of the first changes wait for the last ones' rows."""


SHARD_LOST: Final = "shard-lost"


class Entry(msgspec.Struct, frozen=True, eq=False):
    """One change on its way to the store, and what waits for it.

    `hot`, `change` and `decision` are None when only inbox items are consumed: they had no effect. `shard` then says in
    whose inbox they were; None when in that of no shard.
    """

    hot: Hot | None
    change: Change | None
    decision: Decision | None
    consumed: Sequence[int] = ()
    started: asyncio.Future[str] | None = None
    posts: Sequence[InboxItem] = ()
    shard: int | None = None

    def written(self) -> int | None:
        """The shard that is written to."""
        return self.change.handle.shard if self.change is not None else self.shard


class Acting(Protocol):
    """Acts on what has become of entries."""

    def committed(self, entries: Sequence[Entry], posted: bool) -> None:
        """These are stored; `posted`: something may be in an inbox that was not there before."""
        ...

    def dropped(self, entry: Entry) -> None:
        """It is not written, because its shard is lost."""
        ...

    def refused(self, hot: Hot) -> None:
        """The creation of this execution was refused, for its start key was taken: it does not exist."""
        ...


class Committer:
    """Writes entries in the order in which they were submitted.

    Args:
        ownership: the shards that may be written, and under which numbers; read at every commit.
        acting: told what has become of the entries.
        on_failure: called once, with the error, when a commit failed; nothing is written after that.
        measures: told of every commit.
    """

    def __init__(
        self,
        store: Store,
        ownership: Ownership,
        acting: Acting,
        on_failure: Callable[[StepwellError], None],
        clock: Clock,
        measures: Measures,
    ) -> None:
        self._store = store
        self._ownership = ownership
        self._acting = acting
        self._on_failure = on_failure
        self._clock = clock
        self._measures = measures
        self._on_lost: Callable[[Mapping[int, int]], None] | None = None
        self._gone = set[int]()
        self._marks: list[tuple[Entry, asyncio.Future[None]]] = []
        self._pending: list[Entry] = []
        self._writing: list[Entry] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._error: StepwellError | None = None

    def open(self, on_lost: Callable[[Mapping[int, int]], None] | None = None) -> None:
        """Begin to write what is submitted.

        Args:
            on_lost: called with the shards, and the numbers under which they were owned, when a commit failed because
                of them; what is of other shards is then written. None: such a failure is one as any other.
        """
        self._on_lost = on_lost
        self._task = asyncio.create_task(self._run(), name="stepwell committer")

    async def close(self) -> None:
        """Stop, once what was submitted is written."""
        if self._task is None:
            return
        drained = asyncio.create_task(self.drained())
        await asyncio.wait((drained, self._task), return_when=asyncio.FIRST_COMPLETED)
        drained.cancel()  # where the loop that ends has cancelled the task, nobody writes any more
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def drained(self) -> None:
        """Wait until everything submitted so far is written or has failed."""
        if self._idle.is_set():
            return
        last = self._pending[-1] if self._pending else self._writing[-1] if self._writing else None
        if last is None:
            await self._idle.wait()
            return
        mark: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._marks.append((last, mark))
        await mark

    def submit(self, entry: Entry) -> None:
        """Have the entry written with the next commit. After a failure nothing is written any more."""
        if self._error is not None:
            self._refuse(entry, self._error)
            return
        if self._on_lost is not None and not self._is_owned(entry):
            self._without_shards([entry], {entry.written()})
            return
        if not self._pending:
            self._idle.clear()
            self._wake.set()
        self._pending.append(entry)

    def lose(self, shards: Collection[int]) -> None:
        """These shards are lost: what is of them and not yet at the store is not written."""
        self._gone |= set(shards)
        pending, self._pending = self._pending, []
        self._pending = self._without_shards(pending, shards)
        if self._marks:
            self._reach_marks()

    def _is_owned(self, entry: Entry) -> bool:
        shard = entry.written()
        return shard is None or shard in self._ownership.fences

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._write_pending()
            except Exception as error:  # whatever it was: going on would act on what is not stored
                self._fail(_as_store_error(error))
                return
            self._idle.set()

    async def _write_pending(self) -> None:
        """Write until nothing is pending. What a commit allows is done while the next commit is at the disk."""
        ahead: asyncio.Task[tuple[list[Entry], bool]] | None = None
        entries = self._next()
        while entries:
            written, posted = await (ahead or self._write(entries))
            ahead, entries = None, self._next()
            if entries:
                ahead = asyncio.create_task(self._write(entries))
                await asyncio.sleep(0)  # lets it reach the store before this one's consequences take the thread
            self._acting.committed(written, posted)
            if self._marks:
                self._reach_marks()
            entries = entries or self._next()

    def _next(self) -> list[Entry]:
        """What is to be written next; none when nothing is pending."""
        pending = self._pending
        self._gone.clear()  # nothing of those is pending
        self._writing, self._pending = pending[:MOST_IN_ONE_COMMIT], pending[MOST_IN_ONE_COMMIT:]
        return self._writing

    async def _write(self, entries: list[Entry]) -> tuple[list[Entry], bool]:
        if self._gone:
            entries = self._without_shards(entries, self._gone)
        while entries:
            batch = self._batch(entries)
            began = self._clock.now()
            try:
                posted = await self._store.append(batch)
                self._measures.commit_ended(len(entries), self._clock.now() - began)
                return entries, posted
            except DuplicateStart as duplicate:
                entries = self._without_start(entries, duplicate)
            except FenceLost as error:
                if self._on_lost is None or not error.shards:
                    raise
                self._on_lost({shard: batch.fences[shard] for shard in error.shards})
                entries = self._without_shards(entries, error.shards)
            # A shard may be owned again meanwhile, but it is not the same any more.
            owned = self._ownership.fences
            lost = [shard for shard, fence in batch.fences.items() if owned.get(shard) != fence]
            entries = self._without_shards(entries, lost) if lost else entries
        return [], False

    def _batch(self, entries: list[Entry]) -> Batch:
        changes = [entry.change for entry in entries if entry.change is not None]
        consumed = [item for entry in entries if entry.consumed for item in entry.consumed]
        fences: Mapping[int, int] = dict(self._ownership.fences)  # as it is now, whatever becomes of it meanwhile
        if len(fences) > 1:
            written = {entry.written() for entry in entries}
            fences = {shard: fence for shard, fence in fences.items() if shard in written}
        posts = [item for entry in entries if entry.posts for item in entry.posts]
        return Batch(fences=fences, changes=changes, consumed=consumed, posts=posts)

    def _without_start(self, entries: list[Entry], duplicate: DuplicateStart) -> list[Entry]:
        """The entries without those of the execution whose start key was taken; its caller is told."""
        refused = [
            entry.hot
            for entry in entries
            if entry.change is not None
            and entry.change.create is not None
            and entry.change.create.start_key == duplicate.start_key
        ]
        for entry in entries:
            if entry.hot in refused and entry.started is not None and not entry.started.done():
                entry.started.set_exception(duplicate)
        for hot in refused:
            assert hot is not None
            hot.refused = True
            self._acting.refused(hot)
        self._pending = [entry for entry in self._pending if entry.hot not in refused]
        return [entry for entry in entries if entry.hot not in refused]

    def _without_shards(self, entries: list[Entry], shards: Collection[int | None]) -> list[Entry]:
        """The entries without those of lost shards; their callers are told."""
        kept = []
        for entry in entries:
            if entry.written() in shards:
                self._refuse(entry, shard_lost())
                self._acting.dropped(entry)
            else:
                kept.append(entry)
        return kept

    def _reach_marks(self) -> None:
        """Tell those who wait for entries that are no longer on their way."""
        under_way = {id(entry) for entry in (*self._writing, *self._pending)}
        reached = [mark for entry, mark in self._marks if id(entry) not in under_way]
        self._marks = [(entry, mark) for entry, mark in self._marks if id(entry) in under_way]
        for mark in reached:
            if not mark.done():
                mark.set_result(None)

    def _fail(self, error: StepwellError) -> None:
        self._error = error
        entries = [*self._writing, *self._pending]
        self._writing, self._pending = [], []
        for entry in entries:
            self._refuse(entry, error)
        self._reach_marks()
        self._on_failure(error)
        self._idle.set()

    @staticmethod
    def _refuse(entry: Entry, error: StepwellError) -> None:
        if entry.started is not None and not entry.started.done():
            entry.started.set_exception(error)


def shard_lost() -> Conflict:
    """What was decided is not written: others own the shard now."""
    return Conflict("another node has taken the shard over; nothing was done here", code=SHARD_LOST)


def _as_store_error(error: Exception) -> StepwellError:
    if isinstance(error, StoreError):
        return error
    _log.error("a defect in committing", exc_info=error)
    return StepwellError(f"a defect in committing: {type(error).__name__}: {error}")
