"""How a worker fetches its work through NATS: it takes tickets from the stream, and the jobs from the nodes."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from stepwell.base.clock import Clock
from stepwell.base.durations import MINUTE, SECOND
from stepwell.base.errors import Conflict, ErrorInfo
from stepwell.worker.jobs import Place, labels_of
from stepwell.worker.nats_link import Link, NatsOptions, check_cancelled
from stepwell.worker.nats_messages import (
    MOVED,
    Answer,
    Done,
    Failed,
    Garbage,
    Hello,
    Ids,
    LineSaid,
    Moved,
    Stop,
    TakeAnswer,
    Ticket,
    check,
    decoded,
    read_handed,
)
from stepwell.worker.nats_names import Names
from stepwell.worker.nats_parts import Parts, TooLarge
from stepwell.worker.nats_pull import Pull, Pulled
from stepwell.worker.nats_tickets import NO_JETSTREAM
from stepwell.worker.queues import LEASE, Beat, Handed, Polled
from stepwell.worker.remote import Fetching

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

PATIENCE: Final = 5.0
"""Seconds that a node has for an answer."""
REPORT_PATIENCE: Final = 10.0
"""The same for a report, which is answered when it is recorded, and may be fetched in parts before."""
ALL_PATIENCE: Final = 1.0
"""Seconds that is waited for an answer when all nodes are asked: nobody may have one."""
HELLO_SECONDS: Final = 10.0
LOST_AFTER: Final = 5 * MINUTE
"""Work of a node that is gone is given up when no other node has claimed it for so long."""
NOT_MINE_SECONDS: Final = 0.5
"""After so long a ticket for a job that this worker cannot do goes to somebody else, or comes back."""
BUSY_SECONDS: Final = 2.0
"""The same for the ticket of a node that does not answer."""

_log = logging.getLogger("stepwell.worker")
_T = TypeVar("_T")


class _Home:
    """Whom to ask about a job: its node; or all nodes, since that one was lost."""

    def __init__(self, node: str | None, lost_since: int = 0) -> None:
        self.node = node
        self.lost_since = lost_since


class NatsFetching(Fetching):
    """Asks for work on NATS.

    Args:
        worker: its name: for people, and no other worker has it at the same time.
        queues: that it serves.
        labels: what it is labelled with.

    Attributes:
        link: its connection.
    """

    def __init__(
        self, options: NatsOptions, clock: Clock, worker: str, queues: Sequence[str], labels: Mapping[str, str]
    ) -> None:
        self.link = Link(options, f"stepwell worker {worker}")
        self._stop: Callable[[Collection[str]], None] = lambda ids: None
        self._clock = clock
        self._worker = worker
        self._queues = list(queues)
        self._labels = dict(labels)
        self._names = Names(options.prefix)
        self._parts = Parts(self.link, self._names, secrets.token_hex(8))
        self._pull = Pull(self.link, self._names)
        self._homes: dict[str, _Home] = {}
        self._free = 0
        self._tasks: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Begin to connect.

        Raises:
            ConfigurationError: the library is missing, or a file that the options name.
        """
        self.link.check()
        self.link.on_up(self._parts.open)
        self.link.on_up(self._subscribe)
        self._spawn(self.link.run())
        self._spawn(self._greet())

    async def close(self) -> None:
        """Give up the connection."""
        if self.link.is_up:
            await self._pull.give_back()
            with suppress(Exception):
                await self.link.client.flush(timeout=1)
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._parts.close()

    # ── What a worker asks ───────────────────────────────────────────────────────────────────────────────────────────

    async def poll(self, limit: int, wait: int) -> Polled:
        loop = asyncio.get_running_loop()
        until = loop.time() + wait / SECOND
        taking: asyncio.Task[list[Handed]] | None = None
        self._free = limit
        try:
            while True:
                tickets = await self._pull.fetched(limit, until)
                if not tickets and self.link.is_up:
                    return Polled(assignments=[], stop=[])
                if not tickets:
                    await self.link.up()
                    until = loop.time() + wait / SECOND
                    continue
                taking = self._spawn(self._take(tickets))
                handed = await asyncio.shield(taking)
                taking = None
                if handed:
                    self._free = limit - len(handed)
                    return Polled(assignments=handed, stop=[])
        except asyncio.CancelledError:
            self._free = 0
            self._pull.pause()
            if taking is not None:
                taking.add_done_callback(self._give_back)
            raise

    async def heartbeat(self, ids: Collection[str]) -> Beat:
        by_node: dict[str | None, list[str]] = {}
        for id_ in ids:
            by_node.setdefault(self._home(id_).node, []).append(id_)
        # All at once: several nodes that do not answer would use up the leases of the others.
        beats = await asyncio.gather(*(self._beat_of(*each) for each in by_node.items()), return_exceptions=True)
        kept, lost = list[str](), list[str]()
        for beat in beats:
            if isinstance(beat, BaseException):
                continue
            kept += beat.kept
            lost += beat.lost
        for id_ in lost:
            self._homes.pop(id_, None)
        broken = next((beat for beat in beats if isinstance(beat, BaseException)), None)
        if broken is not None and not kept and not lost:
            raise broken
        return Beat(kept=kept, lost=lost, lease_expires_at=self._clock.now() + LEASE)

    async def complete(self, id_: str, result: Any, scope: dict[str, Any] | None) -> None:
        await self._report("complete", id_, Done(id_, result, scope))

    async def fail(self, id_: str, error: ErrorInfo) -> None:
        await self._report("fail", id_, Failed(id_, error.type, error.message, error.details, error.retryable))

    async def release(self, ids: Collection[str]) -> None:
        for node in {self._home(id_).node: None for id_ in ids}:
            own = [id_ for id_ in ids if self._home(id_).node == node]
            if node is not None:
                with suppress(_Gone, TimeoutError):  # then its jobs come to others when the leases end
                    await self._ask(node, "release", Ids(self._worker, own))
        for id_ in ids:
            self._homes.pop(id_, None)

    def on_stop(self, stop: Callable[[Collection[str]], None]) -> None:
        self._stop = stop

    # ── Taking ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _take(self, pulled: Sequence[Pulled]) -> list[Handed]:
        """The jobs of these tickets, as far as they are to be had; the tickets are settled."""
        by_node: dict[str, dict[str, Pulled]] = {}
        for each in pulled:
            try:
                ticket = decoded(each.body, Ticket)
            except Garbage:
                _log.warning("a message in the stream %s is no ticket, and is deleted", self._names.stream)
                await self._pull.drop(each)
                continue
            twin = by_node.setdefault(ticket.node, {}).pop(ticket.id, None)
            if twin is not None:
                await self._pull.drop(twin)
            by_node[ticket.node][ticket.id] = each
        taken = await asyncio.gather(*(self._take_from(node, own) for node, own in by_node.items()))
        return [handed for some in taken for handed in some]

    async def _take_from(self, node: str, tickets: dict[str, Pulled]) -> list[Handed]:
        found: list[Handed] = []
        ids = list(tickets)
        while ids:
            try:
                answer, handed = await self._asked_for(node, ids)
            except _Gone:  # its jobs have other tickets, of whoever took them over
                await self._settle(tickets, ids, self._pull.drop)
                break
            except (ConnectionError, TimeoutError, TooLarge) as error:
                _log.info("node %s does not hand out its work: %s", node, error)
                await self._settle(tickets, ids, lambda each: self._pull.later(each, BUSY_SECONDS))
                break
            found += handed
            for each in handed:
                self._homes[each.id] = _Home(node)
            await self._settle(tickets, [*(each.id for each in handed), *answer.gone], self._pull.drop)
            await self._settle(tickets, answer.not_yours, lambda each: self._pull.later(each, NOT_MINE_SECONDS))
            ids = list(answer.again)
        return found

    async def _asked_for(self, node: str, ids: list[str]) -> tuple[TakeAnswer, list[Handed]]:
        """What the node says, and what it hands out.

        Raises:
            _Gone, TimeoutError, ConnectionError, TooLarge: nothing.
        """
        body = await self._parts.whole(await self._ask(node, "take", Ids(self._worker, ids)))
        try:
            answer = decoded(body, TakeAnswer)
            return answer, [read_handed(document) for document in answer.assignments]
        except Garbage as error:
            raise ConnectionError(f"it says what is not understood: {error}") from None

    async def _settle(self, tickets: Mapping[str, Pulled], ids: Iterable[str], settle: Callable[..., Any]) -> None:
        for id_ in ids:
            if id_ in tickets:
                await settle(tickets[id_])

    def _give_back(self, taking: asyncio.Task[list[Handed]]) -> None:
        """Who asked is not there any more."""
        if not taking.cancelled() and taking.exception() is None and taking.result():
            self._spawn(self._released([handed.id for handed in taking.result()]))

    async def _released(self, ids: list[str]) -> None:
        with suppress(ConnectionError):
            await self.release(ids)

    # ── Asking nodes ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _beat_of(self, node: str | None, ids: list[str]) -> Beat:
        """The answer of the node to a sign of life, or of those that have its jobs now."""
        kept, lost = list[str](), list[str]()
        if node is not None:
            with suppress(_Gone, TimeoutError):
                answer = _answer(await self._ask(node, "heartbeat", Ids(self._worker, ids)))
                check(answer)
                kept, lost = list(answer.kept), list(answer.lost)
                ids = [id_ for id_ in ids if id_ in answer.moved]
            for id_ in ids:
                self._lose_home(id_)
        if ids:
            given_up = await self._given_up(ids)
            lost += given_up
            kept += [id_ for id_ in ids if id_ not in given_up]
        return Beat(kept=kept, lost=lost, lease_expires_at=0)

    async def _given_up(self, ids: list[str]) -> list[str]:
        """Say to all nodes that these are being worked on. Returns those that nobody has asked for in a long time."""
        for answer in await self._ask_all("heartbeat", Ids(self._worker, ids)):
            for id_ in answer.kept:
                self._homes[id_] = _Home(answer.node)
        return [id_ for id_ in ids if self._is_lost(id_)]

    async def _report(self, call: str, id_: str, report: Done | Failed) -> None:
        """Tell the node, or whoever has its job now.

        Raises:
            ConnectionError: nobody hears it at the moment. Conflict: nobody waits for it. StepwellError: it is refused.
        """
        home = self._home(id_)
        if home.node is not None:
            with suppress(_Gone, TimeoutError, Moved):
                check(_answer(await self._ask(home.node, call, report, REPORT_PATIENCE)))
                self._homes.pop(id_, None)
                return
            self._lose_home(id_)
        said = await self._ask_all(call, report, first=True)
        answers = [answer for answer in said if answer.error is None or answer.error.code != MOVED]
        if answers:
            check(answers[0])
            self._homes.pop(id_, None)
        elif self._is_lost(id_):
            self._homes.pop(id_, None)
            raise Conflict("the node that waited for it is gone, and no other one asks for it", code="not-assigned")
        else:
            raise ConnectionError("the node that waited for it is gone, and no other one has its work yet")

    async def _ask(self, node: str, call: str, asked: msgspec.Struct, patience: float | None = None) -> bytes:
        """The node's answer.

        Raises:
            _Gone: there is no such node. TimeoutError: it does not answer. ConnectionError: there is no connection.
        """
        import nats.errors

        subject = f"{self._names.node(node)}.{call}"
        try:
            answer = await self.link.request(subject, self._fit(asked), patience or PATIENCE)
        except nats.errors.NoRespondersError:
            raise _Gone(f"node {node} is gone") from None
        except (nats.errors.TimeoutError, TimeoutError):
            raise TimeoutError(f"node {node} does not answer") from None
        except nats.errors.Error as error:
            raise ConnectionError(str(error)) from None
        return answer.data

    async def _ask_all(self, call: str, asked: msgspec.Struct, *, first: bool = False) -> list[Answer]:
        """The answers of all nodes that have one; only the first of them when that is enough.

        Raises:
            ConnectionError: there is no connection.
        """
        import nats.errors

        client, answers = self.link.client, list[Answer]()
        inbox = client.new_inbox()
        try:
            subscription = await client.subscribe(inbox)
            await client.publish(f"{self._names.all_nodes}.{call}", self._fit(asked), reply=inbox)
            async with asyncio.timeout(ALL_PATIENCE):
                while not (first and answers):
                    message = await subscription.next_msg(timeout=ALL_PATIENCE)
                    if message.headers and "Status" in message.headers:  # there is no node at all
                        break
                    answers.append(_answer(message.data))
            await subscription.unsubscribe()
        except TimeoutError:
            await subscription.unsubscribe()
        except nats.errors.Error as error:
            raise ConnectionError(str(error)) from None
        finally:
            check_cancelled()
        return answers

    def _fit(self, asked: msgspec.Struct) -> bytes:
        """The document for a message.

        Raises:
            ConnectionError: there is no connection.
        """
        return self._parts.fit(msgspec.json.encode(asked))

    def _home(self, id_: str) -> _Home:
        home = self._homes.get(id_)
        if home is None:
            home = self._homes[id_] = _Home(None, self._clock.now())
        return home

    def _lose_home(self, id_: str) -> None:
        if self._home(id_).node is not None:
            self._homes[id_] = _Home(None, self._clock.now())

    def _is_lost(self, id_: str) -> bool:
        """Whether nobody has asked for it for very long."""
        home = self._home(id_)
        return home.node is None and self._clock.now() - home.lost_since >= LOST_AFTER

    # ── Being told ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _subscribe(self, client: Client) -> None:
        await client.subscribe(self._names.stops(self._worker), cb=self._told_to_stop)
        await client.subscribe(self._names.places, cb=self._told_of_line)
        await self._pull.open(client, await self._lines(client))

    async def _lines(self, client: Client) -> list[Place]:
        """The lines that it serves: those of its queues that ask for nothing, and others that are there already."""
        js = client.jetstream(timeout=PATIENCE)
        found = dict.fromkeys((queue, labels_of(None)) for queue in self._queues)
        from nats.errors import NoRespondersError
        from nats.js.errors import NotFoundError, ServiceUnavailableError

        try:
            for page in itertools.count():
                consumers = await js.consumers_info(self._names.stream, offset=256 * page)
                for info in consumers:
                    line = _line_of((info.config.metadata or {}).get("line", ""))
                    if line is not None and self._serves(line):
                        found[line] = None
                if len(consumers) < 256:
                    break
        except NotFoundError:
            pass  # no node has been there yet; whoever is first tells of its lines
        except (NoRespondersError, ServiceUnavailableError):
            raise ConnectionError(NO_JETSTREAM) from None
        return list(found)

    def _serves(self, place: Place) -> bool:
        return place[0] in self._queues and set(labels_of(self._labels)).issuperset(place[1])

    async def _told_to_stop(self, message: Msg) -> None:
        with suppress(Garbage):
            told = decoded(message.data, Stop)
            ids = [id_ for id_ in told.stop if id_ in self._homes and self._homes[id_].node == told.node]
            for id_ in ids:
                del self._homes[id_]
            if ids:
                self._stop(ids)

    async def _told_of_line(self, message: Msg) -> None:
        line = _line_of(message.data)
        if line is not None and self._serves(line):
            self._pull.add(line)

    async def _greet(self) -> None:
        while True:
            await self.link.up()
            hello = Hello(self._worker, self._queues, self._labels, self._free)
            with suppress(Exception):  # it greets again
                await self.link.client.publish(self._names.hello, msgspec.json.encode(hello))
            await asyncio.sleep(HELLO_SECONDS)

    def _spawn(self, work: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class _Gone(Exception):
    """A node is there no more."""


def _answer(body: bytes) -> Answer:
    """What a node answers.

    Raises:
        ConnectionError: it is not to be understood.
    """
    try:
        return decoded(body, Answer)
    except Garbage as error:
        raise ConnectionError(f"a node says what is not understood: {error}") from None


def _line_of(said: str | bytes) -> Place | None:
    try:
        line = decoded(said.encode() if isinstance(said, str) else said, LineSaid)
    except Garbage:
        return None
    return (line.queue, labels_of(line.labels))
