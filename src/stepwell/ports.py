"""Every contract of the engine with the world, in one file.

All instants and durations are integers of microseconds. Every method that reads or writes may raise `StoreError` (or
what it names); after an error nothing of the call was written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from stepwell.base.errors import ErrorInfo, StepwellError
from stepwell.definition.model import WorkflowDefinition
from stepwell.execution.commands import Otherwise
from stepwell.execution.event import Event
from stepwell.execution.history import HistoryEvent
from stepwell.execution.work import Assignment, Report

# ── The store ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Handle:
    """An execution as the store knows it. `key` is the store's own number for it, set when it is first stored."""

    __slots__ = ("id", "key", "shard")

    def __init__(self, id: str, shard: int, key: int | None = None) -> None:  # noqa: A002 - the field's name
        self.id = id
        self.shard = shard
        self.key = key


class NewExecution(msgspec.Struct, frozen=True, kw_only=True):
    """What a store notes about an execution once, when it is created.

    Attributes:
        parent: of a sub-workflow, the step that started it: `{execution}/{step}`.
        forked_from: the id of the execution whose history it began with.
    """

    workflow: str
    version: str
    digest: str
    created_at: int
    start_key: str | None = None
    tags: tuple[str, ...] = ()
    parent: str | None = None
    forked_from: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a store knows of an execution without reading its history.

    Attributes:
        status: an `ExecutionStatus` value, or `waiting`.
        hot: whether it must be loaded when its shard is taken over: it has work in flight.
        wake_at: the earliest instant at which a timer of a parked execution is due, or None.
        error: the masked message of what ended it, or None.
    """

    status: str
    hot: bool
    wake_at: int | None = None
    started_at: int | None = None
    finished_at: int | None = None
    error: str | None = None


class Wait(msgspec.Struct, frozen=True):
    """A step that waits for an event.

    Attributes:
        key: its match key (`execution.matching`).
        since: events received at or after this instant count, even when they came before the wait began.
    """

    step: str
    event_type: str
    key: int
    since: int = 0


class Discarded(msgspec.Struct, frozen=True, kw_only=True):
    """When a dead letter was discarded, by whom, and why."""

    at: int
    by: str
    reason: str | None = None


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """A step, or a compensation step, that failed for good and that nothing handled.

    Attributes:
        step: the key of the step's instance.
        at: when it failed for the last time.
        seq: the number of the history event that says so.
        attempts: how often it was tried.
        error: with its text and details masked.
        input: the rendered configuration as the engine's codec encodes it, so that what is secret stays encrypted; None
            when it was never rendered.
        discarded: set when somebody decided to do nothing about it.
    """

    execution: str
    workflow: str
    version: str
    step: str
    at: int
    seq: int
    attempts: int
    kind: Literal["step", "compensation"]
    error: ErrorInfo
    input: bytes | None = None
    discarded: Discarded | None = None

    @property
    def id(self) -> str:
        """`{execution}/{step}/{seq}`."""
        return f"{self.execution}/{self.step}/{self.seq}"


class LockRequest(msgspec.Struct, frozen=True):
    """An execution, or a step of it, wants a lock that executions share.

    Attributes:
        name: of the lock.
        limit: how many may hold it at once, at least 1.
        holder: the key of the step's instance; empty text for the execution as a whole.
        at: when it asked.
        otherwise: what happens when it is not free at once, which is when as many as may hold it do, or somebody is in
            line: stand in line (`queue`); be refused, and not stand in line (`refuse`); stand in line, and have the
            executions of all who stand before it, holders and waiting, told to cancel (`replace`).
    """

    name: str
    limit: int
    holder: str
    at: int
    otherwise: Otherwise = "queue"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"a lock that {self.limit} may hold would never be granted")


class KeptResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step in the cache.

    Attributes:
        key: what it is found by.
        execution: that which made it, at the instant `made_at`.
        expires_at: from then on it is not there any more; None for never.
        value: what was made, as the engine's codec encodes it, so that what is secret stays encrypted.
    """

    key: str
    execution: str
    made_at: int
    expires_at: int | None
    value: bytes


class NewVersion(msgspec.Struct, frozen=True):
    """The definition with which an execution goes on from now on."""

    version: str
    digest: str


class Change(msgspec.Struct, kw_only=True, gc=False):
    """What one turn did to one execution.

    Attributes:
        seq: the number of the turn's last history event; the first event of an execution has the number 1.
        events: the turn's history events, encoded; empty when the turn recorded none.
        create: set when this is the execution's first change; `summary` is then set too.
        summary: the new summary, or None when it stays as it is.
        waits_begun, waits_ended: where both name the same wait, it ended before it began again.
        snapshot: the encoded state after `seq`, or None.
        dead_letters: those that this turn left. One with the id of another takes its place.
        dead_letters_resolved: ids of those that are done with; they are deleted, before `dead_letters` are written.
        locks_taken: locks asked for. Who has asked for the same lock already, or has it, keeps his place in line.
        locks_released: (name, holder) of locks given back, or of requests withdrawn, before `locks_taken`.
        locks_released_all: give back and withdraw everything of this execution, `locks_taken` too: it has ended.
        moved_to: another version of the definition, or None.
        results_kept: what is put into the cache of results; one with the key of another takes its place.
    """

    handle: Handle
    seq: int
    events: bytes
    create: NewExecution | None = None
    summary: Summary | None = None
    waits_begun: Sequence[Wait] = ()
    waits_ended: Sequence[Wait] = ()
    snapshot: bytes | None = None
    dead_letters: Sequence[DeadLetter] = ()
    dead_letters_resolved: Sequence[str] = ()
    locks_taken: Sequence[LockRequest] = ()
    locks_released: Sequence[tuple[str, str]] = ()
    locks_released_all: bool = False
    moved_to: NewVersion | None = None
    results_kept: Sequence[KeptResult] = ()


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """Something for the owner of a shard, from outside.

    Attributes:
        kind: `event`, `early_event`, `lock_granted`, `lock_refused`, `tell`, ...
        payload: encoded: the event, the name of the lock in UTF-8, what is told (`[verb, by, reason]`), ...
        execution, step: whom it concerns, where that is known.
        id: given by the store.
    """

    shard: int
    kind: str
    payload: bytes
    execution: str | None = None
    step: str | None = None
    id: int = 0


ANYWHERE: Final = -1
"""In place of a shard: of an inbox item that any engine may take."""


class Batch(msgspec.Struct, kw_only=True):
    """Everything one commit writes.

    Attributes:
        fences: for every shard written to, the fencing number under which this node owns it.
        consumed: inbox items whose effects are in this batch; they are deleted with it.
        posts: inbox items for other shards.
    """

    fences: Mapping[int, int]
    changes: Sequence[Change]
    consumed: Sequence[int] = ()
    posts: Sequence[InboxItem] = ()


class DuplicateStart(StepwellError):
    """An execution with this start key exists already. `start_key` names it; nothing of the batch was written."""

    code = "duplicate-start"
    exit_status = 2

    def __init__(self, start_key: str) -> None:
        super().__init__(f"an execution with the key {start_key!r} exists already")
        self.start_key = start_key


class HistoryRow(msgspec.Struct, frozen=True):
    """The events of one turn, encoded. `seq` is the number of the last of them."""

    seq: int
    events: bytes


class StoredExecution(msgspec.Struct, kw_only=True):
    """An execution as it is stored: what to fold to get its state."""

    handle: Handle
    created: NewExecution
    summary: Summary
    snapshot_seq: int = 0
    snapshot: bytes | None = None
    history: Sequence[HistoryRow] = ()


class ExecutionListing(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list of executions."""

    id: str
    created: NewExecution
    summary: Summary


class Page(msgspec.Struct, frozen=True):
    """A part of a list; `next` is the cursor of the following part, or None."""

    items: Sequence[ExecutionListing]
    next: str | None


class ExecutionQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which executions to list, newest first. None means any. `created_from` is included, `created_to` is not.

    `parent` is the id of an execution: the sub-workflows that its steps started.
    """

    workflow: str | None = None
    version: str | None = None
    statuses: tuple[str, ...] = ()
    tag: str | None = None
    parent: str | None = None
    created_from: int | None = None
    created_to: int | None = None
    limit: int = 50
    cursor: str | None = None


class DeadLetterQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which dead letters to list, newest first. None means any. `discarded`: those that were discarded, instead of the
    others."""

    workflow: str | None = None
    execution: str | None = None
    error_type: str | None = None
    discarded: bool = False
    limit: int = 50
    cursor: str | None = None


class DeadLetterPage(msgspec.Struct, frozen=True):
    """A part of the list of dead letters; `next` is the cursor of the following part, or None."""

    items: Sequence[DeadLetter]
    next: str | None


class Lock(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds a lock, or stands in line for it (`held` False), and since when he has wanted it.

    `step` is empty text when it is the execution as a whole; `limit` says how many may hold it, as this one asked.
    """

    name: str
    execution: str
    step: str
    limit: int
    since: int
    held: bool


class Waiting(msgspec.Struct, frozen=True):
    """A step that waits for an event."""

    execution: str
    step: str


class WaitPage(msgspec.Struct, frozen=True):
    """A part of a list of waits; `next` is the cursor of the following part, or None."""

    items: Sequence[Waiting]
    next: str | None


class StoredDefinition(msgspec.Struct, frozen=True, kw_only=True):
    """A definition by its content. `text` is the source as it was given."""

    digest: str
    name: str
    version: str
    dialect: str
    source_name: str
    text: str


Lifecycle = Literal["draft", "active", "deprecated", "retired"]
"""Of a registered version: not to be started yet; to be started; still to be started, but with a warning; no more."""


class Deed(msgspec.Struct, frozen=True, kw_only=True):
    """Something done to a registered version: it was put into a lifecycle, or made the `default`."""

    what: Lifecycle | Literal["default"]
    at: int
    by: str
    reason: str | None = None


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a workflow under its name. What it says is the definition with this digest, for ever.

    Attributes:
        is_default: whether this is the version that the name alone means.
        is_chosen: whether somebody said so.
        log: what was done to it, in order; first its registration.
    """

    name: str
    version: str
    digest: str
    lifecycle: Lifecycle
    tags: tuple[str, ...] = ()
    is_default: bool = False
    is_chosen: bool = False
    log: tuple[Deed, ...] = ()


class Registered(msgspec.Struct, frozen=True):
    """What became of a registration: `is_new` is False when the version was there already, with the same content."""

    registration: Registration
    is_new: bool


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """The right to write a shard until `expires_at`, under the number `fence`."""

    shard: int
    fence: int
    expires_at: int


class Published(msgspec.Struct, frozen=True):
    """What became of an event: whether it was a duplicate (and nothing was done), how many waits it was handed to, and
    whether an engine is there that will act on them."""

    duplicate: bool
    waits: int
    engine_present: bool


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `db status` shows. `location` holds no password; `registered` counts versions of workflows, `dead_letters`
    those not discarded, `locks` those held and waited for."""

    kind: str
    location: str
    schema_version: int
    current_version: int
    executions: Mapping[str, int]
    waits: int
    events: int
    inbox: int
    size_bytes: int | None
    owners: Sequence[Mapping[str, Any]]
    registered: int = 0
    dead_letters: int = 0
    locks: int = 0


class Store(Protocol):
    """Keeps definitions, executions, waits, events and ownership.

    `append` is the only write of executions. Reads by key are quick enough for the event loop; lists are done elsewhere
    (a reader thread, another connection) and may be slow.
    """

    async def open(self, *, migrate: bool = True) -> None:
        """Connect, and bring the schema up to date when `migrate`.

        Raises:
            StoreError: not reachable, not a stepwell store, read-only, written by a newer version (code
                `store-too-new`), or older than this version and `migrate` is False (code `store-outdated`).
        """
        ...

    async def close(self) -> None:
        """Finish what was appended, give up all leases, disconnect. May be called twice."""
        ...

    # Ownership

    async def acquire(self, shard: int | None, owner: str, now: int, ttl: int) -> Lease:
        """Own a shard, under a fencing number higher than any before; None asks for a shard without unfinished
        executions and requests to start some (inbox items of kind `start`), made when there is none.

        Raises:
            Conflict: (code `shard-owned`) its owner is alive: the lease has neither expired nor been released, and its
                process is not known to be gone.
        """
        ...

    async def renew(self, leases: Sequence[Lease], now: int, ttl: int) -> Sequence[Lease]:
        """The leases, prolonged.

        Raises:
            FenceLost: one of them was taken over.
        """
        ...

    async def release(self, leases: Sequence[Lease]) -> None:
        """Give the shards up; leases that were lost are ignored."""
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
            FenceLost: a fence is no longer the shard's. DuplicateStart: a start key is taken. StoreError: it could not
            be written (disk full, read-only, unreachable). In every case nothing was written.
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

    async def due(self, shard: int, now: int, limit: int) -> Sequence[str]:
        """Parked executions of the shard whose `wake_at` has come, the longest due first."""
        ...

    async def next_wake(self, shard: int) -> int | None:
        """The earliest `wake_at` of the shard."""
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

    async def waiting(self, event_type: str, *, limit: int = 50, cursor: str | None = None) -> WaitPage:
        """A page of the steps that wait for events of this type, those of the oldest executions first.

        Raises:
            UsageError: the cursor is not one that a list returned.
        """
        ...

    async def publish(self, event: Event, now: int, keep_until: int, posts: Sequence[InboxItem] = ()) -> Published:
        """Store the event (once per source and id) and put it into the inbox of every waiting step's shard.

        Durable when it returns. Every wait that was appended before, and could match, gets it; one that is appended
        after gets it then.

        Args:
            posts: put into inboxes in the same transaction, unless the event is a duplicate. Those for `ANYWHERE` go to
                a shard with a living owner, if there is one.
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

    def listen(self, callback: Callable[[], None]) -> None:
        """Call `callback` on the event loop whenever somebody else may have put something into an owned inbox."""
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
        self, name: str, version: str, to: Lifecycle, *, at: int, by: str, reason: str | None = None
    ) -> Registration:
        """Move a version on in its life. Nothing happens when it is there already. A retired version is no longer its
        name's chosen default.

        Raises:
            NotFound: (code `unknown-version`) it is not registered. Conflict: (code `illegal-lifecycle`) it cannot move
            there from where it is (`store.lifecycle`).
        """
        ...

    async def set_default(
        self, name: str, version: str, *, at: int, by: str, reason: str | None = None
    ) -> Registration:
        """Choose the version that the name alone means.

        Raises:
            NotFound: (code `unknown-version`) it is not registered. Conflict: (code `version-draft`, `version-retired`)
            it must not be started.
        """
        ...

    # Care

    async def status(self) -> StoreStatus:
        """Figures about the store; works on an outdated schema too."""
        ...

    async def check(self) -> Sequence[str]:
        """What is wrong with the store itself (damaged pages, broken references), one sentence each; empty is well."""
        ...

    async def executions_after(self, key: int, limit: int) -> Sequence[StoredExecution]:
        """For verification: executions in order of key, each with its latest snapshot and its whole history."""
        ...


# ── Work ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Dispatcher(Protocol):
    """Assignments out, reports back. Idempotent by assignment id: a repeated assignment is the same work."""

    def dispatch(self, assignment: Assignment) -> None:
        """Have the work done; the report comes through the callback given at construction, once, on the event loop."""
        ...

    def stop(self, assignment_id: str) -> None:
        """Stop the work if it has not ended; no report follows."""
        ...

    async def close(self) -> None:
        """Stop all work; no reports follow."""
        ...


class TaskContext(Protocol):
    """What a task may know about the attempt it serves, and what the worker does for it."""

    __slots__ = ()

    @property
    def assignment(self) -> Assignment: ...

    @property
    def execution(self) -> str:
        """The id of the execution."""
        return self.assignment.execution

    @property
    def workflow(self) -> str:
        """The name of the workflow."""
        return self.assignment.workflow

    @property
    def step(self) -> str:
        """The name of the step."""
        return self.assignment.step

    @property
    def attempt(self) -> int:
        """Which try this is; the first is 1."""
        return self.assignment.attempt

    @property
    def idempotency_key(self) -> str:
        """The same for every try and every delivery of this step; for the receiver to recognise a repetition."""
        return self.assignment.idempotency_key

    def sealed(self) -> Sequence[str]:
        """The texts that were opened for this attempt and came from secrets: not to be shown or stored."""
        ...

    def open(self, value: Any) -> Any:
        """`value` with every `Sealed`, `SecretRef` and `SecretText` in it opened, as was done with the configuration.

        What is opened is hidden in the result and in the error of this attempt.

        Raises:
            NotFound: (code `unknown-secret`) naming the secret.
        """
        ...

    def hide(self, text: str) -> str:
        """The text with everything in it that was opened for this attempt replaced by `***`: for logs and messages."""
        ...

    async def run_sync(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a function that blocks, in a thread; when the attempt is stopped, so is the function."""
        ...


class TaskResult(msgspec.Struct, frozen=True, gc=False):
    """What a task returns: the raw result, and further names for the step's `output` mapping."""

    value: Any
    scope: dict[str, Any] | None = None


class TaskHandler(Protocol):
    """Does the work of one step type. Stateless between calls; called concurrently."""

    async def run(self, config: Any, context: TaskContext) -> TaskResult:
        """Do the work described by the opened configuration. Cancelled when it must stop.

        Raises:
            TaskError: it failed in a way the handler understands.
            Exception: anything else is recorded under its type's name, and retried unless it is a `ValueError`,
                `TypeError` or another sign of a wrong call.
        """
        ...

    async def close(self) -> None:
        """Give up what is held between calls (connections, ...); called once the worker does no more work."""
        return  # most handlers hold nothing


class TaskError(StepwellError):
    """A task failed. `type`, `message`, `details` and `retryable` are recorded as the step's error."""

    code = "task-failed"

    def __init__(
        self, type_: str, message: str, *, details: dict[str, Any] | None = None, retryable: bool = False
    ) -> None:
        super().__init__(message)
        self.type = type_
        self.details = details
        self.retryable = retryable


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What one recipient is told over one channel.

    Attributes:
        recipient: as the channel knows him; empty for whoever it leads to.
        priority: `low`, `normal`, `high` or `urgent`.
        key: the same for every try and every delivery of it, so that the receiver can tell a repetition.
        workflow, execution: what it comes from.
    """

    recipient: str
    title: str
    message: str
    priority: str
    key: str
    workflow: str
    execution: str


class Notifier(Protocol):
    """Delivers notices over channels whose URLs begin with a scheme. Stateless between calls; called concurrently."""

    async def send(self, url: str, notice: Notice, context: TaskContext) -> None:
        """Deliver the notice over the channel with this URL, which may hold secrets. Cancelled when it takes too long.

        Raises:
            TaskError: it was not delivered; when that is `retryable` it is tried again. Any other exception counts as
                such an error.
        """
        ...

    async def close(self) -> None:
        """Give up what is held between calls."""
        return  # most hold nothing


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service that steps may call, from the configuration.

    Attributes:
        url: the base; an endpoint is put behind it.
        timeout: of one call, in microseconds.
        headers: sent with every call; may hold `SecretText` and `SecretRef`.
        auth: None, or one of `{"bearer": ...}`, `{"basic": {"username", "password"}}`,
            `{"header": {"name", "value"}}`; values may be secrets.
        verify: whether the server's certificate is checked; `ca_file` names further trusted authorities.
        rule_path: where validation rules are asked, with `{rule}` in it.
    """

    name: str
    url: str
    timeout: int = 30_000_000
    headers: Mapping[str, Any] = {}
    auth: Mapping[str, Any] | None = None
    verify: bool = True
    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    max_response_bytes: int = 8 * 1024 * 1024
    rule_path: str = "/validations/{rule}"


class ModelQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model is asked.

    Attributes:
        prompt: the text, filled in.
        system: instructions for the model.
        model: which one; None for the provider's own choice.
        data: what the prompt is about, a JSON value.
        output_schema: a JSON Schema that the answer, read as JSON, has to satisfy.
        tools: names of what the model may call.
    """

    prompt: str
    system: str | None = None
    model: str | None = None
    data: Any = None
    output_schema: Mapping[str, Any] | None = None
    tools: Sequence[str] = ()


class ModelAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What a language model answered: the text, the model that gave it, and what it used (such as `input_tokens`)."""

    text: str
    model: str
    usage: Mapping[str, int] = {}


class ModelProvider(Protocol):
    """Asks language models."""

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Put a question to a model.

        Raises:
            TaskError: it cannot be asked like this, or should not be asked again. Exception: anything else is a failure
                that may pass, and is retried.
        """
        ...

    async def close(self) -> None:
        """Give up what is held between calls."""
        return  # many hold nothing


class ServiceRegistry(Protocol):
    """The services by name."""

    def get(self, name: str) -> Service:
        """Raises: NotFound (code `unknown-service`), naming the nearest known service."""
        ...

    def names(self) -> Iterable[str]: ...


class SecretSource(Protocol):
    """Where `secrets.NAME` is looked up, by the worker, just before the work."""

    def get(self, name: str) -> str:
        """Raises: NotFound (code `unknown-secret`), naming the key and never a value."""
        ...


class Cipher(Protocol):
    """Encrypts what must not be readable in the store."""

    def encrypt(self, plain: bytes) -> bytes: ...

    def decrypt(self, sealed: bytes) -> bytes:
        """Raises: StoreError (code `wrong-key`) when the key is not the one it was encrypted with."""
        ...


# ── Watching ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Observer(Protocol):
    """Told what was committed, after the commit, on the event loop. Must be quick and must not raise."""

    def committed(self, execution: str, definition: WorkflowDefinition, events: Sequence[HistoryEvent]) -> None: ...


ReportCallback = Callable[[Report], None]
"""What a dispatcher calls, on the event loop, when an attempt has ended."""
