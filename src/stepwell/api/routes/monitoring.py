"""Figures: how things stand, rates and durations, and how each workflow and its steps do."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from fastapi import Path, Query
from pydantic import AfterValidator, WithJsonSchema
from starlette.responses import Response

from stepwell.api.answers import answer
from stepwell.api.caller import Calling
from stepwell.api.context import Here
from stepwell.api.routing import problems
from stepwell.api.routing import router as new_router
from stepwell.api.seeing import check_workflow, namespaces_of
from stepwell.api.shapes import Shape
from stepwell.app.analytics import Analytics, process_figures
from stepwell.base.durations import DAY, MINUTE, parse_duration

router = new_router("monitoring")


LONGEST: Final = 366 * DAY
A_DAY: Final = "24h"


def _checked_window(text: str) -> str:
    if not MINUTE <= parse_duration(text) <= LONGEST:
        raise ValueError("expected a duration from 1m to 366d")
    return text


Window = Annotated[
    str,
    AfterValidator(_checked_window),
    WithJsonSchema({"type": "string", "pattern": "^[1-9][0-9]{0,3}[mhd]$", "examples": ["24h", "30m", "7d"]}),
    Query(description="How far back executions count, by their end: from a minute to a year."),
]
Of = Annotated[str | None, Query(min_length=1, max_length=200, description="Only of this workflow.")]


class Monitoring(Shape):
    """How things stand. Today is the day in UTC; the load is the part of the allowed workflows that is active."""

    active_workflows: int
    completed_today: int
    failed_today: int
    average_duration: str
    current_load: Literal["low", "medium", "high"]


class ExecutionTime(Shape):
    """Seconds; null of nothing."""

    avg: float | None
    p95: float | None
    p99: float | None


class Summary(Shape):
    """Rates in percent, null of nothing; throughput in executions an hour."""

    execution_time: ExecutionTime
    success_rate: float | None
    error_rate: float | None
    throughput: float


class WorkflowFigures(Shape):
    """How one workflow did. Rates in percent, durations in seconds, null of nothing."""

    workflow: str
    active: int
    completed: int
    failed: int
    cancelled: int
    success_rate: float | None
    error_rate: float | None
    average_duration: float | None


class WorkflowFiguresList(Shape):
    """How all workflows did, by name."""

    items: list[WorkflowFigures]


class StepFigures(Shape):
    """How a step did. `share` is its part of the time that all steps took together."""

    step: str
    type: str | None
    runs: int
    completed: int
    failed: int
    skipped: int
    retries: int
    success_rate: float | None
    average_duration: float | None
    longest: float | None
    average_wait: float | None
    share: float


class PathFigures(Shape):
    """A way that executions took: the steps that ran, in the order in which they ended."""

    steps: list[str]
    count: int
    share: float


class WorkflowAnalysis(WorkflowFigures):
    """How one workflow did, and its steps in the executions that were `sampled`: those that ended last."""

    duration: dict[str, float | None]
    trend: list[dict[str, Any]]
    sampled: int
    steps: list[StepFigures]
    bottleneck: str | None
    paths: list[PathFigures]


class ProcessFigures(Shape):
    """What the server's process uses, and what of its places is taken."""

    cpu_seconds: float
    max_resident_bytes: int
    threads: int
    workflows: dict[str, int | None]
    tasks: dict[str, int | None]


@router.get("/monitoring", operation_id="getMonitoring", response_model=Monitoring)
async def get_monitoring(here: Here, caller: Calling, workflow: Of = None) -> Response:
    """How things stand, at most a second old."""
    return answer(await here.monitoring.monitoring(workflow=workflow, namespaces=namespaces_of(caller)))


@router.get("/metrics/summary", operation_id="getMetricsSummary", response_model=Summary)
async def get_summary(here: Here, caller: Calling, window: Window = A_DAY, workflow: Of = None) -> Response:
    """Durations, rates and throughput of what completed or failed within the window, at most a second old."""
    namespaces = namespaces_of(caller)
    return answer(await here.monitoring.metrics(parse_duration(window), workflow=workflow, namespaces=namespaces))


@router.get("/analytics/workflows", operation_id="listWorkflowFigures", response_model=WorkflowFiguresList)
async def list_workflow_figures(here: Here, caller: Calling, window: Window = A_DAY) -> Response:
    """How each workflow did that had executions."""
    return answer({"items": await _analytics(here).workflows(parse_duration(window), namespaces_of(caller))})


@router.get(
    "/analytics/workflows/{name}",
    operation_id="analyseWorkflow",
    response_model=WorkflowAnalysis,
    responses=problems(404),
)
async def analyse_workflow(
    here: Here,
    caller: Calling,
    name: Annotated[str, Path(description="The name of a workflow.", max_length=200)],
    window: Window = A_DAY,
    sample: Annotated[int, Query(ge=0, le=1_000, description="So many executions are looked into.")] = 100,
) -> Response:
    """How a workflow did, where its time goes, and which ways its executions took."""
    check_workflow(caller, name)
    return answer(await _analytics(here).workflow(name, parse_duration(window), sample))


@router.get("/analytics/process", operation_id="getProcessFigures", response_model=ProcessFigures)
async def get_process_figures(here: Here) -> Response:
    """What this server's process uses."""
    session = here.session
    return answer({**process_figures(), "workflows": session.engine.load(), "tasks": session.worker.load()})


def _analytics(here: Here) -> Analytics:
    return Analytics(here.store, here.reading, here.clock)
