"""What a store keeps: the records that every store reads and writes alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec

from stepwell.base.errors import ErrorInfo, StepwellError
from stepwell.execution.commands import Otherwise


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
        at: when it asked; a grant says it again, so that it can be told from the grant of an earlier request.
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


class LockGrant(msgspec.Struct, frozen=True, array_like=True):
    """What an inbox item of kind `lock_granted` holds, in MessagePack: name and instant of the `LockRequest`."""

    name: str
    at: int


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
        payload: encoded: the event, a `LockGrant`, the name of a lock that is refused in UTF-8, what is told
            (`[verb, by, reason]`), ...
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
"""In place of a shard: of an inbox item that any engine may take. Lower numbers are inboxes that belong to no shard."""


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


class Presence(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself.

    Attributes:
        name: unique text; the owner of its leases.
        shards: so many are shared out among the nodes: those numbered from 0.
        since: when it was opened.
        leaving: it takes no more shards.
        about: more for other nodes and for people, as JSON.
    """

    name: str
    shards: int
    since: int
    leaving: bool = False
    about: bytes = b"{}"


class FreeShard(msgspec.Struct, frozen=True):
    """A shard without a living owner.

    Attributes:
        fence: the last number under which it was owned; 0 for never.
        released: it was given up, or its owner is known to be gone; otherwise its lease has run out, whatever the
            reason.
    """

    shard: int
    fence: int
    released: bool


class Attendance(msgspec.Struct, frozen=True, kw_only=True):
    """How things stand when a node has said that it is there.

    Attributes:
        nodes: those that are alive, this one too, in the order in which they came (`since`, then name).
        lost: the shards, of the leases that the node believed to have, that are its own no more.
        free: the shards without a living owner, in order of number: of those that are shared out every one, whether it
            was ever owned or not, and beyond them those that were.
    """

    nodes: Sequence[Presence]
    lost: Sequence[int]
    free: Sequence[FreeShard]


class Published(msgspec.Struct, frozen=True):
    """What became of an event: whether it was a duplicate (and nothing was done), how many waits it was handed to, and
    whether an engine is there that will act on them."""

    duplicate: bool
    waits: int
    engine_present: bool


class StoreStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `db status` shows. `location` holds no password; `registered` counts versions of workflows, `dead_letters`
    those not discarded, `locks` those held and waited for, `journal` its entries."""

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
    documents: int = 0
    journal: int = 0
