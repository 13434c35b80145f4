"""`worker`: steps of the queues of a server, or of those that NATS offers, done in this process."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import msgspec

from stepwell.app.capabilities import capable_handlers
from stepwell.app.configuration import Configuration, with_nats
from stepwell.app.plugins import plugins_of
from stepwell.app.registries import Registries
from stepwell.app.remote_work import nats_options
from stepwell.app.services import services_of
from stepwell.app.session import secrets_of
from stepwell.base.clock import SystemClock
from stepwell.base.durations import SECOND
from stepwell.base.errors import ErrorInfo, UsageError
from stepwell.base.instants import from_rfc3339
from stepwell.cli.interrupts import Interrupted, Interrupts
from stepwell.cli.opening import configuration_of, registries_of
from stepwell.cli.options import Setup
from stepwell.cli.remote.client import PATIENCE, Client, open_client
from stepwell.cli.remote.errors import ServerError
from stepwell.cli.streams import output_kept_clean, say
from stepwell.ports.work import TaskHandler
from stepwell.services.registry import ServiceTable
from stepwell.tasks.builtin import builtin_handlers
from stepwell.worker.queues import Beat, Handed, Polled
from stepwell.worker.remote import Fetching, RemoteWorker


class _Worker(NamedTuple):
    """What a worker is to be."""

    name: str
    queues: Sequence[str]
    labels: dict[str, str]
    concurrency: int
    handlers: dict[str, TaskHandler]


def work(
    queues: Sequence[str], concurrency: int, name: str | None, labels: Sequence[str], nats: str | None, setup: Setup
) -> int:
    """Serve the queues until the process is told to end.

    Args:
        labels: `NAME=VALUE`, each.
        nats: the URL of a NATS server; None for the configured one.

    Raises:
        UsageError: neither a server nor NATS was named, or both. ConfigurationError: the configuration or a module is
            wrong, or NATS refuses this client.
    """
    named = _labels_of(labels)
    with output_kept_clean():
        configuration = configuration_of(setup)
        if nats is not None:
            configuration = with_nats(configuration, nats, where="--nats")
        _check_source(configuration, nats, setup)
        handlers = handlers_of(configuration, registries_of(setup))
    called = name if name is not None else f"{socket.gethostname()}/{os.getpid()}"
    worker = _Worker(called, queues, named, concurrency, handlers)
    asyncio.run(_work(worker, configuration, setup))
    return 0


def _labels_of(written: Sequence[str]) -> dict[str, str]:
    labels: dict[str, str] = {}
    for each in written:
        name, separator, value = each.partition("=")
        if not (name and separator):
            hint = "write --label NAME=VALUE, such as --label gpu=true"
            raise UsageError(f"--label {each!r} is not a name and a value", hint=hint)
        labels[name] = value
    return labels


def _check_source(configuration: Configuration, nats: str | None, setup: Setup) -> None:
    """That it is clear whom to fetch from."""
    if setup.server is not None and nats is not None:
        raise UsageError("--server and --nats contradict each other: give one of them")
    if setup.server is None and configuration.nats is None:
        hint = "give its URL with --server or STEPWELL_SERVER, or that of NATS with --nats or STEPWELL_NATS"
        raise UsageError("a worker needs a server to fetch from", code="missing-server", hint=hint)


def handlers_of(configuration: Configuration, registries: Registries) -> dict[str, TaskHandler]:
    """What a worker can do here.

    Raises:
        ConfigurationError: something configured is wrong.
    """
    plugins = plugins_of(configuration.plugins)
    plugins.register(registries)
    services = ServiceTable(services_of(configuration))
    return {
        **builtin_handlers(services, registries.tasks, registries.rules, models=registries.models),
        **capable_handlers(configuration),
        **registries.handlers_of_executors(),
        **plugins.handlers(),
    }


async def _work(what: _Worker, configuration: Configuration, setup: Setup) -> None:
    interrupts = Interrupts()
    with interrupts.listening(), suppress(Interrupted):  # before it has begun
        async with _fetching(what, configuration, setup, interrupts) as (fetching, where):
            worker = RemoteWorker(fetching, what.handlers, SystemClock(), what.concurrency)
            say(f"worker {what.name} serves {', '.join(what.queues)} of {where}, {what.concurrency} at once")
            running = asyncio.create_task(worker.run())
            try:
                await _until_told(interrupts, running)
            except Interrupted:
                worker.drain()
                if worker.running:
                    say(f"stopping: {worker.running} at work; once more gives them back")
                await _until_ended(worker, running)


@asynccontextmanager
async def _fetching(
    what: _Worker, configuration: Configuration, setup: Setup, interrupts: Interrupts
) -> AsyncIterator[tuple[Fetching, str]]:
    """How it fetches, and from where, for people.

    Raises:
        ConfigurationError: NATS refuses this client, or what is needed for it is missing. Interrupted: the process is
            told to end.
    """
    if setup.server is not None:
        async with open_client(setup) as client:
            yield _Server(client, what), client.base
        return
    assert configuration.nats is not None, "it was checked that there is one"
    from stepwell.worker.nats_fetching import NatsFetching

    options = nats_options(configuration.nats, secrets_of(configuration))
    fetching = NatsFetching(options, SystemClock(), what.name, what.queues, what.labels)
    await fetching.open()
    try:
        await interrupts.wait_for(fetching.link.first())
        yield fetching, options.where
    finally:
        await fetching.close()


async def _until_told(interrupts: Interrupts, running: asyncio.Task[None]) -> None:
    async def going_on() -> None:
        await asyncio.shield(running)

    await interrupts.wait_for(going_on())


async def _until_ended(worker: RemoteWorker, running: asyncio.Task[None]) -> None:
    again = Interrupts()
    with again.listening():
        try:
            await _until_told(again, running)
        except Interrupted:
            worker.give_up()
            await running


class _Server(Fetching):
    """The queues of a server, over HTTP."""

    def __init__(self, client: Client, what: _Worker) -> None:
        self._client = client
        self._name = what.name
        self._queues = list(what.queues)
        self._labels = what.labels

    async def poll(self, limit: int, wait: int) -> Polled:
        seconds = wait / SECOND
        body = {"worker": self._name, "queues": self._queues, "limit": min(limit, 1_000), "wait": seconds}
        if self._labels:
            body["labels"] = self._labels
        answer = await self._ask("poll", body, PATIENCE + seconds)
        handed = [msgspec.convert(_with_instant(each), Handed, strict=False) for each in answer["assignments"]]
        return Polled(assignments=handed, stop=answer["stop"])

    async def heartbeat(self, ids: Collection[str]) -> Beat:
        answer = await self._ask("heartbeat", {"worker": self._name, "assignments": list(ids)})
        return msgspec.convert(_with_instant(answer), Beat)

    async def complete(self, id_: str, result: Any, scope: dict[str, Any] | None) -> None:
        await self._ask("complete", {"id": id_, "result": result, "scope": scope})

    async def fail(self, id_: str, error: ErrorInfo) -> None:
        said = {"type": error.type, "message": error.message, "details": error.details, "retryable": error.retryable}
        await self._ask("fail", {"id": id_, **said})

    async def release(self, ids: Collection[str]) -> None:
        await self._ask("release", {"worker": self._name, "assignments": list(ids)})

    async def _ask(self, what: str, body: dict[str, Any], patience: float = PATIENCE) -> Any:
        """What the server answers.

        Raises:
            ConnectionError: nothing for now. StepwellError: it refuses.
        """
        try:
            return (await self._client.send("POST", f"/workers/{what}", body, patience=patience)).document
        except ServerError as error:  # it may be starting, or busy
            raise ConnectionError(error.message) from None


def _with_instant(document: dict[str, Any]) -> dict[str, Any]:
    return {**document, "lease_expires_at": from_rfc3339(document["lease_expires_at"])}
