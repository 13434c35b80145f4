"""Clients: they start executions and publish events, at any node, and ask again until they are answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from random import Random
from typing import Any, Final

import aiohttp
import msgspec

from tests.chaos.documents import WORKFLOWS, Amount

API: Final = "/api/v1"
CLIENTS: Final = 100
PATIENCE: Final = aiohttp.ClientTimeout(total=5)
REPEATED: Final = 0.1
"""So many requests are sent once more after they were answered."""
SOON: Final = 0.2


class Request(msgspec.Struct, frozen=True):
    """One thing to be asked for, under a key that makes it be done once.

    Attributes:
        after: the key of a start that must have been acknowledged before; empty for none.
    """

    key: str
    path: str
    body: dict[str, Any]
    after: str = ""


class Answers:
    """What clients were told.

    Attributes:
        started: by key, the execution that was acknowledged.
        accepted: the keys of events that were.
        asked_again: requests that were not answered, or with an error that will pass.
        wrong: answers that must not be.
    """

    def __init__(self) -> None:
        self.started: dict[str, str] = {}
        self.accepted: set[str] = set()
        self.asked_again = 0
        self.wrong: list[str] = []

    def take(self, request: Request, answer: dict[str, Any]) -> None:
        """The request was answered."""
        if request.path == f"{API}/events":
            self.accepted.add(request.key)
            return
        execution = answer["execution_id"]
        if self.started.setdefault(request.key, execution) != execution:
            self.wrong.append(f"{request.key} was told of two executions")


def requests_of(amount: Amount, chance: Random) -> Sequence[Request]:
    """All of them, in any order, but that an event for a wait comes after the start of the execution that waits, for
    events from before it do not count."""
    found = [_start("plain", number) for number in range(amount.plain)]
    found += [_event("order.placed", number) for number in range(amount.placed)]
    found += [_event("order.seen", number) for number in range(amount.unwanted)]
    places = [(chance.random(), request) for request in found]
    for number in range(amount.waiting):
        starts, wakes = sorted((chance.random(), chance.random()))
        places.append((starts, _start("waiting", number)))
        places.append((wakes, _event("order.paid", number, after=f"waiting-{number}")))
    return [request for _, request in sorted(places, key=lambda each: each[0])]


def _start(workflow: str, number: int) -> Request:
    return Request(f"{workflow}-{number}", f"{API}/workflows/{workflow}/executions", {"input": {"number": number}})


def _event(type_: str, number: int, after: str = "") -> Request:
    key = f"{type_}-{number}"
    body = {"specversion": "1.0", "id": key, "source": "chaos", "type": type_, "data": {"number": number}}
    return Request(key, f"{API}/events", body, after)


class Clients:
    """So many, who share the requests.

    Args:
        urls: of the nodes. spread: seconds over which the requests are sent.
    """

    def __init__(self, urls: Sequence[str], requests: Sequence[Request], spread: float, chance: Random) -> None:
        self._urls = urls
        self._requests = requests
        self._spread = spread
        self._chance = chance
        self._next = 0
        self.answers = Answers()

    async def register(self) -> None:
        """The workflows, at the first node."""
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            for document in WORKFLOWS:
                async with session.post(f"{self._urls[0]}{API}/workflows", json=document) as answer:
                    if answer.status not in (200, 201):
                        raise RuntimeError(await answer.text())

    async def run(self) -> None:
        """Until everything was answered."""
        self._began = time.monotonic()
        async with aiohttp.ClientSession(timeout=PATIENCE) as session:
            await asyncio.gather(*(self._client(session) for _ in range(CLIENTS)))

    async def _client(self, session: aiohttp.ClientSession) -> None:
        while self._next < len(self._requests):
            number, self._next = self._next, self._next + 1
            due = self._began + self._spread * number / len(self._requests)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            request = self._requests[number]
            while request.after and request.after not in self.answers.started:
                await asyncio.sleep(SOON / 10)
            await self._ask(session, request)
            if self._chance.random() < REPEATED:
                await self._ask(session, request)

    async def _ask(self, session: aiohttp.ClientSession, request: Request) -> None:
        """Ask one node after the other."""
        headers = {"Idempotency-Key": request.key} if request.path != f"{API}/events" else {}
        while True:
            url = self._chance.choice(self._urls) + request.path
            try:
                async with session.post(url, json=request.body, headers=headers) as answer:
                    if answer.status < 300:
                        self.answers.take(request, await answer.json())
                        return
                    if answer.status < 500 and answer.status != 429:
                        self.answers.wrong.append(f"{request.key}: {answer.status} {await answer.text()}")
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.answers.asked_again += 1
            await asyncio.sleep(self._chance.uniform(SOON / 2, SOON * 2))
