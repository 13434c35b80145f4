"""What is counted of executions, and what Prometheus is shown of it."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as plain

from stepwell.base.errors import ErrorInfo
from stepwell.base.spans import Source
from stepwell.definition.model import WorkflowDefinition
from stepwell.dialects.loading import load
from stepwell.execution.history import (
    AttemptFailed,
    CompensationEnded,
    ExecutionCompleted,
    ExecutionStarted,
    HistoryEvent,
    StepCompleted,
    StepFailed,
    StepSkipped,
)
from stepwell.execution.state import ExecutionState, StepState
from stepwell.telemetry.exposition import Exposition
from stepwell.telemetry.metrics import LONG, Distribution, Gauges, Metrics
from tests.engine.world import BOOM

SECOND = 1_000_000
NAMES = {
    "stepwell_executions_started_total": {"namespace", "workflow", "version"},
    "stepwell_executions_finished_total": {"namespace", "workflow", "version", "status"},
    "stepwell_executions_running": {"namespace", "workflow", "version", "status"},
    "stepwell_execution_duration_seconds": {"namespace", "workflow", "version", "status"},
    "stepwell_steps_finished_total": {"namespace", "workflow", "version", "type", "status"},
    "stepwell_step_duration_seconds": {"namespace", "workflow", "type"},
    "stepwell_step_queue_wait_seconds": {"namespace", "workflow", "type"},
    "stepwell_step_retries_total": {"namespace", "workflow", "version", "type"},
    "stepwell_queue_depth": {"type", "node"},
    "stepwell_compensations_total": {"namespace", "workflow", "version", "status"},
    "stepwell_breaker_state": {"namespace", "workflow", "type", "node"},
    "stepwell_bulkhead_rejected_total": {"namespace", "workflow", "type", "node"},
    "stepwell_events_received_total": {"type", "status"},
    "stepwell_waits": {"node"},
    "stepwell_timer_lag_seconds": {"node"},
    "stepwell_store_commit_seconds": {"node"},
    "stepwell_store_batch_size": {"node"},
    "stepwell_lease_lost_total": {"node"},
    "stepwell_build_info": {"version", "node"},
}
"""Every metric there is, and its labels."""


def definition(name: str = "team.orders", version: str = "1.0.0") -> WorkflowDefinition:
    text = f"""
apiVersion: workflow/v1
kind: Workflow
metadata: {{name: {name}, version: {version}}}
spec: {{steps: [{{name: a, type: http, config: {{url: "http://x"}}}},
        {{name: group, type: parallel_group, config: {{steps: [{{name: inner, type: noop}}]}}}}]}}
"""
    loaded = load(Source("w.yaml", text)).definition
    assert loaded is not None
    return loaded


def state(started_at: int, steps: dict[str, StepState]) -> ExecutionState:
    return ExecutionState(
        id="x",
        workflow="w",
        version="1",
        digest="d",
        input={},
        seed=b"",
        created_at=started_at,
        started_at=started_at,
        steps=steps,
    )


def full() -> Metrics:
    """Metrics of which each has a value."""
    metrics = Metrics("n1")
    metrics.attach(lambda execution: state(0, {"a": StepState(attempts=1, scheduled_at=1 * SECOND)}))
    events: list[HistoryEvent] = [
        ExecutionStarted(0),
        AttemptFailed(3 * SECOND, "a", 1, 2 * SECOND, BOOM, 4 * SECOND),
        StepCompleted(5 * SECOND, "a", 3 * SECOND, None),
        StepCompleted(5 * SECOND, "inner[group]", 5 * SECOND, None),
        StepSkipped(5 * SECOND, "group", "condition"),
        StepFailed(5 * SECOND, "nobody", 4 * SECOND, ErrorInfo("x", "y")),
        CompensationEnded(6 * SECOND, "done"),
        ExecutionCompleted(7 * SECOND, None),
    ]
    metrics.committed("x", definition(), events)
    metrics.commit_ended(3, 2_000)
    metrics.timer_fired(10)
    metrics.event_received("order:placed", duplicate=False)
    metrics.lease_lost()
    metrics.gauges = Gauges(
        running={("team.orders", "1.0.0", "waiting"): 2},
        queues={"task": 4},
        breakers={"team.orders/pay": "open", "service:crm": "closed"},
        rejected={"shared": 3},
        waits=5,
    )
    return metrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = Exposition(metrics).text()[0].decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in plain(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of the series with these labels among others."""
    for (known, theirs), found in samples(metrics).items():
        if known == name and set(labels.items()) <= theirs:
            return found
    return None


def test_every_metric_has_its_name_and_its_labels_and_no_other() -> None:
    seen: dict[str, set[str]] = {}
    for name, labels in samples(full()):
        if name.startswith("stepwell_"):
            base = name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum").removesuffix("_created")
            seen.setdefault(base, set()).update(label for label, _ in labels if label != "le")
    assert seen == NAMES


def test_what_is_shown_is_read_by_parsers_of_both_formats() -> None:
    exposition = Exposition(full())
    text, content_type = exposition.text("application/openmetrics-text; version=1.0.0")
    assert "openmetrics" in content_type
    families = open_metrics(text.decode())  # type: ignore[no-untyped-call]
    assert any(family.name == "stepwell_executions_started" for family in families)
    assert any(family.name == "process_cpu_seconds" for family in plain(exposition.text()[0].decode()))


def test_executions_and_steps_are_counted_with_what_they_took() -> None:
    metrics = full()
    of = {"namespace": "team", "workflow": "team.orders"}
    assert value(metrics, "stepwell_executions_started_total", **of, version="1.0.0") == 1
    assert value(metrics, "stepwell_executions_finished_total", **of, status="completed") == 1
    assert value(metrics, "stepwell_execution_duration_seconds_sum", **of) == 7
    assert value(metrics, "stepwell_steps_finished_total", **of, type="http", status="completed") == 1
    assert value(metrics, "stepwell_steps_finished_total", **of, type="noop", status="completed") == 1
    assert value(metrics, "stepwell_steps_finished_total", **of, type="parallel_group", status="skipped") == 1
    assert value(metrics, "stepwell_steps_finished_total", **of, type="other", status="failed") == 1
    assert value(metrics, "stepwell_step_duration_seconds_sum", **of, type="http") == 2
    assert value(metrics, "stepwell_step_queue_wait_seconds_sum", **of, type="http") == 2
    assert value(metrics, "stepwell_step_retries_total", **of, type="http") == 1
    assert value(metrics, "stepwell_compensations_total", **of, status="done") == 1
    assert value(metrics, "stepwell_breaker_state", **of, type="pay") == 2
    assert value(metrics, "stepwell_breaker_state", workflow="", type="service:crm") == 0
    assert value(metrics, "stepwell_store_commit_seconds_sum", node="n1") == 0.002


def test_beyond_the_bound_workflows_and_event_types_are_counted_together() -> None:
    metrics = Metrics("n", max_workflows=2, max_event_types=2)
    for number in range(5):
        metrics.committed("x", definition(f"w{number}"), [ExecutionStarted(0)])
        metrics.event_received(f"type:{number}", duplicate=True)
    metrics.gauges = Gauges(running={(f"v{number}", "1", "running"): 1 for number in range(9)})
    started = {labels: count for (name, labels), count in samples(metrics).items() if "executions_started" in name}
    assert len(started) == 3
    assert value(metrics, "stepwell_executions_started_total", workflow="other") == 3
    assert value(metrics, "stepwell_executions_running", workflow="other", namespace="other") == 9
    assert value(metrics, "stepwell_events_received_total", type="other", status="duplicate") == 3


@given(st.lists(st.integers(0, 200_000 * SECOND)))
def test_a_distribution_counts_every_value_once_at_its_place(values: list[int]) -> None:
    distribution = Distribution(LONG)
    for each in values:
        distribution.observe(each)
    assert sum(distribution.counts) == len(values)
    assert distribution.total == sum(values)
    so_far = 0
    for bound, count in zip(LONG, distribution.counts, strict=False):
        so_far += count
        assert so_far == sum(each <= bound for each in values)


async def test_two_servers_count_for_themselves() -> None:
    first, second = Metrics("a"), Metrics("b")
    Exposition(first), Exposition(second)
    first.committed("x", definition(), [ExecutionStarted(0)])
    await asyncio.sleep(0)
    assert value(second, "stepwell_executions_started_total") is None
