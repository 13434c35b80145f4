"""Fetching tickets from the stream: so many as the worker has places for, and no more.

JetStream gives messages to who asks for them. Each line of jobs has a consumer of its own, and each consumer is asked;
so more tickets may come than there are places. Those are given back at once, for others.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stepwell.worker.jobs import Place
from stepwell.worker.nats_link import Link, check_cancelled
from stepwell.worker.nats_names import Names
from stepwell.worker.nats_tickets import make_consumer

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

EXPIRES_SECONDS: Final = 20
"""So long a request for tickets stands."""
GRACE_SECONDS: Final = 5.0
"""A request of which nothing was heard for so long after that is lost: a server of the cluster died that had it."""
AGAIN_SECONDS: Final = 0.5
"""After so long it is asked again when a consumer is not there."""
PATIENCE: Final = 5.0
_EXPIRED: Final = frozenset({"404", "408"})
"""What a request is answered with that has had its time."""
_SECOND: Final = 1_000_000_000
"""In the broker's nanoseconds."""

_log = logging.getLogger("stepwell.worker")


class Pulled(NamedTuple):
    """A message of the stream, and where its fate is told."""

    body: bytes
    reply: str


class _Request:
    """So many tickets were asked for, and have not come yet; `until` then, in the event loop's time."""

    def __init__(self, place: Place, left: int, until: float) -> None:
        self.place = place
        self.left = left
        self.until = until


class Pull:
    """Fetches the tickets of some lines."""

    def __init__(self, link: Link, names: Names) -> None:
        self._link = link
        self._names = names
        self._inbox = ""
        self._client: Client | None = None
        self._numbers = itertools.count(1)
        self._by_consumer: dict[str, Place] = {}
        self._missing: set[Place] = set()
        self._not_before: dict[Place, float] = {}
        self._requests: dict[str, _Request] = {}
        self._arrived: deque[Pulled] = deque()
        self._room = 0  # so many may still come
        self._news = asyncio.Event()

    async def open(self, client: Client, places: Iterable[Place]) -> None:
        """Fetch on a new connection; what was asked for on the one before will not come."""
        self._client = client
        self._inbox = client.new_inbox()
        self._requests.clear()
        self._arrived.clear()
        await client.subscribe(f"{self._inbox}.*", cb=self._came)
        for place in places:
            self.add(place)
        self._missing = set(self._by_consumer.values())
        self._news.set()

    def add(self, place: Place) -> None:
        """Serve this line, too."""
        name = self._names.consumer(place)
        if name not in self._by_consumer:
            self._by_consumer[name] = place
            self._missing.add(place)
            self._news.set()

    async def fetched(self, limit: int, until: float) -> list[Pulled]:
        """At least one ticket, and at most `limit`; none when it is `until`, in the event loop's time."""
        loop = asyncio.get_running_loop()
        while True:
            self._room = limit - len(self._arrived)
            if self._arrived:
                some = [self._arrived.popleft() for _ in range(min(limit, len(self._arrived)))]
                self._room = max(0, limit - len(some))
                return some
            await self._ask(limit)
            check_cancelled()
            self._news.clear()
            if self._arrived:
                continue
            pause = until - loop.time()
            if pause <= 0:
                return []
            if self._not_before and self._link.is_up:
                pause = min(pause, AGAIN_SECONDS)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._news.wait()

    def pause(self) -> None:
        """Take nothing until asked again."""
        self._room = 0
        while self._arrived:
            self._respond(self._arrived.popleft(), b"-NAK")

    async def give_back(self) -> None:
        """Take nothing any more."""
        self.pause()
        self._by_consumer.clear()

    async def drop(self, pulled: Pulled) -> None:
        """The ticket has served its purpose, or has none."""
        self._respond(pulled, b"+ACK")

    async def later(self, pulled: Pulled, seconds: float) -> None:
        """The ticket is for somebody else, or for later."""
        self._respond(pulled, b'-NAK {"delay": %d}' % int(seconds * _SECOND))

    def _respond(self, pulled: Pulled, said: bytes) -> None:
        client = self._client
        if client is not None and client.is_connected:
            task = asyncio.ensure_future(client.publish(pulled.reply, said))
            task.add_done_callback(_ignored)

    async def _ask(self, limit: int) -> None:
        """Have every consumer asked for as many as there is room for."""
        client = self._client
        if client is None or not client.is_connected:
            return
        now = asyncio.get_running_loop().time()
        self._requests = {number: request for number, request in self._requests.items() if request.until > now}
        for name, place in tuple(self._by_consumer.items()):
            if self._not_before.get(place, 0) > now:
                continue
            self._not_before.pop(place, None)
            asked = sum(request.left for request in self._requests.values() if request.place == place)
            if asked >= limit:
                continue
            if place in self._missing and not await self._made(client, place):
                continue
            number = str(next(self._numbers))
            self._requests[number] = _Request(place, limit - asked, now + EXPIRES_SECONDS + GRACE_SECONDS)
            wanted = {"batch": limit - asked, "expires": EXPIRES_SECONDS * _SECOND}
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._names.stream}.{name}"
            with suppress(Exception):  # the connection has just been lost
                await client.publish(subject, msgspec.json.encode(wanted), reply=f"{self._inbox}.{number}")

    async def _made(self, client: Client, place: Place) -> bool:
        """Whether the line has a consumer now."""
        try:
            await make_consumer(client.jetstream(timeout=PATIENCE), self._names, place)
        except Exception as error:  # the stream is not there yet: a node makes it
            _log.debug("queue %s has no consumer yet: %s", place[0], error)
            self._wait_with(place)
            return False
        self._missing.discard(place)
        return True

    async def _came(self, message: Msg) -> None:
        number = message.subject.removeprefix(f"{self._inbox}.")
        if number in self._requests or number.isdecimal():
            self._note_status(number, message)
            return
        consumer = _consumer_of(message.reply)
        place = self._by_consumer.get(consumer)
        self._count_down(place)
        pulled = Pulled(message.data, message.reply)
        if self._room > 0:
            self._room -= 1
            self._arrived.append(pulled)
            self._news.set()
        else:
            self._respond(pulled, b"-NAK")

    def _note_status(self, number: str, message: Msg) -> None:
        """A request has ended: it has expired, or there is nobody to answer it."""
        request = self._requests.pop(number, None)
        if request is not None and (message.headers or {}).get("Status") not in _EXPIRED:
            self._missing.add(request.place)  # perhaps it was deleted
            self._wait_with(request.place)
        self._news.set()

    def _wait_with(self, place: Place) -> None:
        """Ask nothing of its consumer for a moment."""
        self._not_before[place] = asyncio.get_running_loop().time() + AGAIN_SECONDS

    def _count_down(self, place: Place | None) -> None:
        for number, request in self._requests.items():
            if request.place == place:
                request.left -= 1
                if request.left <= 0:
                    del self._requests[number]
                return


def _consumer_of(reply: str) -> str:
    """The consumer that a message came from: `$JS.ACK.stream.consumer...`, or with a domain and an account before."""
    parts = reply.split(".")
    return parts[3] if len(parts) == 9 else parts[5] if len(parts) > 9 else ""


def _ignored(task: asyncio.Future[None]) -> None:
    """What was not said is found out later: the ticket is handed out again."""
    if not task.cancelled():
        task.exception()
