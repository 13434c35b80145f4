"""Who does the work of an engine: its own worker, workers elsewhere that fetch it, and clusters that compute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from stepwell.app.configuration import Configuration
from stepwell.app.remote_sections import DaskSection, NatsSection
from stepwell.base.clock import Clock
from stepwell.base.errors import ConfigurationError, StepwellError
from stepwell.execution.work import Assignment
from stepwell.expression.errors import ExpressionError, ExpressionSyntaxError
from stepwell.expression.scope import Scope
from stepwell.expression.template import compile_template
from stepwell.ports.services import SecretSource
from stepwell.ports.work import Dispatcher, ReportCallback, TaskContext, TaskHandler
from stepwell.tasks.python import PythonHandler, TaskFunctionHandler
from stepwell.worker.local import LocalWorker
from stepwell.worker.opening import opened
from stepwell.worker.queues import Queues
from stepwell.worker.reports import Recorded, Reports
from stepwell.worker.routing import MOST_FETCHED, AnyType, QueueDispatcher, RoutingDispatcher

if TYPE_CHECKING:
    from stepwell.worker.dask_cluster import DaskCluster
    from stepwell.worker.nats_door import NatsDoor
    from stepwell.worker.nats_link import NatsOptions


class RemoteWork:
    """What is done elsewhere, as configured.

    Args:
        here: does the rest.
        handlers: what `here` can do, by type.
        brought: who has the steps of a queue done, by the queue's name.
        recorded: waits until what was reported of an execution so far is durable.
        has_queues: workers may fetch over HTTP.

    Attributes:
        dispatcher: does all of it.
        queues, reports: what workers ask, and what they report to; None when nobody fetches.
        door: lets workers on NATS ask; None when there are none.

    Raises:
        ConfigurationError: something configured is wrong.
    """

    def __init__(
        self,
        configuration: Configuration,
        here: Dispatcher,
        handlers: Mapping[str, TaskHandler],
        brought: Mapping[str, TaskHandler],
        on_report: ReportCallback,
        clock: Clock,
        secrets: SecretSource,
        traceparent: Callable[[Assignment], str | None] | None,
        *,
        recorded: Recorded,
        has_queues: bool,
    ) -> None:
        self.queues: Queues | None = None
        self.reports: Reports | None = None
        self.door: NatsDoor | None = None
        self._cluster: DaskCluster | None = None
        self._here = here
        self._fetched: Dispatcher | None = None
        self._computed: Dispatcher | None = None
        self._computed_queue: str | None = None
        self._computed_types: Set[str] = frozenset()
        section, dask = configuration.nats, configuration.compute.dask
        if has_queues or section is not None:
            self._fetched = fetched = QueueDispatcher(on_report, clock, secrets, traceparent, recorded)
            self.queues, self.reports = fetched.queues, fetched.reports
            if section is not None:
                self.door = _door(fetched, section, secrets)
        if dask is not None:
            self._cluster, computing = _cluster(dask, handlers)
            self._computed_types, self._computed_queue = computing.keys(), dask.queue
            self._computed = LocalWorker(
                computing, on_report, clock, secrets, max_concurrent=dask.max_concurrent, traceparent=traceparent
            )
        self._brought = {
            queue: LocalWorker(
                AnyType(handler), on_report, clock, secrets, max_concurrent=MOST_FETCHED, traceparent=traceparent
            )
            for queue, handler in brought.items()
        }
        found = (self._fetched, self._computed, *self._brought.values())
        others: list[Dispatcher] = [each for each in found if each is not None]
        self.dispatcher: Dispatcher = RoutingDispatcher(self._chosen, [here, *others]) if others else here

    def services(self) -> Sequence[object]:
        """What can say whether it works; see `app.health.Watched`."""
        return [each for each in (self.door, self._cluster) if each is not None]

    async def open(self) -> None:
        """Begin. What cannot be reached is not waited for.

        Raises:
            ConfigurationError: a library is missing, or a file.
        """
        if self._cluster is not None:
            self._cluster.check()
        if self.door is not None:
            await self.door.open()

    async def close(self) -> None:
        """Offer no more work. The dispatcher is closed by whoever uses it."""
        if self.door is not None:
            await self.door.close()

    def _chosen(self, assignment: Assignment) -> Dispatcher:
        queue = assignment.queue
        if queue in self._brought:
            return self._brought[queue]
        if self._computed is not None and queue == self._computed_queue and assignment.type in self._computed_types:
            return self._computed
        return self._fetched if queue is not None and self._fetched is not None else self._here


def _door(fetched: QueueDispatcher, section: NatsSection, secrets: SecretSource) -> NatsDoor:
    from stepwell.worker.nats_door import NatsDoor

    return NatsDoor(fetched.queues, fetched.reports, nats_options(section, secrets), most_out=section.outstanding)


def _cluster(section: DaskSection, handlers: Mapping[str, TaskHandler]) -> tuple[DaskCluster, dict[str, TaskHandler]]:
    """The cluster, and who has it do the steps of a type: those whose work is a function."""
    from stepwell.worker.dask_call import Call
    from stepwell.worker.dask_cluster import DaskCluster, DaskHandler, DaskOptions, Prepare

    def prepared_by(handler: PythonHandler | TaskFunctionHandler) -> Prepare:
        def prepare(config: Any, context: TaskContext) -> Call:
            task, arguments = handler.chosen(config)
            positional, named = task.bound(arguments, context)
            return Call(task.function, tuple(positional), dict(named))

        return prepare

    options = DaskOptions(**section.model_dump(exclude={"queue", "max_concurrent"}))
    cluster = DaskCluster(options)
    functions = {
        type_: handler
        for type_, handler in handlers.items()
        if isinstance(handler, PythonHandler | TaskFunctionHandler)
    }
    return cluster, {type_: DaskHandler(cluster, prepared_by(handler)) for type_, handler in functions.items()}


def nats_options(section: NatsSection, secrets: SecretSource) -> NatsOptions:
    """How NATS is reached, with what is secret opened.

    Raises:
        ConfigurationError: an expression is wrong, or a secret is not known.
    """
    from stepwell.worker.nats_link import NatsOptions

    written = section.model_dump(exclude={"url", "outstanding"})
    for key in ("password", "token"):
        written[key] = _opened(f"nats.{key}", written[key], secrets)
    return NatsOptions(urls=[_opened("nats.url", url, secrets) for url in section.url], **written)


def _opened(key: str, written: Any, secrets: SecretSource) -> Any:
    if not isinstance(written, str) or "{{" not in written:
        return written
    try:
        return opened(compile_template(written).render(Scope({})), secrets, [])
    except (ExpressionError, ExpressionSyntaxError):
        hint = "only {{ secrets.NAME }} may be used here"
        raise ConfigurationError(f"{key}: the expression in it cannot be used", hint=hint) from None
    except StepwellError as error:
        raise ConfigurationError(f"{key}: {error.message}", hint=error.hint) from None
