"""The numbers of `metrics` in the format of Prometheus, by prometheus_client, which is imported here only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from stepwell.base.durations import SECOND
from stepwell.base.namespaces import namespace_of
from stepwell.base.version import VERSION
from stepwell.telemetry.metrics import BrokerFigures, Distribution, Metrics, StepSeries, WorkflowSeries

BREAKER_STATES: Final = {"closed": 0, "half_open": 1, "open": 2}
"""What the states of circuit breakers are as numbers."""

_WORKFLOW: Final = ("namespace", "workflow", "version")
_BY_TYPE: Final = ("namespace", "workflow", "type")
_GATE: Final = ("namespace", "workflow", "type", "node")


class Exposition:
    """Shows the numbers to Prometheus. Each has a registry of its own."""

    def __init__(self, metrics: Metrics) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Shown(metrics))
        ProcessCollector(registry=self.registry)

    def text(self, accept: str = "") -> tuple[bytes, str]:
        """The numbers as text, and its content type: OpenMetrics when the header `Accept` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


class _Shown(Collector):
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def describe(self) -> Iterable[Metric]:
        """Nothing in advance: what there is to collect is looked at when it is collected."""
        return ()

    def collect(self) -> Iterable[Metric]:
        """Every family, with what was counted so far."""
        yield from _of_executions(self._metrics.series())
        yield from _of_steps(self._metrics.series())
        yield from _of_node(self._metrics)
        yield from _of_gauges(self._metrics)
        yield from _of_brokers(self._metrics.gauges.brokers, self._metrics.node)


def _of_executions(every: Sequence[WorkflowSeries]) -> Iterator[Metric]:
    started = CounterMetricFamily("stepwell_executions_started", "Executions that began.", labels=_WORKFLOW)
    finished = CounterMetricFamily(
        "stepwell_executions_finished", "Executions that ended, by how.", labels=(*_WORKFLOW, "status")
    )
    took = HistogramMetricFamily(
        "stepwell_execution_duration_seconds",
        "From the start of executions to their end.",
        labels=("namespace", "workflow", "version", "status"),
    )
    compensations = CounterMetricFamily(
        "stepwell_compensations", "Compensations that ended, by how.", labels=(*_WORKFLOW, "status")
    )
    for series in every:
        labels = _labels(series)
        started.add_metric(labels, series.started)
        for status, count in series.finished.items():
            finished.add_metric([*labels, status], count)
        for status, distribution in series.took.items():
            _add(took, [*labels, status], distribution, SECOND)
        for outcome, count in series.compensations.items():
            compensations.add_metric([*labels, outcome], count)
    return iter((started, finished, took, compensations))


def _of_steps(every: Sequence[WorkflowSeries]) -> Iterator[Metric]:
    finished = CounterMetricFamily(
        "stepwell_steps_finished", "Steps that ended, by how.", labels=(*_WORKFLOW, "type", "status")
    )
    retries = CounterMetricFamily(
        "stepwell_step_retries", "Attempts that failed and are tried again.", labels=(*_WORKFLOW, "type")
    )
    took = HistogramMetricFamily(
        "stepwell_step_duration_seconds", "From the start of a step's last attempt to its end.", labels=_BY_TYPE
    )
    waited = HistogramMetricFamily(
        "stepwell_step_queue_wait_seconds",
        "From a step's being due to the start of its first attempt.",
        labels=_BY_TYPE,
    )
    for series in every:
        labels = _labels(series)
        for kind, steps in series.steps.items():
            for status, count in steps.ended().items():
                finished.add_metric([*labels, kind, status], count)
            if steps.retries:
                retries.add_metric([*labels, kind], steps.retries)
    for labels_of_all, steps in _over_versions(every).items():
        _add(took, labels_of_all, steps.took, SECOND)
        _add(waited, labels_of_all, steps.waited, SECOND)
    return iter((finished, retries, took, waited))


def _of_node(metrics: Metrics) -> Iterator[Metric]:
    build = GaugeMetricFamily("stepwell_build_info", "The version that runs.", labels=("version", "node"))
    build.add_metric([VERSION, metrics.node], 1)
    yield build
    for name, text, distribution, unit in (
        ("timer_lag_seconds", "From a timer's being due to its being fired.", metrics.timer_lag, SECOND),
        (
            "store_commit_seconds",
            "From handing a commit to the store to its being durable.",
            metrics.commit_took,
            SECOND,
        ),
        ("store_batch_size", "Changes written by one commit.", metrics.batch_size, 1),
    ):
        family = HistogramMetricFamily(f"stepwell_{name}", text, labels=("node",))
        _add(family, [metrics.node], distribution, unit)
        yield family
    lost = CounterMetricFamily("stepwell_lease_lost", "Shards that another node took over.", labels=("node",))
    lost.add_metric([metrics.node], metrics.leases_lost)
    yield lost
    events = CounterMetricFamily("stepwell_events_received", "Events from outside.", labels=("type", "status"))
    for (event_type, status), count in metrics.events.items():
        events.add_metric([event_type, status], count)
    yield events


def _of_gauges(metrics: Metrics) -> Iterator[Metric]:
    gauges, node = metrics.gauges, metrics.node
    running = GaugeMetricFamily(
        "stepwell_executions_running", "Executions of the store that have not ended.", labels=(*_WORKFLOW, "status")
    )
    counted: Counter[tuple[str, ...]] = Counter()
    for (workflow, version, status), count in gauges.running.items():
        counted[*_labels(metrics.series_of(workflow, version)), status] += count
    for labels, count in counted.items():
        running.add_metric(labels, count)
    queues = GaugeMetricFamily("stepwell_queue_depth", "How much stands in line, by for what.", labels=("type", "node"))
    for kind, depth in gauges.queues.items():
        queues.add_metric([kind, node], depth)
    breakers = GaugeMetricFamily("stepwell_breaker_state", "0 closed, 1 half open, 2 open.", labels=_GATE)
    for name, state in gauges.breakers.items():
        breakers.add_metric([*_gate_labels(name), node], BREAKER_STATES[state])
    rejected = CounterMetricFamily("stepwell_bulkhead_rejected", "Attempts that found no place.", labels=_GATE)
    for name, count in gauges.rejected.items():
        rejected.add_metric([*_gate_labels(name), node], count)
    waits = GaugeMetricFamily("stepwell_waits", "Steps that wait for events.", labels=("node",))
    waits.add_metric([node], gauges.waits)
    return iter((running, queues, breakers, rejected, waits))


def _of_brokers(every: Sequence[BrokerFigures], node: str) -> Iterator[Metric]:
    labels = ("broker", "topic", "direction", "node")
    messages = CounterMetricFamily(
        "stepwell_broker_messages",
        "Messages read from brokers and told to them, by what became of them.",
        labels=(*labels, "status"),
    )
    lag = GaugeMetricFamily("stepwell_broker_lag", "Messages that wait to be read, about.", labels=labels)
    behind = GaugeMetricFamily(
        "stepwell_broker_behind_seconds", "Since the oldest event happened that is not told yet.", labels=labels
    )
    up = GaugeMetricFamily("stepwell_broker_up", "1 while a topic can be read or told, else 0.", labels=labels)
    for each in every:
        values = [each.broker, each.topic, each.direction, node]
        for status, count in each.counts.items():
            messages.add_metric([*values, status], count)
        if each.lag is not None:
            lag.add_metric(values, each.lag)
        if each.behind is not None:
            behind.add_metric(values, each.behind / SECOND)
        up.add_metric(values, int(each.is_well))
    return iter((messages, lag, behind, up) if every else ())


def _labels(series: WorkflowSeries) -> list[str]:
    return [series.namespace, series.workflow, series.version]


def _gate_labels(name: str) -> tuple[str, str, str]:
    """Namespace, workflow and type of a circuit breaker or bulkhead: those of one workflow are called
    `{workflow}/{name}`, those of the configuration by their name alone."""
    workflow, slash, rest = name.rpartition("/")
    return (namespace_of(workflow), workflow, rest) if slash else ("", "", name)


def _over_versions(every: Sequence[WorkflowSeries]) -> dict[tuple[str, ...], StepSeries]:
    """What steps took and waited, by namespace, workflow and type: all versions together."""
    summed: dict[tuple[str, ...], StepSeries] = {}
    for series in every:
        for kind, steps in series.steps.items():
            whole = summed.setdefault((series.namespace, series.workflow, kind), StepSeries())
            whole.took.add(steps.took)
            whole.waited.add(steps.waited)
    return summed


def _add(family: HistogramMetricFamily, labels: Sequence[str], distribution: Distribution, unit: int) -> None:
    buckets: list[tuple[str, float]] = []
    so_far = 0
    for bound, count in zip((*distribution.bounds, None), distribution.counts, strict=True):
        so_far += count
        buckets.append(("+Inf" if bound is None else f"{bound / unit:g}", so_far))
    family.add_metric(labels, buckets, sum_value=distribution.total / unit)
