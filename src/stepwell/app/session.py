"""The composition root: configuration in, a running engine out. The only place that knows all rooms."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

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
from stepwell.ports.measures import Measures
from stepwell.ports.services import Cipher, SecretSource
from stepwell.ports.store import Store
from stepwell.ports.work import Observer, TaskHandler
from stepwell.services.cipher import AesCipher, LazyCipher, LazyKeyFile, MissingCipher, RingCipher, environment_keys
from stepwell.services.registry import ServiceTable
from stepwell.services.secret_table import KeyRing, SecretTable
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
    tracing: Tracing | None = None
    handlers: Mapping[str, TaskHandler] = {}
    queues: Queues | None = None
    remote: RemoteWork | None = None


def configured_store(configuration: Configuration) -> Store:
    """The configured store, not yet open.

    Raises:
        ConfigurationError: (code `invalid-store`) there is no such store; (code `missing-library`) it needs something
            that is not installed.
    """
    section = configuration.state_store
    return store_for(section.url, plugins_of(configuration.plugins).stores(), reconnect=section.reconnect)


@asynccontextmanager
async def open_store(configuration: Configuration, *, migrate: bool = True) -> AsyncIterator[Store]:
    """The configured store, open.

    Raises:
        StoreError: it cannot be used; see `ports.Store.open`.
    """
    store = configured_store(configuration)
    await store.open(migrate=migrate)
    try:
        yield store
    finally:
        await store.close()


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
    if store is None:
        async with (
            open_store(configuration) as own,
            open_session(
                configuration,
                registries,
                store=own,
                shard=shard,
                take_over=take_over,
                has_queues=has_queues,
                observer=observer,
                announce=announce,
                clock=clock,
                measures=measures,
                keeps_logs=keeps_logs,
                joins=joins,
            ) as session,
        ):
            yield session
        return
    clock = clock or SystemClock()
    await check_key(store, configuration.state_store.url, clock.now(), os.environ)
    codec = Codec(cipher_for(configuration, announce))
    services = ServiceTable(services_of(configuration), clock)
    channels = channels_of(configuration)
    plugins = plugins_of(configuration.plugins)
    plugins.register(registries)
    add_packs(configuration.packs, registries)

    outbox = Outbox(configuration.events.sinks, codec)

    async def publish(event: Event, trace: str) -> bool:
        now = clock.now()
        told = outbox.writes(event, trace, now)
        return not (await triggering.publish_by(engine, event, now, writes=told, trace=trace)).duplicate

    keys = keys_of(configuration.state_store.url, announce)
    secret_store = SecretStore(store, keys, clock)
    secret_source = secrets_of(configuration, [SecretTable(store, KeyRing(keys)), *plugins.secrets()])
    handlers = {
        **builtin_handlers(
            services,
            registries.tasks,
            registries.rules,
            channels=channels,
            notifiers=plugins.notifiers(),
            models=registries.models
            or models_of(configuration, registries, lambda value: opened(value, secret_source, [])),
            directory=directory_of(configuration),
            guard=guard_of(configuration),
        ),
        **capable_handlers(configuration),
        "emit_event": EmitEventHandler(publish, clock),
        **registries.handlers_of_executors(),
        **plugins.handlers(),
    }
    names, policies = services.names(), policies_of(configuration)
    brokers = configuration.events.brokers().keys()
    catalogue = catalogue_of(registries, set(handlers), names, policies, channels.keys(), plugins, brokers)
    allowances = Allowances(configuration.security, store, clock)
    definitions = Definitions(store, catalogue, allowances.check_start)
    execution = configuration.execution
    tracing = tracing_of(configuration)
    engine = Engine(
        store,
        codec,
        clock,
        definitions.plan,
        owner_name(),
        limits_of(configuration),
        together(observer, tracing, lines_of(configuration)),
        service_gates=service_gates_of(configuration),
        named_plans=lambda name, version: definitions.plan_named(Reference(name, version)),
        measures=measures,
        joins=joins,
    )
    traceparent = tracing.traceparent if tracing is not None else None
    worker = LocalWorker(
        handlers,
        engine.report,
        clock,
        secret_source,
        max_concurrent=execution.max_concurrent_tasks,
        queue_timeout=execution.queuing.timeout,
        traceparent=traceparent,
        is_known=keeps_logs,
    )
    remote = RemoteWork(
        configuration,
        worker,
        handlers,
        plugins.dispatchers(),
        engine.report,
        clock,
        secret_source,
        traceparent,
        has_queues=has_queues,
    )
    engine.connect(remote.dispatcher)
    if tracing is not None:
        tracing.attach(engine.peek)
        show_traces(tracing)
    triggering = Triggering(store, definitions.stored, allowances.check_start)
    if configuration.events.brokers() and not has_queues:
        _log.warning("brokers are configured: only a server (stepwell serve) reads topics and tells sinks")
    try:
        packs = [pack for folder in configuration.packs for pack in registries.packs[folder]]
        await register_workflows(packs, definitions, clock.now(), this_user())
        await remote.open()
        await engine.open(shard, take_over=take_over, behind=shards_shared(configuration))
        yield Session(
            engine,
            definitions,
            store,
            codec,
            worker,
            triggering,
            secret_source,
            secret_store,
            allowances,
            services,
            tracing,
            handlers,
            remote.queues,
            remote,
        )
    finally:
        await asyncio.shield(remote.close())
        await asyncio.shield(engine.close())
        if tracing is not None:
            await asyncio.shield(asyncio.to_thread(tracing.close))


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
