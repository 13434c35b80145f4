"""What a server is made of: an engine on its store, and everything around it that runs as long as it does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from stepwell.app.alert_rules import Figures
from stepwell.app.alerting import Alerts
from stepwell.app.approval_care import ApprovalCare
from stepwell.app.approval_minding import ApprovalMinder
from stepwell.app.approvals import Approvals
from stepwell.app.brokers import Brokers, open_brokers
from stepwell.app.cluster import Cluster, Load, is_cluster, joining_of, with_others
from stepwell.app.configuration import Configuration
from stepwell.app.dead_letters import DeadLetters
from stepwell.app.feed import LifecycleFeed
from stepwell.app.happening import open_schedules, open_subscriptions
from stepwell.app.health import Health
from stepwell.app.idempotency import IdempotencyKeys
from stepwell.app.intervening import Interventions
from stepwell.app.lifecycle import Bell
from stepwell.app.log_keeping import LogKeeper
from stepwell.app.log_reading import Logs
from stepwell.app.monitoring import Monitoring, gauges_of
from stepwell.app.operating import Operators
from stepwell.app.peers import Peers
from stepwell.app.policy_settings import PolicySettings, open_policy_settings
from stepwell.app.publishing import Publishing
from stepwell.app.reading import Reading
from stepwell.app.registries import Registries
from stepwell.app.registry import Registry
from stepwell.app.schedules import Schedules
from stepwell.app.security import Security, open_security
from stepwell.app.service_settings import ServiceSettings, open_service_settings
from stepwell.app.session import Announce, Session, open_session, owner_name
from stepwell.app.starting import Starting
from stepwell.app.subscriptions import Subscriptions
from stepwell.app.telemetry import LifecycleLines, node_name
from stepwell.app.telling import People
from stepwell.app.webhooks import Webhooks
from stepwell.app.workflows import Workflows
from stepwell.base.clock import Clock, SystemClock
from stepwell.base.errors import StoreError
from stepwell.ports.store import Store
from stepwell.ports.work import Observer
from stepwell.telemetry.metrics import Gauges, Metrics

if TYPE_CHECKING:
    from stepwell.telemetry.exposition import Exposition

T = TypeVar("T")
_COUNTED_WITHIN: Final = 2.0
"""Seconds that the store has to say what it holds."""


class Parts:
    """The parts of an open server.

    Attributes:
        owner: unique text for this process.
        bell: says when something was committed here.
        metrics: what was counted and measured here.
    """

    def __init__(
        self,
        configuration: Configuration,
        registries: Registries,
        session: Session,
        clock: Clock,
        bell: Bell,
        metrics: Metrics,
    ) -> None:
        self.configuration = configuration
        self.registries = registries
        self.session = session
        self.clock = clock
        self.bell = bell
        self.metrics = metrics
        self.owner = owner_name()
        self.reading = Reading(session.store, session.codec, session.definitions)
        self.registry = Registry(session.store)
        self.operators = Operators(
            session.store, session.codec, session.definitions, clock, self.owner, box=session.engine.post_box
        )
        self.approvals = Approvals(session.store, self.reading)
        self.approval_care = ApprovalCare(session.store, self.approvals, session.codec, clock)
        self.dead_letters = DeadLetters(session.store)
        self.monitoring = Monitoring(session.store, clock, configuration.execution.max_workflows)
        self.logs = Logs(session.store, self.reading, session.codec)
        self.starting = Starting(session, clock)
        self.workflows = Workflows(session.store, self.registry, session.definitions, configuration, clock)
        self.publishing = Publishing(session, self.reading, self.approval_care, clock)
        self.webhooks = Webhooks(session.store, session.engine, session.triggering, session.secrets.of, clock)
        self.interventions = Interventions(session, self.operators, self.reading, clock)
        self.people = People(session.handlers["notify"], session.secrets, clock, "stepwell")
        self._services: list[object] = []
        self.cluster = Cluster(session.store, session.engine, clock, configuration)
        self.health = Health(session.store, session.engine, clock, node_name(), lambda: self._services)

    @property
    def store(self) -> Store:
        """Where everything is kept."""
        return self.session.store

    @cached_property
    def exposition(self) -> Exposition:
        """Shows the metrics to Prometheus."""
        from stepwell.telemetry.exposition import Exposition

        return Exposition(self.metrics)

    async def gauges(self) -> Gauges:
        """What metrics show that is looked up rather than counted.

        Raises:
            StoreError: the store cannot be asked.
        """
        executions, tasks = self._in_line()
        try:
            async with asyncio.timeout(_COUNTED_WITHIN):
                census = await self.monitoring.census()
        except TimeoutError:
            message = f"the store did not say within {_COUNTED_WITHIN:g} s what it holds"
            raise StoreError(message, code="store-unavailable") from None
        gauges = gauges_of(census, self.session.engine.gates(), executions, tasks)
        figures = [figure for each in self._services if isinstance(each, Brokers) for figure in each.figures()]
        return msgspec.structs.replace(gauges, brokers=figures)

    async def gauges_of_all(self) -> Gauges:
        """The same of all nodes together.

        Raises:
            StoreError: the store cannot be asked.
        """
        return with_others(await self.gauges(), self.session.engine)

    def load(self) -> Load:
        """What there is to do here, for the others to know."""
        queues = self.session.queues.states() if self.session.queues is not None else ()
        waits = {queue.name: queue.waiting for queue in queues if queue.waiting}
        is_open = [gate.name for gate in self.session.engine.gates() if gate.state == "open"]
        return Load(waits, sum(self._in_line()), is_open)

    def _in_line(self) -> tuple[int, int]:
        """Executions, and attempts, that stand in line here."""
        queues = self.session.queues.states() if self.session.queues is not None else ()
        tasks = (self.session.worker.load()["in_line"] or 0) + sum(queue.waiting for queue in queues)
        return self.session.engine.load()["in_line"] or 0, tasks

    def service(self, kind: type[T]) -> T:
        """The service of this class, which `SERVICES` opened.

        Raises:
            LookupError: there is none.
        """
        for service in self._services:
            if isinstance(service, kind):
                return service
        raise LookupError(f"no {kind.__name__} is among the services of this server")

    def add(self, service: object) -> None:
        """Have `service` find it."""
        self._services.append(service)


Service = Callable[[Parts], AbstractAsyncContextManager[Any]]
"""Gives, for the parts of a server, what is entered when it opens and left when it closes. What entering gives is found
by its class: `parts.service(Schedules)`."""


def _security(parts: Parts) -> AbstractAsyncContextManager[Security]:
    return open_security(parts.configuration, parts.store, parts.clock, parts.session.secrets)


def _idempotency_keys(parts: Parts) -> AbstractAsyncContextManager[IdempotencyKeys]:
    return IdempotencyKeys(parts.store, parts.clock, parts.session.codec).open()


def _policies(parts: Parts) -> AbstractAsyncContextManager[PolicySettings]:
    return open_policy_settings(parts.session.engine, parts.store, parts.configuration, parts.clock)


def _called(parts: Parts) -> AbstractAsyncContextManager[ServiceSettings]:
    return open_service_settings(parts.session.services, parts.store, parts.configuration, parts.clock)


def _feed(parts: Parts) -> AbstractAsyncContextManager[LifecycleFeed]:
    return LifecycleFeed(parts.store, parts.session.codec, parts.bell).open()


def _alerts(parts: Parts) -> AbstractAsyncContextManager[Alerts]:
    figures = Figures(parts.store, parts.monitoring, parts.gauges_of_all, parts.clock.now)
    engine = parts.session.engine
    return Alerts(parts.configuration, parts.store, figures, parts.people, parts.clock, lambda: engine.leads).open()


def _log_keeper(parts: Parts) -> AbstractAsyncContextManager[LogKeeper]:
    section = parts.configuration.logging.executions
    keeper = LogKeeper(parts.store, parts.clock, section.level, section.keep)
    parts.bell.add(keeper)
    return keeper.open()


def _schedules(parts: Parts) -> AbstractAsyncContextManager[Schedules]:
    return open_schedules(parts.session, parts.clock, parts.configuration)


def _minder(parts: Parts) -> AbstractAsyncContextManager[ApprovalMinder]:
    engine = parts.session.engine
    minder = ApprovalMinder(
        parts.store,
        parts.approvals,
        parts.people,
        parts.clock,
        lambda: engine.leads,
        lambda: [each.name for each in engine.nodes],
    )
    parts.bell.add(minder)
    return minder.open()


def _brokers(parts: Parts) -> AbstractAsyncContextManager[Brokers]:
    return open_brokers(parts.configuration, parts.session, parts.reading, parts.bell, parts.clock, parts.owner)


def _subscriptions(parts: Parts) -> AbstractAsyncContextManager[Subscriptions]:
    return open_subscriptions(parts.session, parts.clock, parts.configuration, parts.reading, parts.bell, parts.owner)


def _peers(parts: Parts) -> AbstractAsyncContextManager[Peers]:
    return Peers(parts.store, parts.session.engine, parts.clock).open()


SERVICES: Final[Sequence[Service]] = (
    _log_keeper,
    _policies,
    _called,
    _security,
    _idempotency_keys,
    _feed,
    _alerts,
    _schedules,
    _subscriptions,
    _brokers,
    _minder,
    _peers,
)
"""In the order in which they are opened; closed in reverse."""


@asynccontextmanager
async def open_server(
    configuration: Configuration,
    registries: Registries,
    *,
    store: Store | None = None,
    services: Sequence[Service] = SERVICES,
    observers: Sequence[Observer] = (),
    announce: Announce = lambda message: None,
    clock: Clock | None = None,
    url: str | None = None,
) -> AsyncIterator[Parts]:
    """Everything that a server needs, running.

    Args:
        store: an open one, which stays open; None for the configured one.
        services: what runs beside the engine.
        observers: told what was committed.
        announce: told what the user should know.
        url: where others reach this server, if that is known.

    Raises:
        StoreError: the store cannot be used. ConfigurationError: something configured is wrong.
    """
    clock = clock or SystemClock()
    metrics = Metrics(node_name())
    lines = LifecycleLines() if configuration.logging.level in ("warning", "error") else None  # else the session's
    bell = Bell(*observers, metrics, *([lines] if lines is not None else []))
    opened: list[Parts] = []

    def load() -> Load:
        return opened[0].load() if opened else Load()

    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            open_session(
                configuration,
                registries,
                store=store,
                take_over=True,
                has_queues=True,
                observer=bell,
                announce=announce,
                clock=clock,
                measures=metrics,
                keeps_logs=True,
                joins=joining_of(configuration, metrics.node, url, load) if is_cluster(configuration) else None,
            )
        )
        metrics.attach(session.engine.peek)
        parts = Parts(configuration, registries, session, clock, bell, metrics)
        opened.append(parts)
        for watched in session.remote.services():
            parts.add(watched)
        with parts.health.watching():
            for service in services:
                parts.add(await stack.enter_async_context(service(parts)))
        yield parts
