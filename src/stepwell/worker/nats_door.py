"""The queues of a node, open to workers on NATS: tickets say that jobs wait, and requests are answered.

What is asked is what is asked over HTTP: `take` (for a poll), `heartbeat`, `complete`, `fail`, `release`. A worker asks
the node whose ticket it has; when that is gone it asks all, and the one that has the job now answers.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import msgspec

from stepwell.base.errors import Conflict, StepwellError
from stepwell.base.instants import to_rfc3339
from stepwell.ports.work import TaskError
from stepwell.worker.jobs import Job, Onlooker
from stepwell.worker.nats_link import Link, NatsOptions
from stepwell.worker.nats_messages import (
    MOVED,
    Answer,
    Done,
    Failed,
    Garbage,
    Hello,
    Ids,
    Refusal,
    Stop,
    TakeAnswer,
    decoded,
    handed_document,
    refused,
)
from stepwell.worker.nats_names import Names
from stepwell.worker.nats_parts import Parts, TooLarge
from stepwell.worker.nats_tickets import LOOK_SECONDS, MOST_OUT, Tickets
from stepwell.worker.queues import Beat, Queues
from stepwell.worker.reports import Reports

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

MOST_TAKEN_BYTES: Final = 8 * 1024 * 1024
"""An answer to `take` grows no larger than by its last assignment; a worker then asks again for the rest."""

_SHARD_LOST: Final = "shard-lost"
"""The code of the error of an engine that does not own the execution any more."""
_REPORTING: Final = ("complete", "fail")
"""Calls that are answered when what they say is recorded."""

_log = logging.getLogger("stepwell.worker")


class NatsDoor(Onlooker):
    """Lets workers on NATS have what stands in the queues of this node.

    Args:
        reports: what is reported goes there.
        most_out: so many tickets stand in a line of the stream at once.
        look_seconds: so often it is looked whether tickets were lost.

    Attributes:
        node: tells this process from all others.
        garbage: how many messages were none that anybody here understands.
        grave: not being able to reach NATS keeps no server from being ready: workers may still fetch over HTTP.
    """

    grave = False

    def __init__(
        self,
        queues: Queues,
        reports: Reports,
        options: NatsOptions,
        *,
        most_out: int = MOST_OUT,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.node = secrets.token_hex(8)
        self.garbage = 0
        self._queues = queues
        self._reports = reports
        self._names = Names(options.prefix)
        self._link = Link(options, f"stepwell node {self.node}")
        self._parts = Parts(self._link, self._names, self.node)
        self._tickets = Tickets(self._link, self._names, self.node, most_out=most_out, look_seconds=look_seconds)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def link(self) -> Link:
        """The connection."""
        return self._link

    @property
    def outstanding(self) -> int:
        """How many tickets are in the stream, or on their way there."""
        return self._tickets.outstanding

    def problem(self) -> str | None:
        """What keeps workers on NATS from being given work, a sentence; None when nothing does."""
        found = self._link.problem() or self._tickets.problem()
        return f"NATS at {self._link.options.where}: {found}" if found is not None else None

    async def open(self) -> None:
        """Begin. Whether NATS can be reached is not waited for: jobs wait until it can.

        Raises:
            ConfigurationError: the library is missing, or a file that the options name.
        """
        self._link.check()
        self._link.on_up(self._subscribe)
        self._link.on_up(self._parts.open)
        self._link.on_up(self._tickets.open)
        self._queues.show(self)
        self._spawn(self._link.run())
        self._spawn(self._tickets.run())

    async def close(self) -> None:
        """Stop giving work. What workers have they go on with, and report to whoever has the job next."""
        self._closing = True
        await self._tickets.take_back()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._parts.close()

    # ── What is told of jobs ─────────────────────────────────────────────────────────────────────────────────────────

    def waits(self, job: Job) -> None:
        self._tickets.waits(job)

    def left(self, job: Job, *, by_name: bool) -> None:
        self._tickets.left(job, by_name=by_name)

    def unwanted(self, worker: str, id_: str) -> None:
        if not self._closing and self._link.is_up:  # else it hears of it when it next says that it lives
            self._spawn(self._told_to_stop(worker, id_))

    async def _told_to_stop(self, worker: str, id_: str) -> None:
        with suppress(Exception):
            await self._link.client.publish(self._names.stops(worker), msgspec.json.encode(Stop(self.node, [id_])))

    # ── What is asked ────────────────────────────────────────────────────────────────────────────────────────────────

    async def _subscribe(self, client: Client) -> None:
        await client.subscribe(f"{self._names.node(self.node)}.*", cb=self._asked)
        await client.subscribe(f"{self._names.all_nodes}.*", cb=self._all_asked)
        await client.subscribe(self._names.hello, cb=self._greeted)

    async def _asked(self, message: Msg) -> None:
        if self._parts.envelope(message.data) is not None:
            self._spawn(self._answer_large(message))  # others need not wait for its parts
        elif _call(message) in _REPORTING:
            self._spawn(self._answer(message, message.data))  # nor until it is recorded
        else:
            await self._answer(message, message.data)

    async def _all_asked(self, message: Msg) -> None:
        """Asked of all nodes; only who knows one of the jobs answers."""
        try:
            await self._asked_of_all(message)
        except Garbage as error:
            self._note_garbage(message, error)

    async def _asked_of_all(self, message: Msg) -> None:
        if self._parts.envelope(message.data) is not None:
            self._spawn(self._answer_large(message, of_all=True))
            return
        call = _call(message)
        ids = decoded(message.data, Ids).assignments if call == "heartbeat" else [decoded(message.data, _Id).id]
        if call in _REPORTING and self._reports.knows(ids[0]):
            self._spawn(self._answer(message, message.data))
        elif any(self._queues.knows(id_) for id_ in ids):
            await self._answer(message, message.data)

    async def _answer_large(self, message: Msg, *, of_all: bool = False) -> None:
        try:
            body = await self._parts.whole(message.data)
            if of_all and not self._reports.knows(decoded(body, _Id).id):
                return
        except (ConnectionError, TooLarge, Garbage) as error:
            self._note_garbage(message, error)
            return
        await self._answer(message, body)

    async def _answer(self, message: Msg, body: bytes) -> None:
        try:
            answer = await self._answered(_call(message), body)
        except Garbage as error:
            self._note_garbage(message, error)
            answer = msgspec.json.encode(Answer(error=Refusal("invalid-message", str(error))))
        if message.reply:
            with suppress(Exception):  # the connection is gone: the worker asks again
                await message.respond(self._parts.fit(answer))

    async def _answered(self, call: str, body: bytes) -> bytes:
        try:
            match call:
                case "take":
                    return msgspec.json.encode(self._taken(decoded(body, Ids)))
                case "heartbeat":
                    ids = decoded(body, Ids)
                    return msgspec.json.encode(
                        self._beaten(self._queues.heartbeat(ids.worker, ids.assignments, _all, roams=True))
                    )
                case "complete":
                    done = decoded(body, Done)
                    await self._reports.complete(done.id, done.result, done.scope, _all)
                case "fail":
                    failed = decoded(body, Failed)
                    error = TaskError(failed.type, failed.message, details=failed.details, retryable=failed.retryable)
                    await self._reports.fail(failed.id, error, _all)
                case "release":
                    ids = decoded(body, Ids)
                    self._queues.release(ids.worker, ids.assignments, _all)
                case _:
                    raise Garbage(f"there is no call {call!r}")
        except Conflict as error:
            if error.code == _SHARD_LOST or self._queues.was_left(decoded(body, _Id).id):
                return msgspec.json.encode(Answer(error=Refusal(MOVED, "another node has this work now")))
            return msgspec.json.encode(refused(error))
        except StepwellError as error:
            return msgspec.json.encode(refused(error))
        return msgspec.json.encode(Answer(node=self.node))

    def _taken(self, asked: Ids) -> TakeAnswer:
        """As many of them as make an answer of bearable size."""
        given, gone, not_yours = list[Any](), list[str](), list[str]()
        size = 0
        for position, id_ in enumerate(asked.assignments):
            if size > MOST_TAKEN_BYTES:
                return TakeAnswer(assignments=given, gone=gone, not_yours=not_yours, again=asked.assignments[position:])
            taken = self._queues.take(asked.worker, [id_])
            gone += taken.gone
            not_yours += taken.not_yours
            for handed in taken.assignments:
                document = msgspec.json.encode(handed_document(handed))
                size += len(document)
                given.append(msgspec.Raw(document))
        return TakeAnswer(assignments=given, gone=gone, not_yours=not_yours)

    def _beaten(self, beat: Beat) -> Answer:
        moved = list(filter(self._queues.was_left, beat.lost))
        return Answer(
            node=self.node,
            kept=beat.kept,
            lost=[id_ for id_ in beat.lost if id_ not in moved],
            moved=moved,
            lease_expires_at=to_rfc3339(beat.lease_expires_at),
        )

    async def _greeted(self, message: Msg) -> None:
        try:
            hello = decoded(message.data, Hello)
        except Garbage as error:
            self._note_garbage(message, error)
        else:
            self._queues.greet(hello.worker, hello.queues, hello.labels, hello.free)

    # ── Small things ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _note_garbage(self, message: Msg, error: Exception) -> None:
        """Count it; the first one is said, of the others there may be very many."""
        self.garbage += 1
        log = _log.warning if self.garbage == 1 else _log.debug
        log("a message on %s is not understood: %s", message.subject, type(error).__name__)

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _Id(msgspec.Struct, frozen=True):
    """Of a report, what it is on."""

    id: str


def _call(message: Msg) -> str:
    """The last part of the subject."""
    return message.subject.rpartition(".")[2]


def _all(workflow: str) -> bool:
    """Who may connect to the broker may do the work of all namespaces."""
    return True
