"""The tickets of a node: messages of a work queue stream that say that a job waits here.

A ticket holds no more than the job's id and the node's: whoever fetches it asks the node for the job itself. So the
broker's disk holds nothing that is secret, large, or not known elsewhere, and a ticket too many or too late is answered
with "nobody waits for it". All of them can be written again, at any time, from what the node knows; and the node, after
a crash, from its history.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgspec

from stepwell.worker.jobs import Job, Onlooker, Place
from stepwell.worker.nats_link import FIRST_PAUSE, LONGEST_PAUSE, Link, check_cancelled
from stepwell.worker.nats_messages import LineSaid, Ticket
from stepwell.worker.nats_names import Names

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.js import JetStreamContext
    from nats.js.api import PubAck

MOST_OUT: Final = 1_000
"""So many tickets of a node stand in a line of the stream at once; other jobs have theirs written later."""
AT_ONCE: Final = 250
"""So many are written before it is waited for the stream to say that it has them."""
ACK_SECONDS: Final = 10
"""A worker that fetched a ticket asks for the job within this time, or another one gets the ticket."""
TICKET_AGE_SECONDS: Final = 24 * 60 * 60
"""Tickets of nodes that are gone, in lines that no worker serves, are forgotten then."""
LOOK_SECONDS: Final = 15.0
"""So often it is looked whether the oldest ticket of a line that does not move is still there."""
PATIENCE: Final = 5.0
NO_JETSTREAM: Final = "JetStream is not available there: the server needs it enabled"

_log = logging.getLogger("stepwell.worker")


class _Ticket:
    """One ticket.

    Attributes:
        number: in the stream, once it is there.
        is_needless: the job was given to somebody who did not come by this ticket.
    """

    def __init__(self, place: Place, id_: str) -> None:
        self.place = place
        self.id = id_
        self.number: int | None = None
        self.is_needless = False


class _Line:
    """The jobs of one place: those with a ticket, and those that wait for theirs."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.out: OrderedDict[str, _Ticket] = OrderedDict()
        self.behind: OrderedDict[str, None] = OrderedDict()
        self.seen_first: str | None = None


class Tickets(Onlooker):
    """Writes a ticket for each job that waits, and takes back those that are not needed.

    Args:
        node: tells this process from all others.
    """

    def __init__(
        self, link: Link, names: Names, node: str, *, most_out: int = MOST_OUT, look_seconds: float = LOOK_SECONDS
    ) -> None:
        self._link = link
        self._names = names
        self._node = node
        self._most_out = most_out
        self._look_seconds = look_seconds
        self._lines: dict[Place, _Line] = {}
        self._to_send: OrderedDict[_Ticket, None] = OrderedDict()
        self._wake = asyncio.Event()
        self._ready: set[Place] = set()  # those that have a consumer, on this connection
        self._js: JetStreamContext | None = None
        self._deleting: set[asyncio.Task[None]] = set()
        self._refusal: str | None = None
        self._has_told_of_replicas = False

    def problem(self) -> str | None:
        """What keeps tickets from being written, although there is a connection; None when nothing does."""
        return self._refusal

    @property
    def outstanding(self) -> int:
        """How many tickets are in the stream, or on their way there."""
        return sum(len(line.out) for line in self._lines.values())

    # ── What is told ─────────────────────────────────────────────────────────────────────────────────────────────────

    def waits(self, job: Job) -> None:
        line = self._lines.get(job.place)
        if line is None:
            line = self._lines[job.place] = _Line(job.place)
        line.behind[job.id] = None
        self._fill(line)

    def left(self, job: Job, *, by_name: bool) -> None:
        line = self._lines.get(job.place)
        if line is None:
            return
        line.behind.pop(job.id, None)
        ticket = line.out.pop(job.id, None)
        if ticket is not None:
            self._to_send.pop(ticket, None)
            ticket.is_needless = not by_name
            if ticket.number is not None and ticket.is_needless:
                self._delete(ticket.number)
        self._fill(line)

    def unwanted(self, worker: str, id_: str) -> None:
        """Nothing of its own: what a worker has has no ticket."""

    # ── Writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def open(self, client: Client) -> None:
        """Make sure on a new connection that there is a stream, and that it holds what it should."""
        from nats.errors import NoRespondersError
        from nats.js.errors import ServiceUnavailableError

        self._js = client.jetstream(timeout=PATIENCE)
        try:
            await self._make_stream(self._js)
        except (NoRespondersError, ServiceUnavailableError):
            raise ConnectionError(NO_JETSTREAM) from None
        self._ready.clear()
        for line in self._lines.values():
            await self._verify(self._js, line)

    async def run(self) -> None:
        """Write what is to be written until cancelled."""
        looking = asyncio.create_task(self._look())
        pause = FIRST_PAUSE
        try:
            while True:
                await self._wake.wait()
                await self._link.up()
                try:
                    await self._send_some()
                except Exception as error:  # whatever the library raises: what was not written is written later
                    self._note_refusal(error)
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, LONGEST_PAUSE)
                else:
                    self._refusal = None
                    pause = FIRST_PAUSE
                check_cancelled()
        finally:
            looking.cancel()
            for task in tuple(self._deleting):
                task.cancel()
            await asyncio.gather(looking, *self._deleting, return_exceptions=True)

    async def take_back(self) -> None:
        """Delete all tickets of this node, as far as that can be done now."""
        if self._js is not None and self._link.is_up:
            with suppress(Exception):
                await self._js.purge_stream(self._names.stream, subject=self._names.tickets_of(self._node))

    def _fill(self, line: _Line) -> None:
        while line.behind and len(line.out) < self._most_out:
            id_, _ = line.behind.popitem(last=False)
            ticket = line.out[id_] = _Ticket(line.place, id_)
            self._to_send[ticket] = None
        if self._to_send:
            self._wake.set()
        elif not line.out:
            self._lines.pop(line.place, None)

    async def _send_some(self) -> None:
        """Write as many tickets as go at once.

        Raises:
            Exception: they were not, and are still to be written.
        """
        js = self._js
        assert js is not None, "there is a connection"
        some = list(itertools.islice(self._to_send, AT_ONCE))
        for place in {ticket.place: None for ticket in some}:
            await self._make_consumer(js, place)
        futures = [await self._publish(js, ticket) for ticket in some]
        async with asyncio.timeout(PATIENCE):
            acks = await asyncio.gather(*futures)
        for ticket, ack in zip(some, acks, strict=True):
            ticket.number = ack.seq
            self._to_send.pop(ticket, None)
            if ticket.is_needless:  # since it was written
                self._delete(ack.seq)
        if not self._to_send:
            self._wake.clear()

    async def _publish(self, js: JetStreamContext, ticket: _Ticket) -> asyncio.Future[PubAck]:
        body = msgspec.json.encode(Ticket(ticket.id, self._node))
        return await js.publish_async(self._names.ticket(ticket.place, self._node), body, wait_stall=PATIENCE)

    def _note_refusal(self, error: Exception) -> None:
        words = str(error) or type(error).__name__
        if self._refusal is None and self._link.is_up:
            _log.warning("tickets cannot be written to the stream %s: %s; it is tried again", self._names.stream, words)
        self._refusal = f"tickets cannot be written: {words}"
        self._ready.clear()  # the stream may have been deleted, and its consumers with it

    # ── Stream and consumers ─────────────────────────────────────────────────────────────────────────────────────────

    async def _make_stream(self, js: JetStreamContext) -> None:
        from nats.js.api import RetentionPolicy, StorageType, StreamConfig
        from nats.js.errors import NotFoundError

        wanted = self._link.options.replicas
        try:
            found = (await js.stream_info(self._names.stream)).config.num_replicas
            if found not in (None, wanted) and not self._has_told_of_replicas:
                self._has_told_of_replicas = True
                _log.warning(
                    "the stream %s is kept on %s servers, and `nats.replicas` says %s: it stays as it was made, unless "
                    "somebody changes it (`nats stream edit`) or deletes it",
                    self._names.stream,
                    found,
                    wanted,
                )
        except NotFoundError:
            await js.add_stream(
                StreamConfig(
                    name=self._names.stream,
                    subjects=[self._names.tickets],
                    retention=RetentionPolicy.WORK_QUEUE,
                    storage=StorageType.FILE,
                    max_age=TICKET_AGE_SECONDS,
                    num_replicas=wanted,
                )
            )

    async def _make_consumer(self, js: JetStreamContext, place: Place) -> None:
        if place in self._ready:
            return
        await self._make_stream(js)
        await make_consumer(js, self._names, place)
        self._ready.add(place)
        queue, labels = place
        await self._link.client.publish(self._names.places, msgspec.json.encode(LineSaid(queue, dict(labels))))

    # ── Looking after them ───────────────────────────────────────────────────────────────────────────────────────────

    async def _look(self) -> None:
        """Write again what is missing from the stream, although nobody has asked for the job."""
        while True:
            await asyncio.sleep(self._look_seconds)
            for line in list(self._lines.values()):
                first = next(iter(line.out), None)
                stands_still, line.seen_first = first is not None and first == line.seen_first, first
                if stands_still and self._js is not None and self._link.is_up:
                    with suppress(Exception):  # it is looked again
                        await self._verify(self._js, line)
                    check_cancelled()

    async def _verify(self, js: JetStreamContext, line: _Line) -> None:
        """Have the tickets of a line written again if the first or the last of them is gone."""
        out = [ticket for ticket in line.out.values() if ticket.number is not None]
        for ticket in dict.fromkeys(out[:1] + out[-1:]):
            if not await self._is_there(js, ticket) and line.out.get(ticket.id) is ticket:
                self._write_again(line, out)
                return

    async def _is_there(self, js: JetStreamContext, ticket: _Ticket) -> bool:
        from nats.js.errors import NotFoundError

        assert ticket.number is not None, "it was written"
        try:
            found = await js.get_msg(self._names.stream, ticket.number)
        except NotFoundError:
            return False
        return found.data == msgspec.json.encode(Ticket(ticket.id, self._node))

    def _write_again(self, line: _Line, tickets: Iterable[_Ticket]) -> None:
        count = 0
        for ticket in tickets:
            if line.out.get(ticket.id) is ticket:
                ticket.number = None
                self._to_send[ticket] = None
                count += 1
        if count:
            _log.warning("%d tickets of queue %s were lost by NATS, and are written again", count, line.place[0])
            self._wake.set()

    def _delete(self, number: int) -> None:
        if self._js is None or not self._link.is_up:
            return  # whoever fetches it is told that nobody waits
        task = asyncio.create_task(self._deleted(self._js, number))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    async def _deleted(self, js: JetStreamContext, number: int) -> None:
        with suppress(Exception):  # the same
            await js.delete_msg(self._names.stream, number)


async def make_consumer(js: JetStreamContext, names: Names, place: Place) -> None:
    """Make sure that a line has a consumer, from which all its workers fetch."""
    from nats.js.api import AckPolicy, ConsumerConfig

    queue, labels = place
    said = msgspec.json.encode(LineSaid(queue, dict(labels))).decode()
    await js.add_consumer(
        names.stream,
        ConsumerConfig(
            durable_name=names.consumer(place),
            filter_subject=names.ticket(place, "*"),
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ACK_SECONDS,
            max_ack_pending=-1,
            max_waiting=100_000,
            metadata={"line": said},
        ),
    )
