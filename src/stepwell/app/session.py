"""The composition root: configuration in, a running engine out. The only place that knows all rooms."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec

from stepwell.app.allowances import Allowances
from stepwell.app.capabilities import capable_handlers, models_of
from stepwell.app.checking import catalogue_of
from stepwell.app.cluster import shards_shared
from stepwell.app.cluster_key import check_key
from stepwell.app.configuration import Configuration
from stepwell.app.definitions import Definitions
from stepwell.app.emitted import Outbox
from stepwell.app.network import guard_of
from stepwell.app.notifications import channels_of
from stepwell.app.packs import add_packs, register_workflows
from stepwell.app.plugins import plugins_of
from stepwell.app.policies import policies_of, service_gates_of
from stepwell.app.registries import Registries
from stepwell.app.registry import Reference
from stepwell.app.remote_work import RemoteWork
from stepwell.app.secret_store import SecretStore, keys_of
from stepwell.app.services import services_of
from stepwell.app.telemetry import lines_of, show_traces, together, tracing_of
from stepwell.app.triggering import Triggering
from stepwell.app.who import this_user
from stepwell.base.clock import Clock, SystemClock
from stepwell.engine.engine import Engine, Limits
from stepwell.engine.membership import Joining
from stepwell.execution.codec import Codec
from stepwell.execution.event import Event
from stepwell.execution.work import Assignment
from stepwell.ports.measures import Measures
from stepwell.ports.services import Cipher, SecretSource
from stepwell.ports.store import Store
from stepwell.ports.work import Observer, TaskHandler
from stepwell.services.cipher import AesCipher, LazyCipher, LazyKeyFile, MissingCipher, RingCipher, environment_keys
from stepwell.services.registry import ServiceTable
from stepwell.services.secret_table import KeyRing, Keys, SecretTable
from stepwell.services.secrets import CombinedSecrets, DirectorySecrets, EnvironmentSecrets
from stepwell.store.factory import is_on_server, sqlite_path, store_for, without_password
from stepwell.tasks.builtin import builtin_handlers
from stepwell.tasks.emit_event import EmitEventHandler
from stepwell.telemetry.tracing import Tracing
from stepwell.worker.local import LocalWorker
from stepwell.worker.opening import opened
from stepwell.worker.queues import Queues

_log = logging.getLogger(__name__)

Announce = Callable[[str], None]
"""Told what the user should know, such as that a key file was made."""


class Session(msgspec.Struct, frozen=True):
    """An open store and an engine that runs on it."""

    engine: Engine
    definitions: Definitions
    store: Store
    codec: Codec
    worker: LocalWorker
    triggering: Triggering
    secrets: CombinedSecrets
    secret_store: SecretStore
    allowances: Allowances
    services: ServiceTable
    tracing: Tracing | None
    handlers: Mapping[str, TaskHandler]
    queues: Queues | None
    remote: RemoteWork


def configured_store(configuration: Configuration, *, outlasts: bool = False) -> Store:
    """The configured store, not yet open.

    Args:
        outlasts: see `store.factory.store_for`.

    Raises:
        ConfigurationError: (code `invalid-store`) there is no such store; (code `missing-library`) it needs something
            that is not installed.
    """
    section = configuration.state_store
    others = plugins_of(configuration.plugins).stores()
    return store_for(section.url, others, reconnect=section.reconnect, outlasts=outlasts)


@asynccontextmanager
async def open_store(
    configuration: Configuration, *, migrate: bool = True, outlasts: bool = False
) -> AsyncIterator[Store]:
    """The configured store, open.

    Args:
        outlasts: of a server, whose process outlasts its database; see `store.factory.store_for`.

    Raises:
        StoreError: it cannot be used; see `ports.Store.open`.
    """
    store = configured_store(configuration, outlasts=outlasts)
    await store.open(migrate=migrate)
    try:
        yield store
    finally:
        await store.close()


class _Wiring:
    """The parts of a session, each made when another one, or the session, needs it first.

    Raises:
        ConfigurationError: something configured is wrong.
    """

    def __init__(
        self, configuration: Configuration, registries: Registries, store: Store, clock: Clock, announce: Announce
    ) -> None:
        self._configuration = configuration
        self._registries = registries
        self._store = store
        self._clock = clock
        self._announce = announce
        self._codec = Codec(cipher_for(configuration, announce))
        self._outbox = Outbox(configuration.events.sinks, self._codec)
        self._services = ServiceTable(services_of(configuration), clock)
        self._plugins = plugins_of(configuration.plugins)
        self._plugins.register(registries)
        add_packs(configuration.packs, registries)
        self._engine: Engine | None = None

    def session(self, engine: Engine, *, has_queues: bool, keeps_logs: bool) -> Session:
        """The whole, on this engine, which is connected to who does its work."""
        self._engine = engine
        worker = self._worker(engine, keeps_logs=keeps_logs)
        remote = self._remote(engine, worker, has_queues=has_queues)
        engine.connect(remote.dispatcher)
        if self._tracing is not None:
            self._tracing.attach(engine.peek)
            show_traces(self._tracing)
        if self._configuration.events.brokers() and not has_queues:
            _log.warning("brokers are configured: only a server (stepwell serve) reads topics and tells sinks")
        return Session(
            engine,
            self._definitions,
            self._store,
            self._codec,
            worker,
            self._triggering,
            self._secrets,
            SecretStore(self._store, self._keys, self._clock),
            self._allowances,
            self._services,
            self._tracing,
            self._handlers,
            remote.queues,
            remote,
        )

    # ── What it runs ─────────────────────────────────────────────────────────────────────────────────────────────────

    def engine(self, observer: Observer | None, measures: Measures | None, joins: Joining | None) -> Engine:
        """An engine; see `open_session`."""
        configuration, definitions = self._configuration, self._definitions
        return Engine(
            self._store,
            self._codec,
            self._clock,
            definitions.plan,
            owner_name(),
            limits_of(configuration),
            together(observer, self._tracing, lines_of(configuration)),
            service_gates=service_gates_of(configuration),
            named_plans=lambda name, version: definitions.plan_named(Reference(name, version)),
            measures=measures,
            joins=joins,
        )

    @cached_property
    def _allowances(self) -> Allowances:
        return Allowances(self._configuration.security, self._store, self._clock)

    @cached_property
    def _definitions(self) -> Definitions:
        configuration = self._configuration
        catalogue = catalogue_of(
            self._registries,
            set(self._handlers),
            self._services.names(),
            policies_of(configuration),
            self._channels.keys(),
            self._plugins,
            configuration.events.brokers().keys(),
        )
        return Definitions(self._store, catalogue, self._allowances.check_start)

    @cached_property
    def _triggering(self) -> Triggering:
        return Triggering(self._store, self._definitions.stored, self._allowances.check_start)

    @cached_property
    def _tracing(self) -> Tracing | None:
        return tracing_of(self._configuration)

    # ── What its steps do ────────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _keys(self) -> Keys:
        return keys_of(self._configuration.state_store.url, self._announce)

    @cached_property
    def _secrets(self) -> CombinedSecrets:
        stored = SecretTable(self._store, KeyRing(self._keys))
        return secrets_of(self._configuration, [stored, *self._plugins.secrets()])

    @cached_property
    def _channels(self) -> Mapping[str, Any]:
        return channels_of(self._configuration)

    @cached_property
    def _handlers(self) -> Mapping[str, TaskHandler]:
        configuration, registries, secrets = self._configuration, self._registries, self._secrets
        return {
            **builtin_handlers(
                self._services,
                registries.tasks,
                registries.rules,
                channels=self._channels,
                notifiers=self._plugins.notifiers(),
                models=registries.models
                or models_of(configuration, registries, lambda value: opened(value, secrets, [])),
                directory=directory_of(configuration),
                guard=guard_of(configuration),
            ),
            **capable_handlers(configuration),
            "emit_event": EmitEventHandler(self._publish, self._clock),
            **registries.handlers_of_executors(),
            **self._plugins.handlers(),
        }

    async def _publish(self, event: Event, trace: str) -> bool:
        """An event that a step emits."""
        assert self._engine is not None, "steps run when there is an engine"
        now = self._clock.now()
        told = self._outbox.writes(event, trace, now)
        published = await self._triggering.publish_by(self._engine, event, now, writes=told, trace=trace)
        return not published.duplicate

    # ── Who does their work ──────────────────────────────────────────────────────────────────────────────────────────

    @cached_property
    def _traceparent(self) -> Callable[[Assignment], str | None] | None:
        return self._tracing.traceparent if self._tracing is not None else None

    def _worker(self, engine: Engine, *, keeps_logs: bool) -> LocalWorker:
        execution = self._configuration.execution
        return LocalWorker(
            self._handlers,
            engine.report,
            self._clock,
            self._secrets,
            max_concurrent=execution.max_concurrent_tasks,
            queue_timeout=execution.queuing.timeout,
            traceparent=self._traceparent,
            is_known=keeps_logs,
        )

    def _remote(self, engine: Engine, worker: LocalWorker, *, has_queues: bool) -> RemoteWork:
        return RemoteWork(
            self._configuration,
            worker,
            self._handlers,
            self._plugins.dispatchers(),
            engine.report,
            self._clock,
            self._secrets,
            self._traceparent,
            recorded=engine.recorded,
            has_queues=has_queues,
        )


@asynccontextmanager
async def open_session(
    configuration: Configuration,
    registries: Registries,
    *,
    store: Store | None = None,
    shard: int | None = None,
    take_over: bool = False,
    has_queues: bool = False,
    observer: Observer | None = None,
    announce: Announce = lambda message: None,
    clock: Clock | None = None,
    measures: Measures | None = None,
    keeps_logs: bool = False,
    joins: Joining | None = None,
) -> AsyncIterator[Session]:
    """An engine on the configured store, or on `store`, which stays open then.

    Args:
        shard: the shard to own; None for a free one.
        take_over: also go on with what other engines, now gone, left unfinished.
        has_queues: steps that name a queue are fetched by workers elsewhere; otherwise they are done here, unless the
            configuration says otherwise.
        measures: told what the engine measures of itself.
        keeps_logs: somebody keeps what tasks log; see `telemetry.logs.TaskLines`.
        joins: how the engine shares shards with others on the store; None for one with a shard of its own.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        if store is None:
            store = await stack.enter_async_context(open_store(configuration))
        await check_key(store, configuration.state_store.url, clock.now(), os.environ)
        wiring = _Wiring(configuration, registries, store, clock, announce)
        engine = wiring.engine(observer, measures, joins)
        session = wiring.session(engine, has_queues=has_queues, keeps_logs=keeps_logs)
        remote, tracing = session.remote, session.tracing
        if tracing is not None:
            stack.push_async_callback(_closed, asyncio.to_thread, tracing.close)
        stack.push_async_callback(_closed, engine.close)
        stack.push_async_callback(_closed, remote.close)
        stack.callback(store.hasten)
        packs = [pack for folder in configuration.packs for pack in registries.packs[folder]]
        await register_workflows(packs, session.definitions, clock.now(), this_user())
        await remote.open()
        await engine.open(shard, take_over=take_over, behind=shards_shared(configuration))
        yield session


async def _closed(close: Callable[..., Awaitable[None]], *args: object) -> None:
    """Close it, all of it, even when whoever waits for that is cancelled meanwhile."""
    await asyncio.shield(close(*args))


def directory_of(configuration: Configuration) -> Path | None:
    """Where steps may write files; None when that is not configured, and they may not."""
    directory = configuration.files.directory
    return Path(directory).expanduser() if directory is not None else None


def limits_of(configuration: Configuration) -> Limits:
    """The engine's limits."""
    execution = configuration.execution
    return Limits(
        max_workflows=execution.max_workflows,
        queue_timeout=execution.queuing.timeout,
        default_timeout=execution.default_timeout,
        keep_events=configuration.events.keep,
    )


def owner_name() -> str:
    """Names this engine to whoever finds its shards taken."""
    return f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"


def cipher_for(configuration: Configuration, announce: Announce) -> Cipher:
    """Encrypts secret values: with the key of the environment, else of a file beside the database, made when needed. A
    database that is shared has no such place: without a key, what is secret is neither written nor read."""
    keys = environment_keys(os.environ)
    if keys:
        return RingCipher(keys)
    url = configuration.state_store.url
    if is_on_server(url):
        return MissingCipher(without_password(url))
    path = sqlite_path(url)
    if path is None:
        return AesCipher(secrets.token_bytes(32))
    return LazyCipher(LazyKeyFile(Path(f"{path.expanduser()}.key"), announce))


def secrets_of(configuration: Configuration, more: Sequence[SecretSource] = ()) -> CombinedSecrets:
    """Where `secrets.NAME` is looked up: the environment, then the configured folder, then the store and what plug-ins
    bring."""
    sources: list[SecretSource] = [EnvironmentSecrets(os.environ)]
    if configuration.secrets.directory is not None:
        sources.append(DirectorySecrets(Path(configuration.secrets.directory)))
    return CombinedSecrets([*sources, *more])
