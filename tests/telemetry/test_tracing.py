"""Traces: one for each execution, whoever goes on with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from stepwell.app.configuration import configuration_from
from stepwell.app.registries import Registries
from stepwell.app.session import Session, open_session
from stepwell.app.telemetry import tracing_of
from stepwell.base.errors import ConfigurationError
from stepwell.base.ids import execution_id
from stepwell.base.spans import Source
from stepwell.decider.plan import Plan
from stepwell.dialects.loading import load
from stepwell.execution.work import Assignment
from stepwell.tasks.registry import task
from stepwell.telemetry.tracing import (
    COMPONENTS,
    Component,
    TraceParent,
    Tracing,
    exporting,
    is_sampled,
    parsed,
    span_of,
    trace_of,
)

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
TRACE = 0x0AF7651916CD43DD8448EB211C80319C


@task("stumble")
async def stumble(attempts: dict[str, Any] | None = None) -> str:
    """Fails the first time."""
    stumble.tries = getattr(stumble, "tries", 0) + 1  # type: ignore[attr-defined]
    if stumble.tries % 2:  # type: ignore[attr-defined]
        raise ConnectionError("not yet")
    return "done"


def plan_of(steps: str, more: str = "") -> Plan:
    text = f"""
apiVersion: workflow/v1
kind: Workflow
metadata: {{name: traced, version: 1.0.0}}
spec:
  steps: {steps}
  {more}
"""
    definition = load(Source("w.yaml", text)).definition
    assert definition is not None
    return Plan(definition)


@asynccontextmanager
async def traced(
    rate: float = 1.0, components: frozenset[Component] = COMPONENTS, exporter: SpanExporter | None = None, **more: Any
) -> AsyncIterator[tuple[Session, Tracing, InMemorySpanExporter]]:
    spans = InMemorySpanExporter()
    tracing = Tracing(rate, components, SimpleSpanProcessor(exporter or spans), "n1")
    configuration = configuration_from({"state_store": {"type": "memory"}, **more})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stepwell.app.session.tracing_of", lambda _: tracing)
        async with open_session(configuration, Registries([stumble])) as session:
            yield session, tracing, spans


async def run(session: Session, plan: Plan, trace: str = "") -> str:
    await session.definitions.keep(plan)
    execution = await session.engine.start(plan, None, trace=trace)
    await session.engine.ended(execution)
    await asyncio.sleep(0)
    return execution


def by_name(spans: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in spans.get_finished_spans()}


async def test_an_execution_is_one_trace_of_it_its_steps_and_their_attempts() -> None:
    async with traced() as (session, _, spans):
        execution = await run(session, plan_of("[{name: a, type: stumble, retry: {max_attempts: 2}}]"))
        found = spans.get_finished_spans()
        assert sorted(span.name for span in found) == ["attempt a", "attempt a", "execution traced", "step a"]
        assert {span.context.trace_id for span in found} == {trace_of(execution, "").trace}
        whole, step = by_name(spans)["execution traced"], by_name(spans)["step a"]
        assert whole.parent is None
        assert step.parent is not None
        assert step.parent.span_id == whole.context.span_id == span_of(execution)
        attempts = [span for span in found if span.name == "attempt a"]
        assert {span.parent.span_id for span in attempts if span.parent} == {step.context.span_id}
        assert [span.status.is_ok for span in attempts] == [False, True]
        assert attempts[0].attributes is not None
        assert attempts[0].attributes["error.type"] == "ConnectionError"
        assert whole.attributes is not None
        assert whole.attributes["stepwell.execution_id"] == execution
        assert whole.start_time is not None
        assert step.start_time is not None
        assert whole.end_time is not None
        assert whole.start_time <= step.start_time <= whole.end_time


async def test_an_execution_started_within_a_trace_belongs_to_it() -> None:
    async with traced() as (session, tracing, spans):
        execution = await run(session, plan_of("[{name: a, type: noop}]"), CALLER)
        whole = by_name(spans)["execution traced"]
        assert whole.context.trace_id == TRACE
        assert whole.parent is not None
        assert whole.parent.span_id == 0xB7AD6B7169203331
        assert (await session.engine.state(execution)).trace == CALLER
        assert tracing.trace_id("unknown") == f"{trace_of('unknown', '').trace:032x}"


async def test_what_a_step_calls_learns_in_which_span_it_is() -> None:
    heard: list[str | None] = []

    async def hear(request: web.Request) -> web.Response:
        heard.append(request.headers.get("traceparent"))
        return web.json_response({})

    async with serving(hear) as url, traced(services={"s": {"url": url}}) as (session, _, _):
        plan = plan_of(
            f"[{{name: a, type: http, config: {{url: '{url}'}}}},"
            "{name: b, type: service_call, config: {service: s, endpoint: /x}, depends_on: [a]}]"
        )
        execution = await run(session, plan, CALLER)
    assert heard == [
        TraceParent(TRACE, span_of(execution, step, 1)).header(sampled=True) for step in ("a", "b")
    ]  # the spans of the attempts


async def test_components_say_what_has_spans() -> None:
    plan = plan_of("[{name: a, type: stumble, retry: {max_attempts: 2}}]")
    async with traced(components=frozenset({"execution"})) as (session, _, spans):
        await run(session, plan)
        assert {span.name for span in spans.get_finished_spans()} == {"execution traced"}
    async with traced(components=frozenset({"attempt"})) as (session, tracing, spans):
        execution = await run(session, plan)
        assert {span.name for span in spans.get_finished_spans()} == {"attempt a"}
        assert all(span.parent is None for span in spans.get_finished_spans())
        assert tracing.traceparent(assignment(execution)) is not None


async def test_what_is_not_sampled_makes_no_span_and_says_so_to_whom_it_calls() -> None:
    async with traced(rate=0.0) as (session, tracing, spans):
        execution = await run(session, plan_of("[{name: a, type: noop}]"))
        assert spans.get_finished_spans() == ()
        header = tracing.traceparent(assignment(execution))
        assert header is not None
        assert header.endswith("-00")


async def test_what_changes_the_course_of_an_execution_is_a_span_without_length() -> None:
    async with traced() as (session, _, spans):
        await run(
            session,
            plan_of("[{name: a, type: noop}, {name: b, type: fail, depends_on: a}]", _UNDONE),
        )
        found = by_name(spans)
        began = found["compensation started"]
        assert began.start_time == began.end_time
        assert began.parent is not None
        assert began.parent.span_id == found["execution traced"].context.span_id
        assert not found["execution traced"].status.is_ok


_UNDONE = "compensation: {steps: [{name: undo, type: noop}]}"


class Broken(SpanExporter):
    """An exporter that fails."""

    def export(self, spans: Any) -> SpanExportResult:
        raise RuntimeError("the collector is gone")


async def test_an_exporter_that_fails_changes_no_result(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.CRITICAL):
        async with traced(exporter=Broken()) as (session, _, _):
            execution = await run(session, plan_of("[{name: a, type: noop}]"))
            assert (await session.engine.state(execution)).status == "completed"


async def test_traces_reach_an_otlp_endpoint() -> None:
    got: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        got.append(await request.read())
        return web.Response(body=b"", content_type="application/x-protobuf")

    async with serving(collect) as url:
        settings = {"state_store": {"type": "memory"}, "tracing": {"enabled": True, "endpoint": f"{url}v1/traces"}}
        async with open_session(configuration_from(settings), Registries([stumble])) as session:
            await run(session, plan_of("[{name: a, type: noop}]"))
    assert got
    assert b"execution traced" in got[0]


@given(st.binary(min_size=16, max_size=16), st.floats(0, 1))
def test_sampling_is_exact_at_its_ends_and_grows_with_the_rate(random: bytes, rate: float) -> None:
    execution = execution_id(random)
    assert is_sampled(execution, 1.0)
    assert not is_sampled(execution, 0.0)
    if is_sampled(execution, rate):
        assert is_sampled(execution, min(1.0, rate + 0.1))


def test_so_many_are_sampled_as_asked_for() -> None:
    ids = [execution_id(number.to_bytes(16)) for number in range(10_000)]
    assert 900 <= sum(is_sampled(execution, 0.1) for execution in ids) <= 1_100


@pytest.mark.parametrize(
    "header",
    [
        "",
        "00",
        "00-0-0-0",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ],
)
def test_what_is_no_traceparent_is_ignored(header: str) -> None:
    assert parsed(header) is None


def test_a_traceparent_of_a_later_version_is_understood() -> None:
    assert parsed("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more") == TraceParent(
        TRACE, 0xB7AD6B7169203331
    )


@pytest.mark.parametrize("rate", [-0.1, 1.1, "nan", "often"])
def test_a_sampling_rate_out_of_range_is_refused(rate: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"tracing\.sampling_rate"):
        configuration_from({"tracing": {"sampling_rate": rate}})


def test_an_unknown_component_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"tracing\.components"):
        configuration_from({"tracing": {"components": ["everything"]}})


def test_without_an_endpoint_nothing_is_traced_and_that_is_said(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", raising=False)
    assert tracing_of(configuration_from({"tracing": {"enabled": True}})) is None
    assert "endpoint" in caplog.text


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(ConfigurationError, match=r"stepwell\[otel\]"):
        exporting("http://localhost:4318/v1/traces")


def assignment(execution: str) -> Assignment:
    return Assignment(
        execution=execution,
        workflow="traced",
        version="1.0.0",
        step="a",
        type="noop",
        config={},
        attempt=1,
        idempotency_key="",
        scheduled_at=0,
    )


@asynccontextmanager
async def serving(handler: Any) -> AsyncIterator[str]:
    """The URL of a server on a free port."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        port = runner.addresses[0][1]
        yield f"http://127.0.0.1:{port}/"
    finally:
        await runner.cleanup()
